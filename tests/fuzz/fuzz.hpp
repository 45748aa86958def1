#pragma once
// What the fuzz targets share: a check that ends the run as a finding, and the fuzzer's bytes taken
// apart into choices, texts and pieces.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

namespace nono::fuzz {

// A property that must hold; if it does not, the process ends with the line that says so.
inline void expect(bool holds, std::source_location where = std::source_location::current()) {
  if (holds) return;
  std::fprintf(stderr, "%s:%u: this property does not hold\n", where.file_name(),
               static_cast<unsigned>(where.line()));
  std::abort();
}

// The fuzzer's bytes. Choices come off the front and are 0 once nothing is left.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size)
      : rest_(reinterpret_cast<const char*>(data), size) {}

  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  // One of `count` values.
  std::size_t choice(std::size_t count) { return byte() % count; }
  bool coin() { return (byte() & 1) != 0; }
  // Up to `separator`, which is dropped; all that is left where it does not occur.
  std::string_view text_until(std::string_view separator) {
    const std::size_t at = rest_.find(separator);
    const std::string_view text = rest_.substr(0, at);
    rest_.remove_prefix(at == rest_.npos ? rest_.size() : at + separator.size());
    return text;
  }
  std::string_view line() { return text_until("\n"); }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

// `text` in pieces whose sizes follow from `seed`: 0 is one piece, 1 is byte by byte, others mix
// short pieces with long ones.
inline std::vector<std::string_view> split(std::string_view text, std::uint8_t seed) {
  std::vector<std::string_view> pieces;
  std::uint32_t state = seed;
  while (!text.empty()) {
    std::size_t size = seed == 0 ? text.size() : 1;
    if (seed > 1) {
      state = state * 1664525U + 1013904223U;
      const std::uint32_t drawn = state >> 16;
      size = 1 + ((drawn & 7) == 0 ? drawn >> 3 & 1023 : drawn >> 3 & 15);
    }
    size = std::min(size, text.size());
    pieces.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return pieces;
}

inline char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
inline std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return lower(c); });
  return out;
}
inline std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}
inline bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != text.npos;
}

}  // namespace nono::fuzz
