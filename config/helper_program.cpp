#include "config/helper_program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "config/base/fd.hpp"

namespace nono {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t output_bytes_max = 1024 * 1024;
constexpr int exit_time_max_ms = 500;

struct Running {
  pid_t pid = -1;
  UniqueFd output;
  std::string text;
  bool whole = true;
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> list;
  for (const std::string& text : strings) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

// Its own process group, so that what it starts ends with it.
Running start(const HelperProgram& program) {
  Running running;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return running;
  running.output = UniqueFd(ends[0]);
  UniqueFd write_end(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, write_end.get(), 1);
  if (program.read_errors) {
    ::posix_spawn_file_actions_adddup2(&actions, write_end.get(), 2);
  } else {
    ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  }
  ::posix_spawn_file_actions_addchdir_np(&actions, "/");
  std::vector<char*> argv = pointers(program.argv);
  std::vector<char*> env = pointers(program.env);
  pid_t pid = -1;
  int failed = ::posix_spawn(&pid, program.executable.c_str(), &actions, &attributes, argv.data(),
                             env.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (failed == 0) {
    running.pid = pid;
  } else {
    running.output.reset();
  }
  return running;
}

void read_some(Running& running) {
  char buffer[16384];
  ssize_t n = ::read(running.output.get(), buffer, sizeof buffer);
  if (n < 0 && errno == EINTR) return;
  if (n <= 0) {
    running.output.reset();
    return;
  }
  running.text.append(buffer, static_cast<std::size_t>(n));
  if (running.text.size() > output_bytes_max) {
    running.whole = false;
    running.output.reset();
  }
}

void read_all(std::vector<Running>& all, Clock::time_point deadline) {
  for (;;) {
    std::vector<pollfd> polled;
    std::vector<Running*> owners;
    for (Running& running : all) {
      if (!running.output) continue;
      polled.push_back({running.output.get(), POLLIN, 0});
      owners.push_back(&running);
    }
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (polled.empty() || left.count() <= 0) break;
    int ready = ::poll(polled.data(), polled.size(), static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) break;
    for (std::size_t i = 0; ready > 0 && i < polled.size(); ++i) {
      if (polled[i].revents != 0) read_some(*owners[i]);
    }
  }
  for (Running& running : all) {
    if (running.output) running.whole = false;
  }
}

// A helper that closed its output has said everything; it gets a moment to exit, then is ended, and
// with it whatever it started.
bool ended_well(pid_t pid) {
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd ended{process.get(), POLLIN, 0};
  if (process) ::poll(&ended, 1, exit_time_max_ms);
  ::kill(-pid, SIGKILL);
  int status = 0;
  pid_t done = 0;
  do {
    done = ::waitpid(pid, &status, 0);
  } while (done < 0 && errno == EINTR);
  return done == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

std::vector<std::optional<std::string>> run_helpers(const std::vector<HelperProgram>& programs,
                                                    std::chrono::milliseconds time_max) {
  Clock::time_point deadline = Clock::now() + time_max;
  std::vector<Running> all;
  for (const HelperProgram& program : programs) all.push_back(start(program));
  read_all(all, deadline);
  std::vector<std::optional<std::string>> answers;
  for (std::size_t i = 0; i < all.size(); ++i) {
    Running& running = all[i];
    if (running.pid < 0) {
      answers.emplace_back();
      continue;
    }
    if (!running.whole) ::kill(-running.pid, SIGKILL);
    bool good = ended_well(running.pid) || programs[i].read_errors;
    answers.push_back(good && running.whole ? std::optional(std::move(running.text))
                                            : std::nullopt);
  }
  return answers;
}

}  // namespace nono
