#pragma once
// FlatTable: a hash table from short texts to numbers, for look-ups that must not slow down when
// there are very many texts. All lies in two blocks of memory: 16-byte slots, probed linearly, and
// the texts. A look-up that succeeds touches one cache line of each; the second only confirms, so
// the CPU goes on in the meantime.

#include <algorithm>
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

  // The value to write to, no_value for a new key. Valid until the next insertion. Keys are 1 to
  // 2^16 octets long, all of them together at most 2^32.
  std::uint32_t& insert(std::string_view key);

  // `key_hash` is hash(key); no_value where the key is not there.
  std::uint32_t find(std::string_view key, std::uint64_t key_hash) const {
    if (count_ == 0) return no_value;
    const Slot& slot = slots_[slot_of(key, key_hash)];
    return slot.length == 0 ? no_value : slot.value;
  }
  // Fetches what find() will read first, while something else is done.
  void prefetch(std::uint64_t key_hash) const {
    if (count_ != 0) __builtin_prefetch(&slots_[home(key_hash)]);
  }

  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }

  // Calls `visit(key, value)` for each, value to be changed in place, in the order of insertion.
  template <class Visit>
  void for_each(Visit visit);

  void shrink();  // gives back what building took

 private:
  struct Slot {
    std::uint32_t tag = 0;
    std::uint32_t text = 0;    // where the key begins in texts_
    std::uint32_t length = 0;  // 0: the slot is free
    std::uint32_t value = no_value;
  };

  std::size_t home(std::uint64_t key_hash) const {
    return static_cast<std::size_t>((key_hash >> 32) * slots_.size() >> 32);
  }
  // Where the key is, or the free slot where it would be.
  std::size_t slot_of(std::string_view key, std::uint64_t key_hash) const;
  void rehash(std::size_t capacity);
  std::string_view text_of(const Slot& slot) const {
    return std::string_view(texts_).substr(slot.text, slot.length);
  }

  std::vector<Slot> slots_;
  std::string texts_;
  std::size_t count_ = 0;
};

template <class Visit>
void FlatTable::for_each(Visit visit) {
  std::vector<Slot*> used;
  for (Slot& slot : slots_) {
    if (slot.length != 0) used.push_back(&slot);
  }
  std::sort(used.begin(), used.end(),
            [](const Slot* a, const Slot* b) { return a->text < b->text; });
  for (Slot* slot : used) visit(text_of(*slot), slot->value);
}

}  // namespace nono::policy
