#pragma once
// A bounded table by string key that forgets what was used longest ago.

#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "dns/keyed_hash.hpp"

namespace nono::dns {

// Finding allocates nothing; adding to a full table reuses the oldest entry's memory. Keys may come
// from attackers (KeyedHash). Pointers to values hold until the entry goes.
template <class Value>
class RecentTable {
 public:
  struct Entry {
    std::string key;
    Value value;
  };
  using Entries = std::list<Entry>;

  explicit RecentTable(std::size_t entries_max)
      : entries_max_(entries_max == 0 ? 1 : entries_max) {}
  RecentTable(const RecentTable&) = delete;
  RecentTable& operator=(const RecentTable&) = delete;

  // The value of `key`, which becomes the most recently used, or null.
  Value* find(std::string_view key) {
    auto found = by_key_.find(key);
    if (found == by_key_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return &found->second->value;
  }

  // Adds `key`, which must not be there; in a full table the oldest entry goes.
  Value& add(std::string_view key, Value value) {
    if (entries_.size() < entries_max_) {
      entries_.push_front(Entry{std::string(key), std::move(value)});
    } else {
      by_key_.erase(entries_.back().key);
      entries_.splice(entries_.begin(), entries_, std::prev(entries_.end()));
      entries_.front().key.assign(key);
      entries_.front().value = std::move(value);
    }
    by_key_.emplace(entries_.front().key, entries_.begin());
    return entries_.front().value;
  }

  void erase(std::string_view key) {
    auto found = by_key_.find(key);
    if (found == by_key_.end()) return;
    auto entry = found->second;
    by_key_.erase(found);
    entries_.erase(entry);
  }

  void clear() {
    by_key_.clear();
    entries_.clear();
  }

  bool full() const { return entries_.size() >= entries_max_; }
  std::size_t size() const { return entries_.size(); }
  // Most recently used first.
  Entries& entries() { return entries_; }

 private:
  std::size_t entries_max_;
  Entries entries_;  // the keys below point into it
  std::unordered_map<std::string_view, typename Entries::iterator, KeyedHash> by_key_;
};

}  // namespace nono::dns
