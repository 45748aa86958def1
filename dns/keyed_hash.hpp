#pragma once
// SipHash-1-3 with a key of this process: whoever chooses the names cannot choose which of them
// collide, and so cannot turn a hash table into a list.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nono::dns {

class KeyedHash {
 public:
  KeyedHash();  // a random key
  constexpr explicit KeyedHash(std::array<std::uint64_t, 2> key) : key_(key) {}
  std::uint64_t operator()(std::string_view bytes) const;

 private:
  std::array<std::uint64_t, 2> key_;
};

}  // namespace nono::dns
