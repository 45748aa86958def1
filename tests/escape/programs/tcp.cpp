// TCP to another place than the proxy, in every way that the kernel offers.

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>

#include "tests/escape/programs/envelope.hpp"
#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

constexpr int protocol_mptcp = 262;

UniqueFd stream(int family, int protocol = 0) {
  return UniqueFd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, protocol));
}

Outcome plain_v4(const Attempt& attempt) {
  return connect_and_tell(stream(AF_INET), attempt.where.v4("tcp4"), attempt.message);
}

Outcome plain_v6(const Attempt& attempt) {
  return connect_and_tell(stream(AF_INET6), attempt.where.v6("tcp6"), attempt.message);
}

Outcome plain_mapped(const Attempt& attempt) {
  return connect_and_tell(stream(AF_INET6), attempt.where.mapped("tcp4"), attempt.message);
}

// The sandbox's own proxy, where there is one; otherwise another canary.
sockaddr_in allowed_place(const Attempt& attempt) {
  const char* proxy = std::getenv("HTTP_PROXY");
  if (proxy == nullptr) return attempt.where.v4("decoy4");
  std::string place = proxy;
  if (const std::size_t at = place.rfind('@'); at != std::string::npos) place.erase(0, at + 1);
  if (const std::size_t at = place.find("//"); at != std::string::npos) place.erase(0, at + 2);
  while (place.ends_with('/')) place.pop_back();
  return Settings({"place=" + place}).v4("place");
}

// The port that is allowed, at an address that is not.
Outcome allowed_port(const Attempt& attempt) {
  sockaddr_in address = attempt.where.v4("tcp4");
  if (std::getenv("HTTP_PROXY") != nullptr) address.sin_port = allowed_place(attempt).sin_port;
  return connect_and_tell(stream(AF_INET), address, attempt.message);
}

// A socket that was connected where it may, taken apart and connected again.
Outcome reconnected(const Attempt& attempt) {
  const UniqueFd socket = stream(AF_INET);
  const sockaddr_in allowed = allowed_place(attempt);
  if (!socket || ::connect(socket.get(), generic(allowed), sizeof allowed) != 0) {
    return blocked("connect to the allowed place");
  }
  sockaddr_in nowhere = {};
  nowhere.sin_family = AF_UNSPEC;
  if (::connect(socket.get(), generic(nowhere), sizeof nowhere) != 0) return blocked("take apart");
  return connect_and_tell(socket, attempt.where.v4("tcp4"), attempt.message);
}

// AF_UNSPEC in the address of an IPv4 socket, which bind(2) of old takes for AF_INET.
Outcome bound_first(const Attempt& attempt) {
  const UniqueFd socket = stream(AF_INET);
  sockaddr_in any = {};
  any.sin_family = AF_UNSPEC;
  if (!socket || ::bind(socket.get(), generic(any), sizeof any) != 0) return blocked("bind");
  return connect_and_tell(socket, attempt.where.v4("tcp4"), attempt.message);
}

Outcome non_blocking(const Attempt& attempt) {
  const UniqueFd socket = stream(AF_INET);
  if (!socket || ::fcntl(socket.get(), F_SETFL, O_NONBLOCK) != 0) return blocked("socket");
  const sockaddr_in address = attempt.where.v4("tcp4");
  if (::connect(socket.get(), generic(address), sizeof address) != 0 && errno != EINPROGRESS) {
    return blocked("connect");
  }
  wait_for(socket.get(), POLLOUT);
  return tell(socket.get(), attempt.message);
}

// More bytes of address than IPv4 needs.
Outcome long_address(const Attempt& attempt) {
  const UniqueFd socket = stream(AF_INET);
  sockaddr_storage address = {};
  *static_cast<sockaddr_in*>(static_cast<void*>(&address)) = attempt.where.v4("tcp4");
  return connect_and_tell(socket, generic(address), sizeof address, attempt.message);
}

Outcome through_device(const Attempt& attempt) {
  const UniqueFd socket = stream(AF_INET);
  if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) != 0) {
    return blocked("bind to device");
  }
  return connect_and_tell(socket, attempt.where.v4("tcp4"), attempt.message);
}

Outcome mptcp_v4(const Attempt& attempt) {
  return connect_and_tell(stream(AF_INET, protocol_mptcp), attempt.where.v4("tcp4"),
                          attempt.message);
}

Outcome mptcp_v6(const Attempt& attempt) {
  return connect_and_tell(stream(AF_INET6, protocol_mptcp), attempt.where.v6("tcp6"),
                          attempt.message);
}

// The connection attempt is in the first send; what it returns says nothing about arriving.
Outcome sent_fast(ssize_t size) {
  if (size < 0) return blocked("send with MSG_FASTOPEN");
  return reached("sent");
}

Outcome fast_sendto(const Attempt& attempt) {
  const UniqueFd socket = stream(AF_INET);
  const sockaddr_in address = attempt.where.v4("tcp4");
  return sent_fast(::sendto(socket.get(), attempt.message.data(), attempt.message.size(),
                            MSG_FASTOPEN | MSG_NOSIGNAL, generic(address), sizeof address));
}

Outcome fast_sendmsg(const Attempt& attempt) {
  const UniqueFd socket = stream(AF_INET);
  const Envelope envelope(attempt.message, attempt.where.v4("tcp4"));
  return sent_fast(::sendmsg(socket.get(), &envelope.header, MSG_FASTOPEN | MSG_NOSIGNAL));
}

Outcome fast_sendmmsg(const Attempt& attempt) {
  const UniqueFd socket = stream(AF_INET);
  const Envelope envelope(attempt.message, attempt.where.v4("tcp4"));
  mmsghdr headers[] = {{envelope.header, 0}};
  return sent_fast(::sendmmsg(socket.get(), headers, 1, MSG_FASTOPEN | MSG_NOSIGNAL));
}

Outcome fast_connect(const Attempt& attempt) {
  const UniqueFd socket = stream(AF_INET);
  const int on = 1;
  if (!socket ||
      ::setsockopt(socket.get(), IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on) != 0) {
    return blocked("TCP_FASTOPEN_CONNECT");
  }
  return connect_and_tell(socket, attempt.where.v4("tcp4"), attempt.message);
}

// The state of an established connection, written down instead of shaken hands for.
Outcome repaired(const Attempt& attempt) {
  const UniqueFd socket = stream(AF_INET);
  const int on = 1;
  if (!socket || ::setsockopt(socket.get(), IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) != 0) {
    return blocked("TCP_REPAIR");
  }
  const sockaddr_in address = attempt.where.v4("tcp4");
  if (::connect(socket.get(), generic(address), sizeof address) != 0) return blocked("connect");
  return reached("a connection was made up");
}

}  // namespace

Family tcp_family() {
  constexpr const char* fast_open = "TCP fast open";
  return {
      {"tcp-v4", Proof::hit, plain_v4},
      {"tcp-v6", Proof::hit, plain_v6, "IPv6"},
      {"tcp-mapped", Proof::hit, plain_mapped, "IPv6"},
      {"tcp-allowed-port", Proof::hit, allowed_port},
      {"tcp-reconnected", Proof::hit, reconnected},
      {"tcp-bound-first", Proof::hit, bound_first},
      {"tcp-non-blocking", Proof::hit, non_blocking},
      {"tcp-long-address", Proof::hit, long_address},
      {"tcp-through-device", Proof::hit, through_device},
      {"mptcp-v4", Proof::hit, mptcp_v4, "MPTCP"},
      {"mptcp-v6", Proof::hit, mptcp_v6, "MPTCP"},
      {"fast-sendto", Proof::hit, fast_sendto, fast_open},
      {"fast-sendmsg", Proof::hit, fast_sendmsg, fast_open},
      {"fast-sendmmsg", Proof::hit, fast_sendmmsg, fast_open},
      {"fast-connect", Proof::hit, fast_connect, fast_open},
      {"tcp-repair", Proof::word, repaired, "the right to administer the network"},
  };
}

}  // namespace escape
