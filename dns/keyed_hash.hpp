#pragma once
// The hash for tables whose keys strangers choose: SipHash-1-3 with a key of this process, so that
// nobody can choose names that collide, and turn a hash table into a list.

#include <cstdint>
#include <string_view>

#include "config/base/sip_hash.hpp"

namespace nono::dns {

class KeyedHash {
 public:
  // Without random numbers, which no kernel of this decade lacks, the table is as good as an
  // unkeyed one.
  KeyedHash() : key_(SipKey::random().value_or(SipKey{})) {}
  std::uint64_t operator()(std::string_view bytes) const { return sip_hash_1_3(key_, bytes); }

 private:
  SipKey key_;
};

}  // namespace nono::dns
