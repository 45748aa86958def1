#pragma once
// FlatTable: a hash table from short texts to numbers, for look-ups that must not slow down when
// there are very many texts. Two bytes of each hash lie close together, in few enough octets for
// the CPU's own caches; they nearly always tell where the key is, or that it is not there. Key and
// value share one cache line, so that a look-up waits for main memory once, or not at all.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nono::policy {

class FlatTable {
 public:
  static constexpr std::uint32_t no_value = UINT32_MAX;

  static std::uint64_t hash(std::string_view key);

  // The value to write to, no_value for a new key. Valid until the next insertion. Keys have at
  // least one octet.
  std::uint32_t& insert(std::string_view key);

  // `key_hash` is hash(key); no_value where the key is not there.
  std::uint32_t find(std::string_view key, std::uint64_t key_hash) const {
    if (count_ == 0) return no_value;
    const Place place = place_of(key, key_hash);
    return place.found ? entries_[place.slot].value : no_value;
  }
  // Fetches what find() will read, while something else is done.
  void prefetch(std::uint64_t key_hash) const;

  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }

  // Calls `visit(key, value)` for each, in no particular order; the value may be changed in place.
  template <class Visit>
  void for_each(Visit visit);

  void shrink();  // gives back what building took

 private:
  static constexpr std::size_t line_octets = 64;
  struct alignas(line_octets) Entry {
    std::uint32_t value = no_value;
    std::uint32_t length = 0;
    // The key; where it is longer than this, its place in long_keys_.
    std::array<char, line_octets - 8> text{};
  };

  struct Place {
    std::size_t slot = 0;
    bool found = false;  // else: the free slot where the key would be
  };

  std::size_t home(std::uint64_t key_hash) const {
    return static_cast<std::size_t>((key_hash >> 32) * groups_.size() >> 32);
  }
  std::size_t next(std::size_t group) const { return group + 1 == groups_.size() ? 0 : group + 1; }
  std::uint64_t tag_at(std::size_t slot) const {
    return groups_[slot / 8] >> (slot % 8 * 8) & 0xff;
  }
  Place place_of(std::string_view key, std::uint64_t key_hash) const;
  std::string_view key_of(const Entry& entry) const;
  void occupy(std::size_t slot, std::uint64_t key_hash);
  void rehash(std::size_t capacity);

  std::vector<std::uint64_t>
      groups_;                  // of eight slots: an octet of each key's hash, 0 where it is free
  std::vector<Entry> entries_;  // of the slots
  std::vector<std::string> long_keys_;
  std::size_t count_ = 0;
};

template <class Visit>
void FlatTable::for_each(Visit visit) {
  for (std::size_t slot = 0; slot < entries_.size(); ++slot) {
    if (tag_at(slot) != 0) visit(key_of(entries_[slot]), entries_[slot].value);
  }
}

}  // namespace nono::policy
