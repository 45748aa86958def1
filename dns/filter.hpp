#pragma once
// The address filter: which of a name's addresses may be dialled. Pure: no I/O, no clock.

#include <optional>
#include <vector>

#include "config/base/permit.hpp"
#include "dns/resolver.hpp"

namespace nono::dns {

// The only maker of VettedAddresses.
class Filter {
 public:
  // Keeps those of `candidates` that the permit's address policy admits, in their order and each
  // once. Metadata and link-local addresses are dropped always; loopback, private, CGNAT and the
  // like unless allow_private holds them, or the target is itself an address that a rule names
  // (Permit::literal). An IPv4-mapped address is judged, and dialled, as the IPv4 address it holds.
  // Observe mode: where all would be refused, those that are not always denied are kept, with
  // VettedAddresses::set_aside() saying why they would have been.
  // Errors: address_refused (side client) naming target, address, class and the flag that would
  // admit it; name_not_found (side upstream) where there were no candidates. `ttl` goes along.
  static Result<VettedAddresses> vet(const Permit& permit, const std::vector<IpAddress>& candidates,
                                     std::chrono::seconds ttl = {});
};

// The order in which to dial: families alternate, IPv6 first, each in its given order (RFC 8305 4).
std::vector<IpAddress> interleave_families(const std::vector<IpAddress>& addresses);

// The range that --allow-private would have to name for `address`: its well-known block
// (10.0.0.0/8, 127.0.0.0/8, a ULA /48, ...), or the address alone where there is none. None for
// addresses that are public or that no flag allows.
std::optional<Cidr> range_to_allow(const IpAddress& address);

}  // namespace nono::dns
