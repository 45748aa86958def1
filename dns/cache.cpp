#include "dns/cache.hpp"

#include <algorithm>

namespace nono::dns {

const std::vector<IpAddress>* Cache::find(const HostName& name, TimePoint now) {
  const Entry* known = entry(name, now);
  return known == nullptr ? nullptr : &known->addresses;
}

const Cache::Entry* Cache::entry(const HostName& name, TimePoint now) {
  auto found = by_name_.find(name.text());
  if (found == by_name_.end()) return nullptr;
  auto entry = found->second;
  if (entry->expires <= now) {
    by_name_.erase(found);
    entries_.erase(entry);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, entry);
  return &*entry;
}

void Cache::put(const HostName& name, std::vector<IpAddress> addresses, std::chrono::seconds ttl,
                TimePoint now) {
  // Not std::clamp: a floor above the ceiling is a user's mistake, not undefined behaviour.
  std::chrono::seconds kept = std::min(std::max(ttl, limits_.ttl_floor), limits_.ttl_ceiling);
  store(name, std::move(addresses), now + kept, false);
}

void Cache::put_negative(const HostName& name, TimePoint now, bool missing) {
  store(name, {}, now + limits_.negative_ttl, missing);
}

void Cache::store(const HostName& name, std::vector<IpAddress> addresses, TimePoint expires,
                  bool missing) {
  if (limits_.entries_max == 0) return;
  auto found = by_name_.find(name.text());
  if (found != by_name_.end()) {
    auto entry = found->second;
    entry->addresses = std::move(addresses);
    entry->expires = expires;
    entry->missing = missing;
    entries_.splice(entries_.begin(), entries_, entry);
    return;
  }
  if (entries_.size() >= limits_.entries_max) {
    by_name_.erase(entries_.back().name.text());
    entries_.pop_back();
  }
  entries_.push_front(Entry{name, std::move(addresses), expires, missing});
  by_name_.emplace(entries_.front().name.text(), entries_.begin());
}

}  // namespace nono::dns
