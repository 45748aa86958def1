#pragma once
// IP addresses and the classes that policy judges them by.

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/error.hpp"

namespace nono {

// An IPv4 or IPv6 address as a value. IPv4-mapped IPv6 (::ffff:a.b.c.d) is kept as IPv6 here;
// unmapped() gives the IPv4 address inside it. No zone ids.
class IpAddress {
 public:
  IpAddress() = default;  // 0.0.0.0
  static IpAddress v4(std::array<std::uint8_t, 4> bytes);
  static IpAddress v6(std::array<std::uint8_t, 16> bytes);
  // Canonical text only: dotted quad without leading zeros, or RFC 4291 IPv6 without brackets or zone.
  static Result<IpAddress> parse(std::string_view text);

  bool is_v4() const { return v4_; }
  std::array<std::uint8_t, 4> v4_bytes() const;                               // is_v4() only
  const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }        // v4: in the first 4
  IpAddress unmapped() const;
  std::string to_string() const;  // RFC 5952 text for IPv6

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
  bool v4_ = true;
};

// An address range, `10.0.0.0/8` or `fd00::/8`; a bare address is a /32 or /128.
class Cidr {
 public:
  Cidr() = default;
  // Host bits must be zero. A range of IPv4-mapped addresses is the range of the IPv4 addresses.
  static Result<Cidr> parse(std::string_view text);
  Cidr(IpAddress address, unsigned prefix_bits) : address_(address), prefix_bits_(prefix_bits) {}
  // An IPv4 range also contains the v4-mapped form of its addresses, and no other embedding.
  bool contains(const IpAddress& address) const;
  const IpAddress& address() const { return address_; }
  unsigned prefix_bits() const { return prefix_bits_; }
  std::string to_string() const;
  friend bool operator==(const Cidr&, const Cidr&) = default;

 private:
  IpAddress address_;
  unsigned prefix_bits_ = 32;
};

// What kind of place an address is (IANA special-purpose registries, RFC 6890). Addresses that
// embed IPv4 (mapped, NAT64 64:ff9b::/96 and 64:ff9b:1::/48, 6to4, Teredo) take the class of the
// IPv4 address inside, unless that is public.
enum class AddressClass : std::uint8_t {
  public_internet,
  metadata,      // 169.254.169.254, fd00:ec2::254, 100.100.100.200, 168.63.129.16 and their kin: never allowed
  link_local,    // 169.254/16, fe80::/10: never allowed
  loopback,      // 127/8, ::1
  private_use,   // RFC 1918, ULA fc00::/7, site-local fec0::/10
  cgnat,         // 100.64/10
  multicast,     // 224/4, ff00::/8
  unspecified,   // 0/8, ::
  reserved,      // 240/4, broadcast, documentation, benchmarking (198.18/15), discard, and the rest
};
std::string_view to_string(AddressClass address_class);
// The same as a noun phrase for sentences: "a loopback address".
std::string_view describe(AddressClass address_class);
AddressClass classify(const IpAddress& address);

// The IPv4 addresses to which packets for this IPv6 address may be carried: those written inside it
// by one of the embeddings above (or by IPv4-compatible, SIIT or ISATAP addresses), in every way of
// reading it. What is denied for one of them is denied for it. None for IPv4.
std::vector<IpAddress> embedded_v4(const IpAddress& address);

// True for the classes that no flag lifts.
bool never_allowed(AddressClass address_class);

}  // namespace nono
