#pragma once
// Signals as readable events: blocked for the process and read from a signalfd.

#include <sys/types.h>

#include <optional>
#include <vector>

#include "config/base/error.hpp"
#include "config/base/fd.hpp"

namespace nono::cli {

struct ReceivedSignal {
  int number = 0;
  bool from_process = false;  // another process sent it; false: the kernel, for a terminal's key
  pid_t sender = 0;           // where a process of our own pid namespace sent it
};

// Stops this process as Ctrl-Z would if nobody took the signal: not where no shell could continue
// it. On a thread that has SIGTSTP blocked; returns once it was continued.
void stop_as_by_terminal();

class Signals {
 public:
  // Blocks `numbers` in this thread and those it starts later, and ignores SIGPIPE and SIGXFSZ. After
  // a fork whose child must not inherit that, before any thread.
  static Result<Signals> take(const std::vector<int>& numbers);
  int fd() const { return fd_.get(); }
  // The next one that is there; does not block.
  std::optional<ReceivedSignal> next() const;

 private:
  explicit Signals(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace nono::cli
