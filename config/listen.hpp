#pragma once
// Where to listen, as flags and files write it.

#include <cstdint>
#include <string>
#include <string_view>

#include "config/base/address.hpp"
#include "config/base/error.hpp"

namespace nono {

struct ListenAddress {
  IpAddress address;
  std::uint16_t port = 0;      // 0: any free one
  std::string unix_path = {};  // not empty: a Unix socket instead
  bool port_written = false;
  bool on_loopback() const;  // Unix sockets count as such
};

// ADDR, ADDR:PORT, V6, [V6], [V6]:PORT, localhost[:PORT], unix:PATH. Errors (bad_input) begin with
// the text; names are refused.
Result<ListenAddress> parse_listen_address(std::string_view text, std::uint16_t default_port = 0);

// The same without unix:PATH, for what speaks TCP or UDP only.
Result<ListenAddress> parse_inet_listen(std::string_view text, std::uint16_t default_port = 0);

// Where DNS is asked, when nothing else is written (RFC 1035 4.2).
inline constexpr std::uint16_t dns_port = 53;

}  // namespace nono
