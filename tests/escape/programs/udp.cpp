// Datagrams to a place that is not the proxy's, in every way that the kernel offers.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "tests/escape/programs/envelope.hpp"
#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

UniqueFd datagram(int family, int protocol = 0) {
  return UniqueFd(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, protocol));
}

template <class Address>
Outcome send_to(const UniqueFd& socket, const Address& address, const std::string& message) {
  if (!socket) return blocked("socket");
  if (::sendto(socket.get(), message.data(), message.size(), 0, generic(address), sizeof address) <
      0) {
    return blocked("sendto");
  }
  return reached("sent");
}

Outcome sendto_v4(const Attempt& attempt) {
  return send_to(datagram(AF_INET), attempt.where.v4("udp4"), attempt.message);
}

Outcome sendto_v6(const Attempt& attempt) {
  return send_to(datagram(AF_INET6), attempt.where.v6("udp6"), attempt.message);
}

Outcome sendto_mapped(const Attempt& attempt) {
  return send_to(datagram(AF_INET6), attempt.where.mapped("udp4"), attempt.message);
}

Outcome connected(const Attempt& attempt) {
  return connect_and_tell(datagram(AF_INET), attempt.where.v4("udp4"), attempt.message);
}

// A socket connected to the canary, or one that is not valid.
UniqueFd connected_socket(const Attempt& attempt, int protocol = 0) {
  UniqueFd socket = datagram(AF_INET, protocol);
  const sockaddr_in address = attempt.where.v4("udp4");
  if (!socket || ::connect(socket.get(), generic(address), sizeof address) != 0) return {};
  return socket;
}

Outcome written(const Attempt& attempt) {
  const UniqueFd socket = connected_socket(attempt);
  if (!socket) return blocked("connect");
  iovec part = {const_cast<char*>(attempt.message.data()), attempt.message.size()};
  if (::writev(socket.get(), &part, 1) < 0) return blocked("writev");
  return reached("sent");
}

Outcome by_sendmsg(const Attempt& attempt) {
  const UniqueFd socket = datagram(AF_INET);
  const Envelope envelope(attempt.message, attempt.where.v4("udp4"));
  if (!socket || ::sendmsg(socket.get(), &envelope.header, 0) < 0) return blocked("sendmsg");
  return reached("sent");
}

Outcome by_sendmmsg(const Attempt& attempt) {
  const UniqueFd socket = datagram(AF_INET);
  const Envelope envelope(attempt.message, attempt.where.v4("udp4"));
  mmsghdr headers[] = {{envelope.header, 0}};
  if (!socket || ::sendmmsg(socket.get(), headers, 1, 0) != 1) return blocked("sendmmsg");
  return reached("sent");
}

Outcome spliced(const Attempt& attempt) {
  const UniqueFd socket = connected_socket(attempt);
  if (!socket) return blocked("connect");
  std::array<int, 2> ends = {-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return blocked("pipe");
  const UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  if (::write(write_end.get(), attempt.message.data(), attempt.message.size()) < 0) {
    return blocked("write");
  }
  if (::splice(read_end.get(), nullptr, socket.get(), nullptr, attempt.message.size(), 0) < 0) {
    return blocked("splice");
  }
  return reached("sent");
}

Outcome sent_as_file(const Attempt& attempt) {
  const UniqueFd socket = connected_socket(attempt);
  if (!socket) return blocked("connect");
  const UniqueFd file(::memfd_create("message", MFD_CLOEXEC));
  if (!file || ::write(file.get(), attempt.message.data(), attempt.message.size()) < 0) {
    return blocked("memfd");
  }
  off_t offset = 0;
  if (::sendfile(socket.get(), file.get(), &offset, attempt.message.size()) < 0) {
    return blocked("sendfile");
  }
  return reached("sent");
}

// A question for a name service, the name being what is carried out.
Outcome as_question(const Attempt& attempt) {
  std::string query("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
  query += static_cast<char>(attempt.message.size());
  query += attempt.message;
  query += std::string("\x00\x00\x10\x00\x01", 5);
  return send_to(datagram(AF_INET), attempt.where.v4("udp4"), query);
}

Outcome broadcast(const Attempt& attempt) {
  const UniqueFd socket = datagram(AF_INET);
  const int on = 1;
  if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_BROADCAST, &on, sizeof on) != 0) {
    return blocked("SO_BROADCAST");
  }
  return send_to(socket, attempt.where.v4("udp4"), attempt.message);
}

Outcome light(const Attempt& attempt) {
  return send_to(datagram(AF_INET, IPPROTO_UDPLITE), attempt.where.v4("udplite4"), attempt.message);
}

}  // namespace

Family udp_family() {
  return {
      {"udp-sendto", Proof::hit, sendto_v4},
      {"udp-v6", Proof::hit, sendto_v6, "IPv6"},
      {"udp-mapped", Proof::hit, sendto_mapped, "IPv6"},
      {"udp-connect", Proof::hit, connected},
      {"udp-writev", Proof::hit, written},
      {"udp-sendmsg", Proof::hit, by_sendmsg},
      {"udp-sendmmsg", Proof::hit, by_sendmmsg},
      {"udp-splice", Proof::hit, spliced},
      {"udp-sendfile", Proof::hit, sent_as_file},
      {"udp-question", Proof::hit, as_question},
      {"udp-broadcast", Proof::hit, broadcast},
      {"udplite", Proof::hit, light, "UDP-Lite"},
  };
}

}  // namespace escape
