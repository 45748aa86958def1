#pragma once
// The bytes of every body and bulk stream: text of a period that is prime, so that a piece that is
// lost, doubled or out of place never looks right.

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace nono::bench {

class Pattern {
 public:
  static constexpr std::size_t period = 262'139;

  Pattern() : text_(2 * period, ' ') {
    static constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz 0123456789 {}\":,";
    std::uint32_t state = 0x6e6f6e6f;
    for (std::size_t at = 0; at < period; ++at) {
      state ^= state << 13;
      state ^= state >> 17;
      state ^= state << 5;
      text_[at] = text_[at + period] = letters[state % letters.size()];
    }
  }

  // At most one period, from `offset` of the stream on.
  std::string_view at(std::uint64_t offset, std::uint64_t bytes = period) const {
    const std::size_t size = bytes < period ? static_cast<std::size_t>(bytes) : period;
    return std::string_view(text_).substr(offset % period, size);
  }

  bool matches(std::uint64_t offset, std::string_view data) const {
    while (!data.empty()) {
      const std::string_view want = at(offset, data.size());
      if (data.substr(0, want.size()) != want) return false;
      data.remove_prefix(want.size());
      offset += want.size();
    }
    return true;
  }

 private:
  std::string text_;
};

}  // namespace nono::bench
