#include "proxy/dns_listen.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "proxy/listen.hpp"

namespace nono {
namespace {

constexpr int free_port_attempts = 16;

Error bind_error(int saved_errno, const std::string& where) {
  Error error = errno_error(saved_errno, "cannot answer DNS on " + where);
  if (saved_errno == EADDRINUSE) {
    error.what = where + "/udp is in use by another process";
    error.fix =
        "another DNS server may have it; choose another address or port, as 127.0.0.2 or "
        "127.0.0.1:5353";
  } else if (saved_errno == EACCES) {
    error.fix = "ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one";
  } else if (saved_errno == EADDRNOTAVAIL) {
    error.fix = "the address must be one of this machine's";
  }
  return error;
}

Result<UniqueFd> bind_udp(const HostPort& place, bool reuse_port) {
  const IpAddress& address = place.host.address();
  sockaddr_storage storage{};
  socklen_t size = 0;
  if (address.is_v4()) {
    auto* in = reinterpret_cast<sockaddr_in*>(&storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(place.port.value());
    std::memcpy(&in->sin_addr, address.bytes().data(), 4);
    size = sizeof *in;
  } else {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(place.port.value());
    std::memcpy(&in6->sin6_addr, address.bytes().data(), 16);
    size = sizeof *in6;
  }
  UniqueFd fd(::socket(storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail(errno_error(errno, "cannot make a socket for " + place.to_string()));
  const int on = 1;
  if (reuse_port) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&storage), size) != 0) {
    return fail(bind_error(errno, place.to_string()));
  }
  return fd;
}

Result<DnsSockets> listen_both(const IpAddress& address, std::uint16_t port, bool several_threads) {
  DnsSockets sockets;
  Result<UniqueFd> tcp = listen_tcp(address, port, several_threads);
  if (!tcp) return fail(tcp.error());
  sockets.tcp = std::move(*tcp);
  const Result<HostPort> place = local_address(sockets.tcp);
  if (!place) return fail(place.error());
  // Sockets that share a port do not say that somebody else is there; one that does not share does.
  Result<UniqueFd> udp = bind_udp(*place, false);
  if (udp && several_threads) {
    udp->reset();
    udp = bind_udp(*place, true);
  }
  if (!udp) return fail(udp.error());
  sockets.udp = std::move(*udp);
  return sockets;
}

}  // namespace

Result<DnsSockets> listen_dns(const IpAddress& address, std::uint16_t port, bool several_threads) {
  Result<DnsSockets> sockets = listen_both(address, port, several_threads);
  // A port that is free for TCP may be taken for UDP.
  for (int attempt = 1; port == 0 && !sockets && attempt < free_port_attempts; ++attempt) {
    sockets = listen_both(address, port, several_threads);
  }
  return sockets;
}

Result<std::vector<DnsSockets>> dns_for_threads(DnsSockets sockets, std::size_t threads) {
  const Result<HostPort> place = local_address(sockets.tcp);
  if (!place) return fail(place.error());
  Result<std::vector<UniqueFd>> tcp = listen_for_threads(std::move(sockets.tcp), threads);
  if (!tcp) return fail(tcp.error());
  std::vector<DnsSockets> all;
  for (std::size_t index = 0; index < threads; ++index) {
    DnsSockets one;
    one.tcp = std::move((*tcp)[index]);
    if (index == 0) {
      one.udp = std::move(sockets.udp);
    } else {
      Result<UniqueFd> udp = bind_udp(*place, true);
      if (!udp) return fail(udp.error());
      one.udp = std::move(*udp);
    }
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace nono
