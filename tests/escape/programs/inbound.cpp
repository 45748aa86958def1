// Listening, so that someone outside can come in. The test reads "LISTENING name port" and tries;
// it makes the file `tried` once it has.

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

using Clock = std::chrono::steady_clock;

bool is_waiting(int socket) {
  pollfd poll = {socket, POLLIN, 0};
  constexpr int at_most_ms = 20;
  return ::poll(&poll, 1, at_most_ms) == 1;
}

// Says where it listens, and waits for a caller until the test has tried.
bool called(const Attempt& attempt, int socket, in_port_t port) {
  const std::string name = attempt.message.substr(0, attempt.message.find(' '));
  const std::string line = "LISTENING " + name + " " + std::to_string(ntohs(port)) + "\n";
  if (::write(1, line.data(), line.size()) < 0) return false;
  const std::string tried = "tried-" + name;
  const Clock::time_point until = Clock::now() + std::chrono::seconds(20);
  while (Clock::now() < until) {
    if (is_waiting(socket)) return true;
    if (::access(tried.c_str(), F_OK) == 0) break;
  }
  errno = ETIMEDOUT;
  return is_waiting(socket);
}

Outcome answer_caller(const Attempt& attempt, const UniqueFd& listener) {
  sockaddr_storage own = {};
  socklen_t size = sizeof own;
  if (::getsockname(listener.get(), const_cast<sockaddr*>(generic(own)), &size) != 0) {
    return blocked("getsockname");
  }
  // The port stands at the same place in both families.
  const in_port_t port = static_cast<const sockaddr_in*>(static_cast<void*>(&own))->sin_port;
  if (!called(attempt, listener.get(), port)) return blocked("nobody came");
  const UniqueFd caller(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  return caller ? tell(caller.get(), attempt.message) : blocked("accept");
}

Outcome listens(const Attempt& attempt) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in any = {};
  any.sin_family = AF_INET;
  if (!socket || ::bind(socket.get(), generic(any), sizeof any) != 0) return blocked("bind");
  if (::listen(socket.get(), 1) != 0) return blocked("listen");
  return answer_caller(attempt, socket);
}

Outcome listens_v6(const Attempt& attempt) {
  const UniqueFd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 any = {};
  any.sin6_family = AF_INET6;
  if (!socket || ::bind(socket.get(), generic(any), sizeof any) != 0) return blocked("bind");
  if (::listen(socket.get(), 1) != 0) return blocked("listen");
  return answer_caller(attempt, socket);
}

// The kernel chooses a port for a listener that has none.
Outcome listens_unbound(const Attempt& attempt) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket || ::listen(socket.get(), 1) != 0) return blocked("listen");
  return answer_caller(attempt, socket);
}

Outcome receives(const Attempt& attempt) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in own = {};
  own.sin_family = AF_INET;
  if (!socket || ::bind(socket.get(), generic(own), sizeof own) != 0) return blocked("bind");
  socklen_t size = sizeof own;
  ::getsockname(socket.get(), const_cast<sockaddr*>(generic(own)), &size);
  if (!called(attempt, socket.get(), own.sin_port)) return blocked("nobody wrote");
  sockaddr_in caller = {};
  size = sizeof caller;
  char byte = 0;
  if (::recvfrom(socket.get(), &byte, 1, 0, const_cast<sockaddr*>(generic(caller)), &size) < 0) {
    return blocked("receive");
  }
  ::sendto(socket.get(), attempt.message.data(), attempt.message.size(), 0, generic(caller), size);
  return reached("answered");
}

}  // namespace

Family inbound_family() {
  return {
      {"listen", Proof::hit, listens},
      {"listen-v6", Proof::hit, listens_v6, "IPv6"},
      {"listen-unbound", Proof::hit, listens_unbound},
      {"udp-inbound", Proof::hit, receives},
  };
}

}  // namespace escape
