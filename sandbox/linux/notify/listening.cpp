#include "sandbox/linux/notify/listening.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "sandbox/linux/notify/loopback_socket.hpp"
#include "sandbox/linux/notify/route.hpp"

namespace nono::sandbox {
namespace {

bool contains(const std::vector<Port>& ports, std::uint16_t port) {
  return std::any_of(ports.begin(), ports.end(), [&](Port one) { return one.value() == port; });
}

int bind_error(const TrappedCall& call, const std::vector<Port>& ports) {
  const std::size_t said = static_cast<std::uint32_t>(call.argument(2));
  if (said > sizeof(sockaddr_storage)) return EINVAL;
  const auto bytes = call.copy(call.argument(1), said);
  if (!bytes) return errno == EFAULT ? EFAULT : EACCES;
  const Route wanted = read_destination(*bytes);
  if (wanted.error != 0) return wanted.error;
  if (!is_this_host(wanted.destination.address) || !contains(ports, wanted.destination.port)) {
    return EACCES;
  }
  UniqueFd socket = call.duplicate(call.socket_number());
  if (!socket) return errno;
  if (int error = check_tcp_socket(socket.get(), wanted.v6_socket); error != 0) return error;
  return bind_port(socket.get(), wanted.destination.port, wanted.v6_socket) ? 0 : errno;
}

int listen_error(const TrappedCall& call, const std::vector<Port>& ports) {
  UniqueFd socket = call.duplicate(call.socket_number());
  if (!socket) return errno;
  const bool v6 = check_tcp_socket(socket.get(), true) == 0;
  if (!v6) {
    if (int error = check_tcp_socket(socket.get(), false); error != 0) return error;
  }
  // On the duplicate: whatever the command does to its own meanwhile, this socket is bound there.
  if (!contains(ports, own_port(socket.get()))) return EACCES;
  const int backlog = static_cast<int>(call.argument(1));
  return ::listen(socket.get(), backlog) == 0 ? 0 : errno;
}

}  // namespace

void bind_for(const TrappedCall& call, const std::vector<Port>& ports) {
  call.answer(bind_error(call, ports));
}

void listen_for(const TrappedCall& call, const std::vector<Port>& ports) {
  call.answer(listen_error(call, ports));
}

}  // namespace nono::sandbox
