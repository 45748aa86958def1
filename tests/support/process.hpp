#pragma once
// Child processes for tests: started with a whole environment, bounded in time, ended by their own
// pid.

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/fd.hpp"

namespace nono::testing {

using namespace std::chrono_literals;

struct Command {
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;  // the whole environment
  std::string cwd;                         // empty: the test's own
  std::optional<uid_t> user;               // drops to it (and the group of that number); needs root
  std::string input;                       // stdin; empty: /dev/null
};

struct Finished {
  int code = -1;           // as a shell says it: 128 + signal when killed
  bool timed_out = false;  // killed by wait()
  std::string out, err;
};

// A started child, leader of its own process group. Destroying it kills the group. What it writes
// is kept in memory and can be read at any time.
class Process {
 public:
  explicit Process(const Command& command);  // throws std::runtime_error if it cannot start
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  std::string out() const;
  std::string err() const;
  bool running() const;
  void signal(int number) const;
  // Waits for the end; kills the group when the time is over.
  Finished wait(std::chrono::milliseconds at_most = 60s);
  // True once `text` is in stdout or stderr; false when the time is over or the process ended
  // without it.
  bool wait_for(std::string_view text, std::chrono::milliseconds at_most = 20s) const;

 private:
  pid_t pid_ = -1;
  UniqueFd pidfd_, out_, err_;
  std::optional<int> status_;
};

Finished run(const Command& command, std::chrono::milliseconds at_most = 60s);

// PATH, a HOME, a UTF-8 locale and nothing else; ASan's leak check off for processes that forbid
// ptrace.
std::map<std::string, std::string> plain_environment(const std::string& home);

// True once `condition` holds, asked every few milliseconds; false when the time is over.
template <typename Condition>
bool eventually(Condition condition, std::chrono::milliseconds at_most = 20s);
void pause_between_polls();

template <typename Condition>
bool eventually(Condition condition, std::chrono::milliseconds at_most) {
  const auto until = std::chrono::steady_clock::now() + at_most;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    pause_between_polls();
  }
  return true;
}

}  // namespace nono::testing
