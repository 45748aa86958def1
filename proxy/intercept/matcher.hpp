#pragma once
// Finds and replaces several byte strings at once in a stream that comes in pieces.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/secret.hpp"

namespace nono::intercept {

// Immutable once built. The search is Horspool's over a set of needles: with keys of fifty bytes it
// looks at one byte pair in dozens.
class Matcher {
 public:
  struct Pair {
    std::string needle;  // wiped by build()
    std::string replacement;
  };
  Matcher() = default;
  static Matcher build(std::vector<Pair> pairs);
  bool empty() const { return entries_.empty(); }
  // Every needle found from now on adds one there.
  void count_in(std::atomic<std::uint64_t>* found) { found_ = found; }

  // Whether a needle is in `text`.
  bool finds(std::string_view text) const;
  // Whether replace() would let all of `text` through as it is, at once.
  bool passes(std::string_view text, bool last) const;
  // Appends `in` to `out`, needles replaced. Returns how many of the last bytes of `in` were kept
  // back since a needle may begin there: pass them again in front of what follows. With `last`
  // nothing is kept back.
  std::size_t replace(std::string_view in, bool last, std::string& out) const;

 private:
  struct Entry {
    std::size_t begin, size;  // within needles_
    std::string replacement;
  };
  std::string_view needle(const Entry& entry) const {
    return needles_.expose().substr(entry.begin, entry.size);
  }
  static constexpr std::size_t lanes = 4;
  using Places = std::array<std::size_t, lanes>;
  // What passes() is made of: a step of the search at one place; at several places of a long text.
  bool steps(std::string_view text, bool last, std::size_t& at) const;
  bool passes_parts(std::string_view text, bool last, Places& at, std::size_t part) const;
  // Where the bytes begin at the end of `text` that may be the beginning of a needle.
  std::size_t find_beginning(std::string_view text, std::size_t from) const;
  enum class Found : std::uint8_t { nothing, whole, maybe };
  // Which needle begins `rest`, or (unless nothing follows it) may begin in it.
  Found match_at(std::string_view rest, bool last, const Entry*& entry) const;

  static constexpr std::size_t buckets = 4096;
  static std::size_t bucket(char first, char second) {
    return (static_cast<unsigned char>(first) * 16U ^ static_cast<unsigned char>(second)) % buckets;
  }
  Secret needles_;              // all needles, one after the other
  std::vector<Entry> entries_;  // longest first
  std::atomic<std::uint64_t>* found_ = nullptr;
  std::size_t shortest_ = 0;
  std::array<bool, 256> begins_{};    // the bytes that needles begin with
  std::vector<std::uint16_t> shift_;  // by the hash of a byte pair: how far the window may move
};

}  // namespace nono::intercept
