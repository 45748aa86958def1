#pragma once
// Memory that messages pass through, borrowed for the length of one. Private to proxy/http.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace nono::http {

// One borrowed block: a payload area with room before and behind it for the chunked coding, so that
// a piece and its framing leave in one write without being copied. Each thread keeps a few blocks
// for the next copies; a block must be given back on the thread that took it (sessions do not
// migrate).
class Scratch {
 public:
  // With its framing ("fff8", twice CRLF) a full piece is four full records of TLS.
  static constexpr std::size_t payload_bytes = 64 * 1024 - 8;
  static constexpr std::size_t front_bytes = 32;  // a chunk-size line needs at most 18
  static constexpr std::size_t back_bytes = 16;   // "\r\n0\r\n\r\n" needs 7

  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

  // The payload area; borrows the block on first use.
  std::span<char> payload();

 private:
  std::unique_ptr<char[]> block_;
};

// Text for a head, or a whole short message, that is written and then gone: its memory is kept for
// the next one of this thread. What it still holds in the end, a key perhaps, is wiped.
class HeadText {
 public:
  HeadText();
  ~HeadText();
  HeadText(const HeadText&) = delete;
  HeadText& operator=(const HeadText&) = delete;
  HeadText(HeadText&&) noexcept = default;
  HeadText& operator=(HeadText&&) noexcept = default;

  std::string& operator*() { return text_; }
  std::string* operator->() { return &text_; }
  const std::string& operator*() const { return text_; }
  const std::string* operator->() const { return &text_; }

 private:
  std::string text_;
};

}  // namespace nono::http
