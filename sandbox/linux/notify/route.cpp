#include "sandbox/linux/notify/route.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace nono::sandbox {
namespace {

constexpr std::uint16_t dns_port = 53;
constexpr std::size_t sin6_size_min = 24;  // without the scope, as in RFC 2133; the kernel agrees

Route refused(int error) {
  Route route;
  route.error = error;
  return route;
}

template <class Address>
Address copy_as(std::span<const std::byte> bytes) {
  Address address = {};
  std::memcpy(&address, bytes.data(), std::min(bytes.size(), sizeof address));
  return address;
}

bool contains(const std::vector<Port>& ports, std::uint16_t port) {
  return std::any_of(ports.begin(), ports.end(), [&](Port one) { return one.value() == port; });
}

}  // namespace

// The kernel reads no further than the family's own size.
Route read_destination(std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof(sa_family_t)) return refused(EINVAL);
  Route route;
  switch (copy_as<sa_family_t>(bytes)) {
    case AF_INET: {
      if (bytes.size() < sizeof(sockaddr_in)) return refused(EINVAL);
      auto address = copy_as<sockaddr_in>(bytes);
      std::array<std::uint8_t, 4> raw = {};
      std::memcpy(raw.data(), &address.sin_addr, raw.size());
      route.destination = {IpAddress::v4(raw), ntohs(address.sin_port)};
      return route;
    }
    case AF_INET6: {
      if (bytes.size() < sin6_size_min) return refused(EINVAL);
      auto address = copy_as<sockaddr_in6>(bytes);
      std::array<std::uint8_t, 16> raw = {};
      std::memcpy(raw.data(), &address.sin6_addr, raw.size());
      route.destination = {IpAddress::v6(raw).unmapped(), ntohs(address.sin6_port)};
      route.v6_socket = true;
      return route;
    }
    default:
      return refused(EAFNOSUPPORT);
  }
}

bool is_this_host(const IpAddress& address) {
  if (classify(address) == AddressClass::loopback) return true;
  const auto& bytes = address.bytes();
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

Route find_route(std::span<const std::byte> bytes, const RouteTable& table) {
  Route route = read_destination(bytes);
  if (route.error != 0) return route;
  const std::uint16_t port = route.destination.port;
  const bool this_host = is_this_host(route.destination.address);
  if (port == 0) return refused(ECONNREFUSED);

  if (this_host && port == table.proxy_port) {
    route.port = table.proxy_listener;
  } else if (this_host && contains(table.loopback_ports, port)) {
    route.port = table.capture_listener;
  } else if (port == dns_port) {  // on loopback too: a resolver of the host's listens there
    route.port = table.dns_listener;
  } else if (!this_host && (table.all_ports || contains(table.ports, port))) {
    route.port = table.capture_listener;
  }
  return route.port == 0 ? refused(ECONNREFUSED) : route;
}

}  // namespace nono::sandbox
