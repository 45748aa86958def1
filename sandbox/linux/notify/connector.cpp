#include "sandbox/linux/notify/connector.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "sandbox/linux/notify/loopback_socket.hpp"

namespace nono::sandbox {
namespace {

// The ephemeral port of a socket with SO_REUSEADDR may be one that another of its kind uses.
constexpr int port_attempts = 8;

bool is_ready(int socket) {
  pollfd poll = {socket, POLLOUT, 0};
  return ::poll(&poll, 1, 0) > 0;
}

}  // namespace

// A duplicate where the kernel and whatever surrounds us let us have one. Docker's filter does not:
// then a socket of our own, which takes the place of the command's when it is connected.
UniqueFd Connector::take_socket(const TrappedCall& call, const Route& route, Waiting& waiting,
                                int& error) {
  UniqueFd socket = call.duplicate(call.socket_number());
  if (socket) {
    error = check_tcp_socket(socket.get(), route.v6_socket);
    return socket;
  }
  error = errno;
  if (error != EPERM && error != ENOSYS) return {};
  const int flags = call.descriptor_flags(call.socket_number());
  if (flags < 0) {
    error = EBADF;
    return {};
  }
  int type = SOCK_STREAM | SOCK_CLOEXEC | ((flags & O_NONBLOCK) != 0 ? SOCK_NONBLOCK : 0);
  socket = UniqueFd(::socket(route.v6_socket ? AF_INET6 : AF_INET, type, IPPROTO_TCP));
  error = socket ? 0 : errno;
  waiting.ours = true;
  waiting.close_on_exec = (flags & O_CLOEXEC) != 0;
  return socket;
}

void Connector::connect(const TrappedCall& call) {
  const std::size_t said = static_cast<std::uint32_t>(call.argument(2));
  if (said > sizeof(sockaddr_storage)) {
    call.answer(EINVAL);
    return;
  }
  const auto bytes = call.copy(call.argument(1), said);
  const int copy_error = errno;
  if (!call.waits()) return;
  if (!bytes) {
    call.answer(copy_error == EFAULT ? EFAULT : EACCES);
    return;
  }
  const Route route = find_route(*bytes, routes_);
  if (route.error != 0) {
    call.answer(route.error);
    return;
  }
  Waiting waiting{call, {}, {}, false, false};
  int error = 0;
  waiting.socket = take_socket(call, route, waiting, error);
  if (!waiting.socket || error != 0) {
    call.answer(error);
    return;
  }
  start(std::move(waiting), route);
}

void Connector::start(Waiting waiting, const Route& route) {
  int error = EADDRNOTAVAIL;
  for (int i = 0; i < port_attempts && error == EADDRNOTAVAIL; ++i) {
    // One that is connected already gets the kernel's answer to that.
    if (is_unconnected(waiting.socket.get())) {
      waiting.source = sources_.bind(waiting.socket.get(), route.v6_socket);
      if (!waiting.source) return finish(waiting, errno);
      ports_.add(*waiting.source, route.destination);
    }
    error = connect_to_loopback(waiting.socket.get(), route);
  }
  const bool blocking = is_blocking(waiting.socket.get());
  if (error == EINPROGRESS && blocking) {
    if (!is_ready(waiting.socket.get())) {
      waiting_.push_back(std::move(waiting));
      return;
    }
    error = take_outcome(waiting.socket.get());
  }
  finish(waiting, error);
}

void Connector::finish(Waiting& waiting, int error) {
  const bool under_way = error == 0 || error == EINPROGRESS;
  if (under_way && waiting.ours &&
      !waiting.call.replace(waiting.call.socket_number(), waiting.socket, waiting.close_on_exec)) {
    error = EACCES;
  }
  const bool told = waiting.call.answer(error);
  // A port that nobody will come from must not stand for a destination.
  const bool connecting = error == 0 || error == EINPROGRESS;
  if (waiting.source && !(told && connecting)) ports_.remove(*waiting.source);
}

void Connector::add_polls(std::vector<pollfd>& polls) const {
  for (const Waiting& waiting : waiting_) polls.push_back({waiting.socket.get(), POLLOUT, 0});
}

void Connector::serve(std::span<const pollfd> polls) {
  std::vector<Waiting> still;
  for (std::size_t i = 0; i < waiting_.size(); ++i) {
    if (i < polls.size() && polls[i].revents != 0) {
      finish(waiting_[i], take_outcome(waiting_[i].socket.get()));
    } else if (waiting_[i].call.waits()) {
      still.push_back(std::move(waiting_[i]));
    } else if (waiting_[i].source) {
      ports_.remove(*waiting_[i].source);
    }
  }
  waiting_ = std::move(still);
}

}  // namespace nono::sandbox
