#pragma once
// The tunnel's data path: bytes both ways between two sockets, half-close kept.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include "proxy/net/tcp_stream.hpp"

namespace nono {

// Judges what a client sends first through a tunnel, before any of it goes upstream.
class FirstBytesJudge {
 public:
  enum class Verdict : std::uint8_t { more, pass, refuse };
  virtual ~FirstBytesJudge() = default;
  // `bytes`: everything so far, from the first byte on, never empty. `at_end`: the client sends no
  // more, so that `more` refuses.
  virtual Verdict judge(std::string_view bytes, bool at_end) = 0;
};

struct RelayLimits {
  std::chrono::milliseconds idle{600'000};
  std::chrono::milliseconds peek{10'000};  // from the client's first byte to the verdict
  std::size_t peek_bytes_max = 16 * 1024;
};

enum class RelayEnd : std::uint8_t {
  finished,  // both sides ended their direction
  idle,      // nothing moved for the idle time
  reset,     // one side broke off
  refused,   // by the judge, or for want of a verdict in time; the client sent nothing upstream
};

struct RelayResult {
  std::uint64_t bytes_to_upstream = 0;
  std::uint64_t bytes_to_client = 0;
  RelayEnd end = RelayEnd::finished;
};

// Told what moves while it moves: at most once a tick (100 ms), and when the relay ends.
class RelayMeter {
 public:
  virtual ~RelayMeter() = default;
  // Bytes since the last call.
  virtual void moved(std::uint64_t to_upstream, std::uint64_t to_client) noexcept = 0;
};

// Relays until both directions ended, one broke off, or nothing moved for the idle time. `early`
// are bytes already received from the client. With a `judge` nothing of the client's goes upstream
// before its verdict, and it is freed once it lets the client pass; the upstream's bytes flow at
// once, for protocols in which the server speaks first. On return the upstream is closed, and the
// client unless the end is `refused`. Closing both streams from outside ends the relay at
// once; one alone, once what is under way to the other is sent. Bytes
// count once the receiving socket has taken them. All arguments must outlive the await; SIGPIPE
// must be ignored.
Awaitable<RelayResult> relay(TcpStream& client, TcpStream& upstream, std::string_view early,
                             const RelayLimits& limits, std::unique_ptr<FirstBytesJudge>& judge,
                             RelayMeter* meter = nullptr);

// Changes what the upstream sends before the client sees it. `out` is appended to; an error ends
// the relay.
class RelayFilter {
 public:
  virtual ~RelayFilter() = default;
  virtual Result<void> feed(std::string_view in, std::string& out) = 0;
  // The upstream has ended: whatever was held back.
  virtual void finish(std::string& out) = 0;
};

// The same over any streams (TLS, for an upgraded connection), slower. `to_client` may be null.
Awaitable<RelayResult> relay_streams(ByteStream& client, ByteStream& upstream,
                                     std::string_view early_client, std::string_view early_upstream,
                                     std::chrono::milliseconds idle,
                                     RelayFilter* to_client = nullptr);

}  // namespace nono
