#pragma once
// The tunnel's data path: bytes both ways between two sockets, half-close kept.

#include <chrono>
#include <cstdint>
#include <string_view>

#include "proxy/net/tcp_stream.hpp"

namespace nono {

enum class RelayEnd : std::uint8_t {
  finished,  // both sides ended their direction
  idle,      // nothing moved for the idle time
  reset,     // one side broke off
};

struct RelayResult {
  std::uint64_t bytes_to_upstream = 0;
  std::uint64_t bytes_to_client = 0;
  RelayEnd end = RelayEnd::finished;
};

// Relays until both directions ended, one broke off, or nothing moved for `idle`. `early` are bytes
// already received from the client; they go upstream first. Both sockets are closed on return.
Awaitable<RelayResult> relay(TcpStream& client, TcpStream& upstream, std::string_view early,
                             std::chrono::milliseconds idle);

// The same over any streams (TLS, for an upgraded connection), slower.
Awaitable<RelayResult> relay_streams(ByteStream& client, ByteStream& upstream,
                                     std::string_view early_client, std::string_view early_upstream,
                                     std::chrono::milliseconds idle);

}  // namespace nono
