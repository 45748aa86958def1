#include "proxy/policy/flat_table.hpp"

#include <cstring>

namespace nono::policy {
namespace {

constexpr std::uint64_t odd_a = 0x9e37'79b9'7f4a'7c15;  // 2^64 over the golden ratio
constexpr std::uint64_t odd_b = 0xff51'afd7'ed55'8ccd;

std::uint64_t mixed(std::uint64_t value) {
  value *= odd_b;
  return value ^ value >> 32;
}

// At most this full: long runs of used slots would make look-ups slow.
constexpr std::size_t capacity_for(std::size_t count) {
  return count + count / 2 + 8;
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

std::size_t FlatTable::slot_of(std::string_view key, std::uint64_t key_hash) const {
  const auto tag = static_cast<std::uint32_t>(key_hash);
  // There is always a free slot, so this ends.
  for (std::size_t at = home(key_hash);; at = at + 1 == slots_.size() ? 0 : at + 1) {
    const Slot& slot = slots_[at];
    if (slot.length == 0) return at;
    if (slot.tag == tag && slot.length == key.size() && text_of(slot) == key) return at;
  }
}

std::uint32_t& FlatTable::insert(std::string_view key) {
  if (capacity_for(count_ + 1) > slots_.size()) rehash(capacity_for(2 * (count_ + 1)));
  const std::uint64_t key_hash = hash(key);
  Slot& slot = slots_[slot_of(key, key_hash)];
  if (slot.length == 0) {
    slot = Slot{static_cast<std::uint32_t>(key_hash), static_cast<std::uint32_t>(texts_.size()),
                static_cast<std::uint32_t>(key.size()), no_value};
    texts_ += key;
    ++count_;
  }
  return slot.value;
}

void FlatTable::rehash(std::size_t capacity) {
  std::vector<Slot> old(capacity);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.length == 0) continue;
    const std::string_view key = text_of(slot);
    slots_[slot_of(key, hash(key))] = slot;
  }
}

void FlatTable::shrink() {
  if (count_ == 0) return;
  rehash(capacity_for(count_));
  texts_.shrink_to_fit();
}

}  // namespace nono::policy
