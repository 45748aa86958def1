// Wall time of starting two commands, interleaved, as medians in microseconds.
// Usage: bench_spawn_time ROUNDS bare... --- other...

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
  std::vector<char*> commands[2];
  int which = 0;
  for (int at = 2; at < argc; ++at) {
    if (std::string_view(argv[at]) == "---") {
      which = 1;
    } else {
      commands[which].push_back(argv[at]);
    }
  }
  if (commands[0].empty() || commands[1].empty()) {
    std::fputs("usage: bench_spawn_time ROUNDS bare... --- other...\n", stderr);
    return 2;
  }
  std::vector<double> times[2];
  for (std::vector<char*>& command : commands) command.push_back(nullptr);
  for (int round = 0; round < std::atoi(argv[1]) + 2; ++round) {
    for (int at = 0; at < 2; ++at) {
      const double took = once(commands[at]);
      if (round >= 2) times[at].push_back(took);  // the first two fill the caches
    }
  }
  std::printf("{\"bare_us\": %.0f, \"other_us\": %.0f}\n", median(times[0]), median(times[1]));
  return 0;
}
