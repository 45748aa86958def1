#pragma once
// FlatTable: from short texts to numbers, for look-ups that must not slow down when there are very
// many texts. It holds 16 octets for each: not the text, but its keyed hash and the number. Where
// they are is known from a text's hash alone, so that main memory is asked for them at once and
// sends them while other work is done. A text that is not there is mostly told by one octet of its
// hash, which lies elsewhere, where there are few enough of them for the CPU's caches.
//
// A text that is not there is taken for one that is with a probability of 2^-64 for each entry that
// it is compared with (one in forty look-ups), and nobody without the key can look for such a text
// other than by asking (SipHash-2-4 is a pseudo-random function).

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "config/base/sip_hash.hpp"

namespace nono::policy {

class FlatTable {
 public:
  static constexpr std::uint32_t no_value = UINT32_MAX;
  using Pair = std::pair<std::string_view, std::uint32_t>;

  FlatTable() = default;  // holds nothing
  // Each text once. The texts are not needed afterwards. `key` is secret and random.
  FlatTable(const std::vector<Pair>& pairs, const SipKey& key);

  // The hash for where to look, of no secret: with it a text is looked up in several tables.
  static std::uint64_t hash(std::string_view text);

  // Fetches what find() will read, while something else is done.
  void prefetch(std::uint64_t text_hash) const {
    if (tags_.empty()) return;
    const std::size_t group = home(text_hash);
    __builtin_prefetch(&tags_[group]);
    __builtin_prefetch(&groups_[group].slots.front());
    __builtin_prefetch(&groups_[group].slots.back());
  }
  // `text_hash` is hash(text); no_value where the text is not there.
  std::uint32_t find(std::string_view text, std::uint64_t text_hash) const {
    return tags_.empty() ? no_value : find_in_groups(text, text_hash);
  }

  bool empty() const { return tags_.empty(); }

 private:
  struct Entry {
    std::uint64_t digest = 0;
    std::uint32_t value = no_value;
  };
  static constexpr std::size_t slots_per_group = 8;
  struct alignas(128) Group {  // two cache lines
    std::array<Entry, slots_per_group> slots;
  };

  std::size_t home(std::uint64_t text_hash) const {
    return static_cast<std::size_t>((text_hash >> 32) * groups_.size() >> 32);
  }
  std::size_t next(std::size_t group) const { return group + 1 == groups_.size() ? 0 : group + 1; }
  std::uint32_t find_in_groups(std::string_view text, std::uint64_t text_hash) const;
  void insert(std::string_view text, std::uint32_t value);

  SipKey key_;
  std::vector<std::uint64_t> tags_;  // of each group's slots, an octet each; 0 where one is free
  std::vector<Group> groups_;
};

}  // namespace nono::policy
