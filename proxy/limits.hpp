#pragma once
// Every bound of the proxy in one place, each with its reason. Units last.

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace nono {

struct Limits {
  // Heads: what real clients send fits in 64 KiB many times over; a longer one is an attack or a
  // bug.
  std::size_t head_bytes_max = 64 * 1024;
  std::size_t request_line_bytes_max = 8 * 1024;  // RFC 9112 3 asks for at least 8000
  std::size_t fields_max = 100;

  // Connections: each costs two descriptors and a few KiB.
  std::size_t connections_max = 4096;
  std::size_t session_connections_max = 0;  // of one session; 0: only the bound above
  // New connections. 0: no bound, since a job that is allowed its hosts may be in a hurry; set it
  // where many share one proxy.
  unsigned connects_per_second_max = 0;
  unsigned session_connects_per_second_max = 0;

  // Connections to upstreams that wait for a request, of one thread. Opening one costs more than
  // many requests over it. 0: none but what a client's own connection keeps.
  std::size_t upstream_pool_max = 256;
  std::size_t upstream_pool_per_target_max = 64;  // of one session; no host may hold all of them
  std::chrono::milliseconds upstream_idle_time_max{30'000};  // servers close theirs after 5 to 75 s

  // Time, per phase: a client or upstream that stalls is let go.
  std::chrono::milliseconds head_time_max{10'000};  // a whole request head, slow clients included
  std::chrono::milliseconds keep_alive_time_max{60'000};  // between two requests of one connection
  std::chrono::milliseconds resolve_time_max{10'000};
  std::chrono::milliseconds connect_time_max{10'000};  // all addresses together
  std::chrono::milliseconds tls_time_max{10'000};
  std::chrono::milliseconds first_byte_time_max{300'000};  // language models think long
  std::chrono::milliseconds peek_time_max{10'000};         // a tunnel's ClientHello
  std::chrono::milliseconds idle_time_max{600'000};  // a tunnel or body in which nothing moves
  std::chrono::milliseconds drain_time_max{2'000};   // reading a peer's rest away on close
  std::size_t drain_bytes_max = 256 * 1024;
  std::size_t peek_bytes_max = 16 * 1024;  // a ClientHello with many key shares is 2 KiB
};

}  // namespace nono
