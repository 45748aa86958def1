#pragma once
// A socket of the command's, connected within the host's loopback.

#include <optional>

#include "sandbox/linux/notify/route.hpp"
#include "sandbox/registered_ports.hpp"

namespace nono::sandbox {

// Whether it is plain TCP of that family; otherwise the errno for the command.
int check_tcp_socket(int socket, bool v6);

// The own ends of connections, on the host's loopback: 127.0.0.1, and after many connections
// another address of 127.0.0.0/8. The kernel seeks a free port among those that wait for their last
// packets, and the more of them an address has the longer that takes: up to milliseconds.
class LoopbackSources {
 public:
  // Gives the socket one, or finds the one that it has. Empty: errno says why.
  std::optional<Source> bind(int socket, bool v6);

 private:
  static constexpr int uses_of_an_address = 4096;
  void change_address();

  std::uint32_t address_ = Source().address;
  int uses_left_ = uses_of_an_address;
};

// Binds it to that port of the host's loopback; false: errno says why.
bool bind_port(int socket, std::uint16_t port, bool v6);
std::uint16_t own_port(int socket);  // 0: none

// Connects without waiting, whatever the socket's mode: 0, or an errno (EINPROGRESS: poll for it).
int connect_to_loopback(int socket, const Route& route);

// Takes the outcome of a connection that was in progress: 0 or an errno.
int take_outcome(int socket);

bool is_blocking(int socket);
bool is_unconnected(int socket);

}  // namespace nono::sandbox
