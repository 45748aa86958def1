#pragma once
// HostIndex: from a host and port to the rules that speak of them, by hash look-ups whose number
// depends on the target (its labels, the prefix lengths in use), never on how many rules there are.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "proxy/policy/rule.hpp"

namespace nono::policy {

class HostIndex {
 public:
  using Entry = std::uint32_t;  // an index into a table of the caller's
  static constexpr Entry no_entry = UINT32_MAX;

  // The place of this pattern and port (none: every port) to write to; no_entry in a new one.
  Entry& place(const HostPattern& pattern, std::optional<Port> port);
  bool empty() const { return exact_.empty() && below_.empty() && v4_.empty() && v6_.empty(); }

  struct Found {
    Entry entry = no_entry;
    Entry other_port = no_entry;  // where nothing was found: a rule for this host, on other ports
    unsigned probes = 0;          // hash look-ups made; the cost, for tests
  };
  // The most specific match: the name itself, then its parents from the longest; ranges likewise.
  // Within one pattern a rule for the port goes before one for every port.
  Found find(const Host& host, Port port) const;

  // Every match, most specific first.
  std::vector<Entry> find_all(const Host& host, Port port) const;

 private:
  struct Ports {
    Entry any = no_entry;
    std::vector<std::pair<Port, Entry>> by_port;  // sorted
    Entry find(Port port) const;
  };
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  using ByName = std::unordered_map<std::string, Ports, TextHash, std::equal_to<>>;
  using Octets = std::array<std::uint8_t, 16>;
  struct OctetsHash {
    std::size_t operator()(const Octets& octets) const;
  };
  struct Prefixes {  // all ranges of one prefix length
    unsigned bits;
    std::unordered_map<Octets, Ports, OctetsHash> networks;
  };

  Ports& ports_of(const HostPattern& pattern);
  // Calls `visit(ports)` for each pattern that holds `host`, most specific first, until it returns
  // true. Returns the number of look-ups.
  template <class Visit>
  unsigned walk(const Host& host, Visit visit) const;
  template <class Visit>
  static bool walk_prefixes(const std::vector<Prefixes>& prefixes, const Octets& address,
                            unsigned& probes, Visit& visit);

  ByName exact_;
  ByName below_;
  std::vector<Prefixes> v4_, v6_;  // longest prefix first
};

}  // namespace nono::policy
