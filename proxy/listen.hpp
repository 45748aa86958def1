#pragma once
// Listening sockets.

#include <cstdint>
#include <string>
#include <vector>

#include "config/base/fd.hpp"
#include "config/base/host.hpp"

namespace nono {

// Binds and listens. Errors name the address and what holds it ("127.0.0.1:8080 is in use").
Result<UniqueFd> listen_tcp(const IpAddress& address, std::uint16_t port, bool reuse_port);
// The socket's file belongs to this user alone (0600) from the moment it is there.
Result<UniqueFd> listen_unix(const std::string& path);
// Removes the file of a Unix socket, as listeners name it ("unix:PATH"); other places have none.
void remove_socket_file(const std::string& place);
// The address a listening socket has, for "listening on ...".
Result<HostPort> local_address(const UniqueFd& socket);
// One socket for each of `threads`, the given one the first: further ones of their own with
// SO_REUSEPORT, so that the kernel spreads connections, or the same one shared where that cannot be
// had (Unix sockets, sockets handed to us).
Result<std::vector<UniqueFd>> listen_for_threads(UniqueFd socket, std::size_t threads);

}  // namespace nono
