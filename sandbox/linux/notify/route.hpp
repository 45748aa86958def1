#pragma once
// Where a connection that the command asks for is led: a pure decision over a copied address.

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "config/base/host.hpp"
#include "sandbox/registered_ports.hpp"

namespace nono::sandbox {

// What the supervisor may connect to: the parent's listeners on the host's 127.0.0.1, nothing else.
// A port of 0: there is none.
struct RouteTable {
  std::uint16_t proxy_port = 0;        // of the proxy as the command knows it
  std::uint16_t proxy_listener = 0;    // and where it listens
  std::uint16_t dns_listener = 0;      // gets connections to port 53
  std::uint16_t capture_listener = 0;  // gets those to elsewhere
  bool all_ports = false;              // whatever their port, or that of these alone
  std::vector<Port> ports;
  std::vector<Port> loopback_ports;  // captured although they lead to this host
};

struct Route {
  int error = 0;            // errno for the command; 0: connect
  std::uint16_t port = 0;   // of a listener on 127.0.0.1, which must be told of it
  Destination destination;  // what the command asked for
  bool v6_socket = false;   // the family of socket that such an address belongs to
};

// The destination and the kind of socket alone, or why not.
Route read_destination(std::span<const std::byte> bytes);

// Loopback, or the unspecified address: to the kernel that means this host too.
bool is_this_host(const IpAddress& address);

// `bytes` is the copy of the address that the command gave, as long as it said.
Route find_route(std::span<const std::byte> bytes, const RouteTable& table);

}  // namespace nono::sandbox
