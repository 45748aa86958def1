#pragma once
// HostIndex: from a host and port to the rules that speak of them, by hash look-ups whose number
// depends on the target (its labels, the prefix lengths in use), never on how many rules there are.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/policy/flat_table.hpp"
#include "proxy/policy/rule.hpp"

namespace nono::policy {

class HostIndex;

// The hashes of a host's name and of the parents in it, computed once for several look-ups.
class HostProbe {
 public:
  // `host` must outlive it. What `soon` will read for this host is fetched meanwhile.
  explicit HostProbe(const Host& host, const HostIndex* soon = nullptr);
  const Host& host() const { return host_; }

 private:
  friend class HostIndex;
  struct Parent {
    std::string_view name;
    std::uint64_t hash = 0;
  };
  static constexpr std::size_t parents_max = 8;  // deeper names are hashed as they are looked up

  const Host& host_;
  std::uint64_t hash_ = 0;
  std::size_t parents_ = 0;
  std::array<Parent, parents_max> parent_;
};

class HostIndex {
 public:
  using Entry = std::uint32_t;  // an index into a table of the caller's
  static constexpr Entry no_entry = UINT32_MAX;

  HostIndex() = default;  // holds nothing; HostIndexBuilder makes others
  bool empty() const { return exact_.empty() && below_.empty() && v4_.empty() && v6_.empty(); }

  struct Found {
    Entry entry = no_entry;
    Entry other_port = no_entry;  // where nothing was found: a rule for this host, on other ports
    unsigned probes = 0;          // hash look-ups made; the cost, for tests
    // The pattern of whichever of both is there: the part of the host's own name that it is about
    // (empty for addresses), whether it has a star, and its port (none: every port).
    std::string_view name;
    bool below = false;
    std::optional<Port> port;
  };
  // The most specific match: the name itself, then its parents from the longest; ranges likewise.
  // Within one pattern a rule for the port goes before one for every port.
  Found find(const HostProbe& probe, Port port) const;
  Found find(const Host& host, Port port) const { return find(HostProbe(host), port); }

  // What holds names below `name`, but not itself: the pattern "*.name" alone.
  Found find_below(const HostName& name, Port port) const;

  // Every match, most specific first.
  std::vector<Entry> find_all(const HostProbe& probe, Port port) const;
  std::vector<Entry> find_all(const Host& host, Port port) const {
    return find_all(HostProbe(host), port);
  }

  // The ports that any pattern which holds `host` speaks of, most specific pattern first; none:
  // every port.
  std::vector<std::optional<Port>> ports_of(const Host& host) const;

 private:
  friend class HostIndexBuilder;
  friend class HostProbe;
  struct Ports {
    Entry any = no_entry;
    std::vector<std::pair<Port, Entry>> by_port;  // sorted
    // The entry for this port and the port that it was placed with.
    std::pair<Entry, std::optional<Port>> find(Port port) const;
    Entry& place(std::optional<Port> port);
    friend auto operator<=>(const Ports&, const Ports&) = default;
  };
  struct Match {
    std::string_view name;
    bool below = false;
  };
  struct Prefixes {  // all ranges of one prefix length
    unsigned bits;
    FlatTable networks;  // masked() → ports_
  };

  // Calls `visit(ports, match)` for each pattern that holds the host, most specific first, until it
  // returns true. Returns the number of look-ups.
  template <class Visit>
  unsigned walk(const HostProbe& probe, Visit visit) const;
  template <class Visit>
  bool walk_prefixes(const std::vector<Prefixes>& prefixes, const IpAddress& address,
                     unsigned& probes, Visit& visit) const;

  // The octets of an address's network, as a key: those behind the prefix are zero.
  static std::array<char, 16> masked(const IpAddress& address, unsigned bits);

  FlatTable exact_;                // name → ports_
  FlatTable below_;                // suffix → ports_
  std::vector<Prefixes> v4_, v6_;  // longest prefix first
  std::vector<Ports> ports_;       // each different one once: most rules share one
};

}  // namespace nono::policy
