#include "proxy/policy/flat_table.hpp"

#include <bit>
#include <cstring>

namespace nono::policy {
namespace {

constexpr std::uint64_t odd_a = 0x9e37'79b9'7f4a'7c15;  // 2^64 over the golden ratio
constexpr std::uint64_t odd_b = 0xff51'afd7'ed55'8ccd;

std::uint64_t mixed(std::uint64_t value) {
  value *= odd_b;
  return value ^ value >> 32;
}

// At most two thirds full, so that nearly every key is in the group where it is looked for first.
constexpr std::size_t capacity_for(std::size_t count) {
  return count + count / 2 + 8;
}

constexpr std::uint64_t every_octet = 0x0101'0101'0101'0101;
constexpr std::uint64_t high_bits = every_octet << 7;

// The high bit of each octet of `word` that is zero. A bit above the lowest one may be wrong, so
// what is found is looked at; that there is one, and the lowest, is right.
constexpr std::uint64_t zero_octets(std::uint64_t word) {
  return (word - every_octet) & ~word & high_bits;
}

std::size_t first_octet(std::uint64_t bits) {
  return static_cast<std::size_t>(std::countr_zero(bits)) / 8;
}

// Never 0, which means free.
std::uint64_t tag_of(std::uint64_t key_hash) {
  return (key_hash & 0xff) == 0 ? 1 : key_hash & 0xff;
}

}  // namespace

std::uint64_t FlatTable::hash(std::string_view key) {
  std::uint64_t state = key.size() * odd_a;
  const char* at = key.data();
  std::size_t left = key.size();
  std::uint64_t word = 0;
  for (; left > sizeof word; left -= sizeof word, at += sizeof word) {
    std::memcpy(&word, at, sizeof word);
    state = mixed(state ^ word);
  }
  word = 0;
  if (key.size() >= sizeof word) {
    std::memcpy(&word, key.data() + key.size() - sizeof word, sizeof word);  // overlaps: no branch
  } else {
    for (; left > 0; --left, ++at) word = word << 8 | static_cast<unsigned char>(*at);
  }
  state = mixed(state ^ word);
  return mixed(state + odd_a);
}

std::string_view FlatTable::key_of(const Entry& entry) const {
  if (entry.length <= entry.text.size()) return {entry.text.data(), entry.length};
  std::size_t place = 0;
  std::memcpy(&place, entry.text.data(), sizeof place);
  return long_keys_[place];
}

FlatTable::Place FlatTable::place_of(std::string_view key, std::uint64_t key_hash) const {
  const std::uint64_t wanted = tag_of(key_hash) * every_octet;
  // There is always a free slot, so this ends.
  for (std::size_t group = home(key_hash);; group = next(group)) {
    const std::uint64_t tags = groups_[group];
    for (std::uint64_t same = zero_octets(tags ^ wanted); same != 0; same &= same - 1) {
      const std::size_t slot = group * 8 + first_octet(same);
      if (key_of(entries_[slot]) == key) return {slot, true};
    }
    if (const std::uint64_t unused = zero_octets(tags); unused != 0) {
      return {group * 8 + first_octet(unused), false};
    }
  }
}

void FlatTable::prefetch(std::uint64_t key_hash) const {
  if (count_ == 0) return;
  const std::size_t group = home(key_hash);
  const std::uint64_t same = zero_octets(groups_[group] ^ tag_of(key_hash) * every_octet);
  if (same != 0) __builtin_prefetch(&entries_[group * 8 + first_octet(same)]);
}

void FlatTable::occupy(std::size_t slot, std::uint64_t key_hash) {
  groups_[slot / 8] |= tag_of(key_hash) << (slot % 8 * 8);
}

std::uint32_t& FlatTable::insert(std::string_view key) {
  if (capacity_for(count_ + 1) > entries_.size()) rehash(capacity_for(2 * (count_ + 1)));
  const std::uint64_t key_hash = hash(key);
  const Place place = place_of(key, key_hash);
  Entry& entry = entries_[place.slot];
  if (!place.found) {
    occupy(place.slot, key_hash);
    entry.length = static_cast<std::uint32_t>(key.size());
    if (key.size() <= entry.text.size()) {
      std::memcpy(entry.text.data(), key.data(), key.size());
    } else {
      const std::size_t at = long_keys_.size();
      long_keys_.emplace_back(key);
      std::memcpy(entry.text.data(), &at, sizeof at);
    }
    ++count_;
  }
  return entry.value;
}

void FlatTable::rehash(std::size_t capacity) {
  const std::size_t groups = (capacity + 7) / 8;
  std::vector<Entry> old(groups * 8);
  std::vector<std::uint64_t> old_groups(groups, 0);
  old.swap(entries_);
  old_groups.swap(groups_);
  for (std::size_t slot = 0; slot < old.size(); ++slot) {
    if ((old_groups[slot / 8] >> (slot % 8 * 8) & 0xff) == 0) continue;
    const std::string_view key = key_of(old[slot]);
    const std::uint64_t key_hash = hash(key);
    const Place place = place_of(key, key_hash);
    occupy(place.slot, key_hash);
    entries_[place.slot] = old[slot];
  }
}

void FlatTable::shrink() {
  if (count_ == 0) return;
  rehash(capacity_for(count_));
  long_keys_.shrink_to_fit();
}

}  // namespace nono::policy
