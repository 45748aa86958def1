#pragma once
// What the processes of one sandbox say to each other: reports towards the parent (P), signals
// towards pid 1 (I). One SOCK_SEQPACKET pair, so that a message arrives whole or not at all.

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "config/base/fd.hpp"
#include "sandbox/linux/failure.hpp"

namespace nono::sandbox {

struct Report {
  enum class Kind : std::uint8_t {
    ready,        // the namespaces stand; carries the listeners
    failed,       // set-up failed: `failure`
    exec_failed,  // the command could not be executed: `failure`
    exited,       // the command ended: `status` as of waitpid(2)
  };
  Kind kind = Kind::failed;
  Failure failure;
  int status = 0;
  std::vector<UniqueFd> fds;
};

// Both ends, close-on-exec; errno is left as socketpair(2) set it when they are not valid.
std::pair<UniqueFd, UniqueFd> make_channel();

// True when the whole message was sent. `fds` are passed along and stay open here.
bool send_report(int channel, const Report& report, std::span<const int> fds = {});

// The next report; blocks. Empty when no process holds the other end any more, or on a message that
// is none of ours.
std::optional<Report> receive_report(int channel);

bool send_signal_request(int channel, int number);
// The number of the signal to forward; 0 when the parent is gone, -1 when nothing is there yet.
int receive_signal_request(int channel);

}  // namespace nono::sandbox
