#include "sandbox/linux/notify/loopback_socket.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/random.h>

#include <cerrno>
#include <cstring>

namespace nono::sandbox {
namespace {

constexpr int address_attempts = 4;

struct AnyAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

AnyAddress v4_address(std::uint32_t address, std::uint16_t port) {
  AnyAddress result;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&result.storage);
  v4->sin_family = AF_INET;
  v4->sin_addr.s_addr = htonl(address);
  v4->sin_port = htons(port);
  result.size = sizeof *v4;
  return result;
}

AnyAddress v6_address(const in6_addr& address, std::uint16_t port) {
  AnyAddress result;
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&result.storage);
  v6->sin6_family = AF_INET6;
  v6->sin6_addr = address;
  v6->sin6_port = htons(port);
  result.size = sizeof *v6;
  return result;
}

// On an IPv6 socket in its mapped form.
AnyAddress on_loopback(std::uint32_t address, std::uint16_t port, bool v6) {
  if (!v6) return v4_address(address, port);
  in6_addr mapped = {};
  mapped.s6_addr[10] = 0xff;
  mapped.s6_addr[11] = 0xff;
  std::uint32_t network_order = htonl(address);
  std::memcpy(&mapped.s6_addr[12], &network_order, sizeof network_order);
  return v6_address(mapped, port);
}

int get_option(int socket, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(socket, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

void clear_option(int socket, int level, int option) {
  const int off = 0;
  ::setsockopt(socket, level, option, &off, sizeof off);  // where it fails, the bind does
}

// One in 127.0.0.0/8 other than the usual.
std::uint32_t another_loopback_address() {
  std::uint32_t random = 0;
  if (::getrandom(&random, sizeof random, 0) != sizeof random) return INADDR_LOOPBACK;
  return 0x7f010001U + (random & 0x003ffffeU);
}

}  // namespace

int check_tcp_socket(int socket, bool v6) {
  int family = get_option(socket, SO_DOMAIN);
  if (family < 0) return ENOTSOCK;
  bool internet = family == AF_INET || family == AF_INET6;
  if (!internet || get_option(socket, SO_TYPE) != SOCK_STREAM ||
      get_option(socket, SO_PROTOCOL) != IPPROTO_TCP) {
    return EACCES;
  }
  return (family == AF_INET6) == v6 ? 0 : EAFNOSUPPORT;
}

std::uint16_t own_port(int socket) {
  AnyAddress own;
  own.size = sizeof own.storage;
  if (::getsockname(socket, own.get(), &own.size) != 0) return 0;
  // The port lies at the same place for both families.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&own.storage)->sin_port);
}

namespace {

// Empty where it has none.
std::optional<Source> own_end(int socket, bool v6) {
  AnyAddress own;
  own.size = sizeof own.storage;
  if (::getsockname(socket, own.get(), &own.size) != 0) return std::nullopt;
  std::uint32_t address = 0;
  if (v6) {
    const in6_addr& mapped = reinterpret_cast<const sockaddr_in6*>(&own.storage)->sin6_addr;
    std::memcpy(&address, &mapped.s6_addr[12], sizeof address);
  } else {
    address = reinterpret_cast<const sockaddr_in*>(&own.storage)->sin_addr.s_addr;
  }
  const std::uint16_t port = own_port(socket);
  if (port == 0) return std::nullopt;
  return Source{ntohl(address), port};
}

}  // namespace

bool bind_port(int socket, std::uint16_t port, bool v6) {
  if (v6) clear_option(socket, IPPROTO_IPV6, IPV6_V6ONLY);
  AnyAddress own = on_loopback(INADDR_LOOPBACK, port, v6);
  return ::bind(socket, own.get(), own.size) == 0;
}

void LoopbackSources::change_address() {
  const std::uint32_t turn = ~address_ & Source::turn_bit;
  address_ = (another_loopback_address() & ~Source::turn_bit) | turn;
  uses_left_ = uses_of_an_address;
}

std::optional<Source> LoopbackSources::bind(int socket, bool v6) {
  // The IPv4 loopback serves IPv6 sockets too, unless they say otherwise. And the port must be
  // chosen now.
  if (v6) clear_option(socket, IPPROTO_IPV6, IPV6_V6ONLY);
  clear_option(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);

  if (uses_left_ == 0) change_address();
  for (int i = 0; i < address_attempts; ++i) {
    AnyAddress own = on_loopback(address_, 0, v6);
    if (::bind(socket, own.get(), own.size) == 0) {
      --uses_left_;
      break;
    }
    if (errno == EINVAL) break;  // it has one
    if (errno != EADDRINUSE) return std::nullopt;
    change_address();
  }
  std::optional<Source> source = own_end(socket, v6);
  if (!source) errno = EADDRNOTAVAIL;
  return source;
}

int connect_to_loopback(int socket, const Route& route) {
  AnyAddress target = on_loopback(INADDR_LOOPBACK, route.port, route.v6_socket);
  // The mode is the command's as well as ours, so it is changed for this call alone.
  const int flags = ::fcntl(socket, F_GETFL);
  const bool blocking = (flags & O_NONBLOCK) == 0;
  if (blocking) ::fcntl(socket, F_SETFL, flags | O_NONBLOCK);
  const int error = ::connect(socket, target.get(), target.size) == 0 ? 0 : errno;
  if (blocking) ::fcntl(socket, F_SETFL, flags);
  return error;
}

int take_outcome(int socket) {
  int error = get_option(socket, SO_ERROR);
  return error < 0 ? EBADF : error;
}

bool is_unconnected(int socket) {
  tcp_info info = {};
  socklen_t size = sizeof info;
  return ::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
         info.tcpi_state == TCP_CLOSE;
}

bool is_blocking(int socket) {
  return (::fcntl(socket, F_GETFL) & O_NONBLOCK) == 0;
}

}  // namespace nono::sandbox
