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

// At most two thirds full: few groups are, so that a text is nearly always found, or seen not to be
// there, in the group where it is looked for first.
constexpr std::size_t capacity_for(std::size_t count) {
  return count + count / 2 + 1;
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
std::uint64_t tag_of(std::uint64_t text_hash) {
  return (text_hash & 0xff) == 0 ? 1 : text_hash & 0xff;
}

}  // namespace

std::uint64_t FlatTable::hash(std::string_view text) {
  std::uint64_t state = text.size() * odd_a;
  const char* at = text.data();
  std::size_t left = text.size();
  std::uint64_t word = 0;
  for (; left > sizeof word; left -= sizeof word, at += sizeof word) {
    std::memcpy(&word, at, sizeof word);
    state = mixed(state ^ word);
  }
  word = 0;
  if (text.size() >= sizeof word) {
    // Overlaps what was taken already: no branch for what is left.
    std::memcpy(&word, text.data() + text.size() - sizeof word, sizeof word);
  } else {
    for (; left > 0; --left, ++at) word = word << 8 | static_cast<unsigned char>(*at);
  }
  state = mixed(state ^ word);
  return mixed(state + odd_a);
}

FlatTable::FlatTable(const std::vector<Pair>& pairs, const SipKey& key) : key_(key) {
  if (pairs.empty()) return;
  groups_.resize((capacity_for(pairs.size()) + slots_per_group - 1) / slots_per_group);
  tags_.resize(groups_.size());
  for (const auto& [text, value] : pairs) insert(text, value);
}

void FlatTable::insert(std::string_view text, std::uint32_t value) {
  const std::uint64_t text_hash = hash(text);
  std::size_t group = home(text_hash);
  while (zero_octets(tags_[group]) == 0) group = next(group);
  const std::size_t slot = first_octet(zero_octets(tags_[group]));
  tags_[group] |= tag_of(text_hash) << (slot * 8);
  groups_[group].slots[slot] = Entry{sip_hash_2_4(key_, text), value};
}

std::uint32_t FlatTable::find_in_groups(std::string_view text, std::uint64_t text_hash) const {
  const std::uint64_t wanted = tag_of(text_hash) * every_octet;
  // There is always a free slot, so this ends.
  for (std::size_t group = home(text_hash);; group = next(group)) {
    const std::uint64_t tags = tags_[group];
    for (std::uint64_t same = zero_octets(tags ^ wanted); same != 0; same &= same - 1) {
      const Entry& entry = groups_[group].slots[first_octet(same)];
      if (entry.digest == sip_hash_2_4(key_, text)) return entry.value;
    }
    if (zero_octets(tags) != 0) return no_value;
  }
}

}  // namespace nono::policy
