#include "dns/filter.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <string>

namespace nono::dns {
namespace {

bool admitted(const Permit& permit, const IpAddress& address) {
  AddressClass address_class = classify(address);
  if (never_allowed(address_class)) return false;
  if (permit.addresses().denies(address, permit.target().port) != nullptr) return false;
  if (address_class == AddressClass::public_internet) return true;
  // A rule that names an address speaks for that address only, never for what a name resolves to.
  if (permit.literal() && !permit.target().host.is_name()) return true;
  const std::vector<Cidr>& ranges = permit.addresses().allow_private;
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const Cidr& range) { return range.contains(address); });
}

Refusal refuse(const Permit& permit, const std::vector<IpAddress>& refused) {
  // Where several were refused, name one that the user can do something about.
  auto liftable = std::find_if(refused.begin(), refused.end(), [](const IpAddress& address) {
    return !never_allowed(classify(address));
  });
  const IpAddress& address = liftable == refused.end() ? refused.front() : *liftable;
  const Host& host = permit.target().host;
  std::string_view kind = describe(classify(address));
  std::string what = host.is_name() ? fmt::format("{} resolves to {}, {}", host.to_string(),
                                                  address.to_string(), kind)
                                    : fmt::format("{} is {}", address.to_string(), kind);
  if (const auto* denied = permit.addresses().denies(address, permit.target().port)) {
    return Refusal{Because{Reason::rule_denies, denied->rule},
                   fmt::format("{}, denied by the rule {}", what, denied->rule),
                   fmt::format("remove the deny rule {}", denied->rule)};
  }
  std::optional<Cidr> range = range_to_allow(address);
  std::string fix = range ? fmt::format("allow it with --allow-private {}", range->to_string())
                          : "no flag allows it";
  return Refusal{Because{Reason::private_address, {}}, std::move(what), std::move(fix)};
}

Cidr block_of(const IpAddress& address, unsigned prefix_bits) {
  std::array<std::uint8_t, 16> bytes = address.bytes();
  for (unsigned bit = prefix_bits; bit < (address.is_v4() ? 32U : 128U); ++bit) {
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] & ~(0x80U >> (bit % 8)));
  }
  IpAddress first = address.is_v4() ? IpAddress::v4({bytes[0], bytes[1], bytes[2], bytes[3]})
                                    : IpAddress::v6(bytes);
  return Cidr(first, prefix_bits);
}

// Prefix length of the well-known block around a private-like IPv4 address.
unsigned v4_block_bits(const IpAddress& address, AddressClass address_class) {
  switch (address_class) {
    case AddressClass::loopback:
    case AddressClass::unspecified:
      return 8;
    case AddressClass::cgnat:
      return 10;
    case AddressClass::multicast:
      return 4;
    case AddressClass::private_use:
      if (address.bytes()[0] == 10) return 8;
      return address.bytes()[0] == 172 ? 12 : 16;
    default:
      return 32;
  }
}

unsigned v6_block_bits(const IpAddress& address, AddressClass address_class) {
  // A ULA site is its /48 (RFC 4193 3.1); an embedded IPv4 address has no block of its own.
  bool ula = (address.bytes()[0] & 0xfe) == 0xfc;
  return address_class == AddressClass::private_use && ula ? 48 : 128;
}

}  // namespace

Result<VettedAddresses> Filter::vet(const Permit& permit, const std::vector<IpAddress>& candidates,
                                    std::chrono::seconds ttl) {
  std::vector<IpAddress> kept;
  std::vector<IpAddress> refused;
  for (const IpAddress& candidate : candidates) {
    IpAddress address = candidate.unmapped();
    std::vector<IpAddress>& list = admitted(permit, address) ? kept : refused;
    if (std::find(list.begin(), list.end(), address) == list.end()) list.push_back(address);
  }
  if (!kept.empty()) return VettedAddresses(std::move(kept), ttl);
  if (!refused.empty()) {
    Refusal refusal = refuse(permit, refused);
    // Observing lets pass what would be refused as a whole, and only that.
    refused.erase(
        std::remove_if(refused.begin(), refused.end(),
                       [](const IpAddress& address) { return never_allowed(classify(address)); }),
        refused.end());
    if (!permit.addresses().observe || refused.empty()) {
      return fail(ErrorCode::address_refused, std::move(refusal.detail), std::move(refusal.fix),
                  Side::client);
    }
    VettedAddresses observed(std::move(refused), ttl);
    observed.set_aside_ = std::make_shared<const Refusal>(std::move(refusal));
    return observed;
  }
  return fail(ErrorCode::name_not_found, permit.target().host.to_string() + " has no address", {},
              Side::upstream);
}

std::vector<IpAddress> interleave_families(const std::vector<IpAddress>& addresses) {
  std::vector<IpAddress> v4;
  std::vector<IpAddress> v6;
  for (const IpAddress& address : addresses) (address.is_v4() ? v4 : v6).push_back(address);
  std::vector<IpAddress> ordered;
  ordered.reserve(addresses.size());
  for (std::size_t i = 0; i < std::max(v4.size(), v6.size()); ++i) {
    if (i < v6.size()) ordered.push_back(v6[i]);
    if (i < v4.size()) ordered.push_back(v4[i]);
  }
  return ordered;
}

std::optional<Cidr> range_to_allow(const IpAddress& address) {
  IpAddress plain = address.unmapped();
  AddressClass address_class = classify(plain);
  if (never_allowed(address_class) || address_class == AddressClass::public_internet) return {};
  return block_of(plain, plain.is_v4() ? v4_block_bits(plain, address_class)
                                       : v6_block_bits(plain, address_class));
}

}  // namespace nono::dns
