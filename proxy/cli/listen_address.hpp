#pragma once
// --listen: what it may say, and the sockets that come of it.

#include <optional>
#include <string>
#include <vector>

#include "config/base/error.hpp"
#include "config/listen.hpp"
#include "proxy/server.hpp"

namespace nono::cli {

// ADDR, ADDR:PORT, V6, [V6], [V6]:PORT, localhost[:PORT], unix:PATH. `port` is --port; with a port
// written already it is an error (bad_input), as is a name.
Result<ListenAddress> parse_listen(std::string_view text, std::optional<std::uint16_t> port);

struct Listening {
  std::vector<ListenerSetup> sockets;
  std::vector<std::string> places;       // "127.0.0.1:8080", "unix:/run/x"
  std::optional<std::string> authority;  // what a client here dials; absent: Unix sockets only
  bool off_loopback = false;             // one of them can be reached from other machines
};
// Binds all of them. `several_threads` makes sockets that the server can have once per thread.
Result<Listening> open_listeners(const std::vector<ListenAddress>& addresses, bool several_threads);

}  // namespace nono::cli
