// classify(): the IANA special-purpose registries (RFC 6890 and its updates), as prefix tables.

#include <cstring>
#include <optional>

#include "config/base/address.hpp"

namespace nono {
namespace {

using Bytes = std::array<std::uint8_t, 16>;

struct Range {
  Bytes prefix;  // IPv4: in the first four
  unsigned bits;
  AddressClass address_class;
};

bool in_range(const Bytes& bytes, const Range& range) {
  const unsigned whole = range.bits / 8;
  if (std::memcmp(bytes.data(), range.prefix.data(), whole) != 0) return false;
  const unsigned rest = range.bits % 8;
  return rest == 0 || bytes[whole] >> (8 - rest) == range.prefix[whole] >> (8 - rest);
}

using enum AddressClass;

// First match wins, so single addresses stand before the ranges around them.
constexpr Range v4_ranges[] = {
    {{169, 254, 169, 254}, 32, metadata},  // nearly every cloud
    {{169, 254, 169, 253}, 32, metadata},  // AWS: resolver
    {{169, 254, 169, 123}, 32, metadata},  // AWS: time
    {{169, 254, 170, 2}, 32, metadata},    // AWS: credentials of an ECS task
    {{169, 254, 170, 23}, 32, metadata},   // AWS: credentials of an EKS pod
    {{169, 254, 0, 23}, 32, metadata},     // Tencent
    {{169, 254, 42, 42}, 32, metadata},    // Scaleway
    {{100, 100, 100, 200}, 32, metadata},  // Alibaba
    {{168, 63, 129, 16}, 32, metadata},    // Azure: wire server, a public address
    {{192, 0, 0, 192}, 32, metadata},      // Oracle
    {{169, 254}, 16, link_local},
    {{127}, 8, loopback},
    {{10}, 8, private_use},
    {{172, 16}, 12, private_use},
    {{192, 168}, 16, private_use},
    {{100, 64}, 10, cgnat},
    {{0}, 8, unspecified},
    {{224}, 4, multicast},
    {{240}, 4, reserved},         // with the broadcast address
    {{192, 0, 0}, 24, reserved},  // IETF protocol assignments
    {{192, 0, 2}, 24, reserved},  // documentation, three times
    {{198, 51, 100}, 24, reserved},
    {{203, 0, 113}, 24, reserved},
    {{192, 88, 99}, 24, reserved},  // 6to4 relays, withdrawn
    {{198, 18}, 15, reserved},      // benchmarking
};

constexpr Range v6_ranges[] = {
    {{0xfd, 0x00, 0x0e, 0xc2}, 32, metadata},  // AWS: ::254, and its resolver, time, pod identity
    {{0xfd, 0x20, 0, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}, 128, metadata},  // Google
    {{0xfd, 0x00, 0, 0xc1, 0, 0, 0, 0, 0, 0, 0, 0, 0xa9, 0xfe, 0xa9, 0xfe},
     128,
     metadata},                                                                     // Oracle
    {{0xfd, 0x00, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x42}, 128, metadata},  // Scaleway
    {{0xfd, 0x00, 0xa9, 0xfe, 0xa9, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01},
     128,
     metadata},  // Akamai
    {{0xfe, 0x80}, 10, link_local},
    {{0xfe, 0xc0}, 10, private_use},  // site-local, withdrawn but still routed by some
    {{0xfc}, 7, private_use},
    {{0xff}, 8, multicast},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, loopback},
    {{}, 128, unspecified},
    {{0x20, 0x01}, 23, reserved},              // IETF protocol assignments (Teredo is seen before)
    {{0x20, 0x01, 0x0d, 0xb8}, 32, reserved},  // documentation, twice
    {{0x3f, 0xff}, 20, reserved},
    {{0x20}, 3, public_internet},
    {{}, 0, reserved},  // everything outside 2000::/3: discard-only, SRv6 SIDs, unassigned
};

AddressClass look_up(const Bytes& bytes, const Range* begin, const Range* end) {
  for (const Range* range = begin; range != end; ++range) {
    if (in_range(bytes, *range)) return range->address_class;
  }
  return public_internet;
}

AddressClass classify_v4(const Bytes& bytes) {
  return look_up(bytes, std::begin(v4_ranges), std::end(v4_ranges));
}

using Places = std::array<std::uint8_t, 4>;  // which octets the IPv4 address is in
constexpr Places tail{12, 13, 14, 15};

Bytes read_at(const Bytes& b, const Places& places) {
  return Bytes{b[places[0]], b[places[1]], b[places[2]], b[places[3]]};
}

struct Embedding {
  Range range;  // address_class: its class where the IPv4 address inside is public
  std::array<Places, 4> readings;
  std::size_t count = 1;  // of readings, the most usual one first
};

// Prefixes whose addresses are carried to an IPv4 address written inside them. 64:ff9b:1::/48 may
// be used with any prefix length from /48 to /96 (RFC 8215, RFC 6052 2.2), which puts that address
// in different octets.
constexpr Embedding embeddings[] = {
    {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, public_internet}, {tail}},     // mapped
    {{{0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0}, 96, public_internet}, {tail}},  // NAT64
    {{{0, 0x64, 0xff, 0x9b, 0, 1}, 48, private_use},
     {tail, Places{6, 7, 9, 10}, Places{7, 9, 10, 11}, Places{9, 10, 11, 12}},
     4},
    {{{0x20, 0x02}, 16, public_internet}, {Places{2, 3, 4, 5}}},           // RFC 3056
    {{{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0}, 96, reserved}, {tail}},  // SIIT, RFC 2765
    {{{}, 96, reserved}, {tail}},  // v4-compatible, withdrawn; :: and ::1 are seen before
};

const Embedding* embedding_of(const Bytes& b) {
  for (const Embedding& embedding : embeddings) {
    if (in_range(b, embedding.range)) return &embedding;
  }
  return nullptr;
}

// Whichever reading is never allowed decides.
AddressClass classify_embedded(const Embedding& embedding, const Bytes& b) {
  for (std::size_t i = 0; i < embedding.count; ++i) {
    const AddressClass inside = classify_v4(read_at(b, embedding.readings[i]));
    if (never_allowed(inside)) return inside;
  }
  const AddressClass usual = classify_v4(read_at(b, embedding.readings[0]));
  return usual == public_internet ? embedding.range.address_class : usual;
}

// Teredo (RFC 4380): the server in octets 4..7, the client in the last four with every bit turned.
constexpr Range teredo{{0x20, 0x01, 0, 0}, 32, public_internet};

Bytes teredo_server(const Bytes& b) {
  return read_at(b, Places{4, 5, 6, 7});
}

Bytes teredo_client(const Bytes& b) {
  Bytes client = read_at(b, tail);
  for (std::size_t i = 0; i < 4; ++i) client[i] = static_cast<std::uint8_t>(client[i] ^ 0xffU);
  return client;
}

AddressClass classify_teredo(const Bytes& b) {
  const AddressClass client = classify_v4(teredo_client(b));
  const AddressClass server = classify_v4(teredo_server(b));
  if (never_allowed(server)) return server;
  return client == public_internet ? server : client;
}

// ISATAP (RFC 5214): an interface identifier [02]00:5efe:a.b.c.d under any prefix.
bool is_isatap(const Bytes& b) {
  return (b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe;
}

AddressClass classify_v6(const Bytes& b) {
  const AddressClass own = look_up(b, std::begin(v6_ranges), std::end(v6_ranges));
  if (own == loopback || own == unspecified || never_allowed(own)) return own;
  if (in_range(b, teredo)) return classify_teredo(b);
  if (const Embedding* embedding = embedding_of(b)) return classify_embedded(*embedding, b);
  if (is_isatap(b)) {
    const AddressClass inside = classify_v4(read_at(b, tail));
    if (never_allowed(inside) || own == public_internet) {
      return inside == public_internet ? own : inside;
    }
  }
  return own;
}

}  // namespace

std::string_view to_string(AddressClass address_class) {
  switch (address_class) {
    case public_internet:
      return "public_internet";
    case metadata:
      return "metadata";
    case link_local:
      return "link_local";
    case loopback:
      return "loopback";
    case private_use:
      return "private_use";
    case cgnat:
      return "cgnat";
    case multicast:
      return "multicast";
    case unspecified:
      return "unspecified";
    case reserved:
      return "reserved";
  }
  return "reserved";
}

AddressClass classify(const IpAddress& address) {
  return address.is_v4() ? classify_v4(address.bytes()) : classify_v6(address.bytes());
}

std::vector<IpAddress> embedded_v4(const IpAddress& address) {
  std::vector<IpAddress> inside;
  if (address.is_v4()) return inside;
  const Bytes& b = address.bytes();
  const auto add = [&](const Bytes& v4) {
    inside.push_back(IpAddress::v4({v4[0], v4[1], v4[2], v4[3]}));
  };
  const AddressClass own = look_up(b, std::begin(v6_ranges), std::end(v6_ranges));
  if (own == loopback || own == unspecified)
    return inside;  // not v4-compatible, for all their zeros
  if (in_range(b, teredo)) {
    add(teredo_client(b));
    add(teredo_server(b));
  } else if (const Embedding* embedding = embedding_of(b)) {
    for (std::size_t i = 0; i < embedding->count; ++i) add(read_at(b, embedding->readings[i]));
  } else if (is_isatap(b)) {
    add(read_at(b, tail));
  }
  return inside;
}

std::string_view describe(AddressClass address_class) {
  switch (address_class) {
    case AddressClass::public_internet:
      return "a public address";
    case AddressClass::metadata:
      return "a cloud metadata address";
    case AddressClass::link_local:
      return "a link-local address";
    case AddressClass::loopback:
      return "a loopback address";
    case AddressClass::private_use:
      return "a private address";
    case AddressClass::cgnat:
      return "a carrier-grade NAT address";
    case AddressClass::multicast:
      return "a multicast address";
    case AddressClass::unspecified:
      return "an address of this host (0.0.0.0/8 or ::)";
    case AddressClass::reserved:
      return "a reserved address";
  }
  return "an address of unknown class";
}

bool never_allowed(AddressClass address_class) {
  return address_class == metadata || address_class == link_local;
}

}  // namespace nono
