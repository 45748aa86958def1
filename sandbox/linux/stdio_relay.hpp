#pragma once
// Standard input, output and error that are sockets (Node's child processes, sshd, inetd) are
// replaced by pipes: over a Unix socket the command could be handed descriptors, and a network
// socket would be a way out. The launcher copies between the two.

#include <array>
#include <cstddef>
#include <vector>

#include "config/base/fd.hpp"
#include "sandbox/linux/failure.hpp"

namespace nono::sandbox {

// One direction between a socket and a pipe.
class StdioCopy {
 public:
  // Towards the command (`into_pipe`) or away from it; the pipe's end is ours, the socket borrowed.
  StdioCopy(int socket, UniqueFd pipe, bool into_pipe);

  bool done() const { return !pipe_.valid(); }
  bool into_pipe() const { return into_pipe_; }
  int waiting_on() const;     // descriptor to poll
  short waiting_for() const;  // POLLIN or POLLOUT
  void step();                // call when ready; moves what it can without blocking
  void stop() { pipe_.reset(); }

 private:
  void fill();
  void drain();

  static constexpr std::size_t block_size = 64 * 1024;
  int socket_;
  UniqueFd pipe_;
  bool into_pipe_;
  std::vector<char> block_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

struct StdioPlan {
  std::array<UniqueFd, 3> replacement;  // what the command gets in place of 0, 1, 2, where valid
  std::vector<StdioCopy> copies;
};

// Looks at descriptors 0 to 2 of this process and makes the pipes needed. A directory becomes
// /dev/null: through it the command could reach the host's own, writable mount.
tl::expected<StdioPlan, Failure> plan_stdio();

// Puts the replacements on 0 to 2; in the process that becomes the command.
Done install_stdio(const StdioPlan& plan);

}  // namespace nono::sandbox
