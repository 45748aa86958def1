#pragma once
// Where a connection that the command asks for is led: a pure decision over a copied address.

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sandbox/registered_ports.hpp"

namespace nono::sandbox {

// What the supervisor may connect to. Ports of the host's 127.0.0.1; 0 where there is none.
struct RouteTable {
  std::uint16_t proxy_port = 0;              // of the proxy as the command knows it
  std::uint16_t proxy_listener = 0;          // and where it listens
  std::uint16_t capture_listener = 0;        // gets every connection to elsewhere
  std::uint16_t dns_listener = 0;            // gets those to port 53
  std::vector<std::uint16_t> open_ports;     // of the host's own loopback services
};

struct Route {
  int error = 0;            // errno for the command; 0: connect
  std::uint16_t port = 0;   // on 127.0.0.1, or on ::1 where `v6_loopback`
  bool registered = false;  // the listener must be told of it: it is ours
  bool v6_loopback = false;
  Destination destination;  // what the command asked for
  bool v6_socket = false;   // the family of socket that such an address belongs to
};

// `bytes` is the copy of the address that the command gave, as long as it said.
Route find_route(std::span<const std::byte> bytes, const RouteTable& table);

}  // namespace nono::sandbox
