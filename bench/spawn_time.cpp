// Wall time of starting commands, interleaved: their medians in microseconds, as a JSON list. Every
// other round is the other way round: the kernel takes namespaces down after the command's end, at
// the cost of whoever comes next.
// Usage: bench_spawn_time ROUNDS command... --- command... [--- command...]

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

struct Command {
  std::vector<char*> argv;
  std::vector<double> times_us;
};

// Wall microseconds from spawn to exit; ends the bench if the command fails.
double once(std::vector<char*>& argv) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  const auto start = std::chrono::steady_clock::now();
  pid_t pid = 0;
  if (::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ) != 0) {
    std::fprintf(stderr, "bench: cannot start %s\n", argv[0]);
    std::exit(1);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  posix_spawn_file_actions_destroy(&actions);
  if (status != 0) {
    std::fprintf(stderr, "bench: %s ended with status %d\n", argv[0], status);
    std::exit(1);
  }
  return took.count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Command> commands(1);
  for (int at = 2; at < argc; ++at) {
    if (std::string_view(argv[at]) == "---") {
      commands.emplace_back();
    } else {
      commands.back().argv.push_back(argv[at]);
    }
  }
  for (Command& command : commands) {
    if (command.argv.empty()) {
      std::fputs("usage: bench_spawn_time ROUNDS command... --- command...\n", stderr);
      return 2;
    }
    command.argv.push_back(nullptr);
  }
  for (int round = 0; round < std::atoi(argv[1]) + 2; ++round) {
    for (std::size_t at = 0; at < commands.size(); ++at) {
      Command& command = commands[round % 2 == 0 ? at : commands.size() - 1 - at];
      const double took = once(command.argv);
      if (round >= 2) command.times_us.push_back(took);  // the first two fill the caches
    }
  }
  for (std::size_t at = 0; at < commands.size(); ++at) {
    std::printf("%s%.0f", at == 0 ? "[" : ", ", median(commands[at].times_us));
  }
  std::puts("]");
  return 0;
}
