#pragma once
// Names and targets, parsed once at the edge: past the parser no host is a plain string.

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "config/base/address.hpp"
#include "config/base/error.hpp"

namespace nono {

// A TCP or UDP port, 1..65535.
class Port {
 public:
  constexpr explicit Port(std::uint16_t value) : value_(value) {}
  // Decimal digits only, no sign, no leading zeros, 1..65535.
  static Result<Port> parse(std::string_view text);
  constexpr std::uint16_t value() const { return value_; }
  friend constexpr auto operator<=>(const Port&, const Port&) = default;

 private:
  std::uint16_t value_;
};
inline constexpr Port https_port{443};
inline constexpr Port http_port{80};

class Host;
Result<Host> parse_host(std::string_view text);

// A DNS name in its one normal form: ASCII lower case (IDNA2008/UTS 46 to A-labels), no trailing dot,
// labels of 1..63 octets, at most 253 in all, letters, digits, '-' and '_' only. Never a number: every
// spelling that some resolver reads as an address is refused here (parse_host makes it one).
class HostName {
 public:
  static Result<HostName> parse(std::string_view text);
  const std::string& text() const { return text_; }
  friend auto operator<=>(const HostName&, const HostName&) = default;

 private:
  friend Result<Host> parse_host(std::string_view text);
  explicit HostName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// Where to: a name or an address. An IPv4-mapped address (::ffff:a.b.c.d) is the IPv4 address: both
// say the same place, and two ways of saying it must compare equal.
class Host {
 public:
  Host(HostName name) : value_(std::move(name)) {}  // NOLINT(google-explicit-constructor)
  Host(const IpAddress& address)                    // NOLINT(google-explicit-constructor)
      : value_(address.unmapped()) {}
  bool is_name() const { return std::holds_alternative<HostName>(value_); }
  const HostName& name() const { return std::get<HostName>(value_); }
  const IpAddress& address() const { return std::get<IpAddress>(value_); }
  std::string to_string() const;  // IPv6 without brackets
  friend bool operator==(const Host&, const Host&) = default;

 private:
  std::variant<HostName, IpAddress> value_;
};

// Reads a host as clients write it: a name, a dotted quad, `[v6]` or bare v6, and the numeric
// spellings of inet_aton (octal, hex, one to four parts), which become the address they mean.
// Refused: NUL, controls, spaces, '%', empty or over-long labels, zone ids, anything else.
Result<Host> parse_host(std::string_view text);

struct HostPort {
  Host host;
  Port port;
  std::string to_string() const;  // "example.com:443", "[::1]:443"
  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// `host:port`, `[v6]:port`; without a port `default_port`, and without that an error. No userinfo.
Result<HostPort> parse_host_port(std::string_view text, std::optional<Port> default_port = {});

}  // namespace nono

template <>
struct std::hash<nono::HostName> {
  std::size_t operator()(const nono::HostName& name) const noexcept {
    return std::hash<std::string>{}(name.text());
  }
};
