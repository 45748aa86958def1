#pragma once
// The resolver's memory: addresses by name, bounded in time and in size. Pure: the caller gives the
// time.

#include <chrono>
#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/base/host.hpp"

namespace nono::dns {

struct CacheLimits {
  std::size_t entries_max = 10'000;   // the least recently used goes first; 0: remembers nothing
  std::chrono::seconds ttl_floor{1};  // a TTL of 0 would make every connection a query
  std::chrono::seconds ttl_ceiling{3600};  // a mistake in a zone must not stay for a day
  std::chrono::seconds negative_ttl{5};    // short: the name may be on its way into the DNS
};

// Holds addresses as the DNS gave them, before vetting: permits differ in what they admit.
class Cache {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit Cache(const CacheLimits& limits) : limits_(limits) {}

  struct Entry {
    HostName name;
    std::vector<IpAddress> addresses;
    TimePoint expires;
    bool missing = false;  // the name does not exist, rather than having no address
  };

  // What is known of `name` at `now`: null where nothing is, an empty list where the name is known
  // to have no address. Valid until the next call of a member that is not const.
  const std::vector<IpAddress>* find(const HostName& name, TimePoint now);
  // The same, with all that is remembered.
  const Entry* entry(const HostName& name, TimePoint now);
  // Remembers addresses for `ttl`, clamped to floor and ceiling; replaces what was there.
  void put(const HostName& name, std::vector<IpAddress> addresses, std::chrono::seconds ttl,
           TimePoint now);
  // Remembers for negative_ttl that `name` has no address, or (`missing`) does not exist.
  void put_negative(const HostName& name, TimePoint now, bool missing = false);
  std::size_t size() const { return entries_.size(); }

 private:
  void store(const HostName& name, std::vector<IpAddress> addresses, TimePoint expires,
             bool missing);

  CacheLimits limits_;
  std::list<Entry> entries_;  // most recently used first; the keys below point into it
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_name_;
};

}  // namespace nono::dns
