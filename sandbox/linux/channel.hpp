#pragma once
// What the processes of one sandbox say to each other: reports towards the parent (P), one to the
// command's process (C), requests towards pid 1 (I). A SOCK_SEQPACKET pair, so that a message
// arrives whole or not at all.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "config/base/fd.hpp"
#include "sandbox/linux/failure.hpp"

namespace nono::sandbox {

enum class SocketRole : std::uint8_t { none, proxy, captured, captured_all, dns_udp, dns_tcp };

// Of one message.
inline constexpr std::size_t fds_max = 16;

struct Report {
  enum class Kind : std::uint8_t {
    sockets,  // some of those made in the namespace
    usual,    // the namespaces stand, with the sockets that a plan without wants_more() asks for
    ready,    // the namespaces stand; with the last of the sockets
    failed,   // set-up failed: `failure`
    exec_failed,   // the command could not be executed: `failure`
    inner_socket,  // that the parent asked for; none where it could not be made: `failure`
    ruleset,       // from the parent to C: its Landlock ruleset, to be completed
    exited,        // the command ended: `status` as of waitpid(2)
  };
  Kind kind = Kind::failed;
  Failure failure;
  int status = 0;
  std::array<SocketRole, fds_max> roles = {};  // of the descriptors, where they are such sockets
  std::vector<UniqueFd> fds;
};

// Both ends, close-on-exec; errno is left as socketpair(2) set it when they are not valid.
std::pair<UniqueFd, UniqueFd> make_channel();

// The end to read from and the end to write to, close-on-exec; errno as pipe2(2) set it when they
// are not valid. `flags`: O_NONBLOCK, for both.
std::pair<UniqueFd, UniqueFd> make_pipe(int flags = 0);

// A descriptor of ours must not come to stand where standard input or output was closed: to be
// called before the first of them is made.
void fill_standard_descriptors();

// True when the whole message was sent. `fds` are passed along and stay open here.
bool send_report(int channel, const Report& report, std::span<const int> fds = {});

// The next report; blocks, unless `flags` say MSG_DONTWAIT. Empty when no process holds the other
// end any more, or on a message that is none of ours.
std::optional<Report> receive_report(int channel, int flags = 0);

// What the parent asks of pid 1.
struct Request {
  enum class Kind : std::uint8_t {
    none,    // nothing is there yet
    gone,    // the parent has ended
    signal,  // forward the signal `value`
    socket,  // make a TCP socket of the family `value`; a report `inner_socket` brings it
  };
  Kind kind = Kind::none;
  std::int32_t value = 0;
};
bool send_request(int channel, Request::Kind kind, int value);
Request receive_request(int channel);

}  // namespace nono::sandbox
