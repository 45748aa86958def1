#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>
#include <utility>

namespace escape {

// A message to `address`, as sendmsg() and sendmmsg() take it.
struct Envelope {
  Envelope(std::string text, sockaddr_in to) : message(std::move(text)), address(to) {
    part = {message.data(), message.size()};
    header.msg_name = &address;
    header.msg_namelen = sizeof address;
    header.msg_iov = &part;
    header.msg_iovlen = 1;
  }
  Envelope(const Envelope&) = delete;
  std::string message;
  sockaddr_in address;
  iovec part = {};
  msghdr header = {};
};

}  // namespace escape
