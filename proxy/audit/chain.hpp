#pragma once
// The chain that makes a changed, missing or moved line of the audit log show.

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace nono::audit {

// chain(n) = SHA-256(chain(n-1) as 64 hex digits ++ line n up to its chain field), hex; chain(-1)
// is empty. One thread.
class Chain {
 public:
  // What the next line is chained to: 64 hex digits, or empty where there is no line before it.
  const std::string& head() const { return head_; }
  void continue_from(std::string_view digits) { head_ = digits; }

  // Closes the line that begins at `from` in `text` (an open JSON object) with its chain field and
  // a line break. The head is then that line's.
  void seal(std::string& text, std::size_t from);
  // The chain value that `open` (a line up to its chain field) has here. The head stays.
  std::string_view value_of(std::string_view open);

 private:
  void digest(std::string_view open, char* digits);

  // Made with the first line: it wakes all of OpenSSL, which a run without one need not pay.
  std::unique_ptr<EVP_MD, decltype(&EVP_MD_free)> sha256_{nullptr, EVP_MD_free};
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{nullptr, EVP_MD_CTX_free};
  std::string head_;
  char digits_[64] = {};
};

// One whole line of a log, taken apart but not checked against any other.
struct Line {
  std::string_view open;   // what its chain value is computed from, beside the value before
  std::string_view chain;  // 64 hex digits
  std::uint64_t sequence = 0;
};
// `text` without its line break; none where it is no line that a log writes.
std::optional<Line> split_line(std::string_view text);

// The value of a string field that holds no escapes, or of a number, as text; empty where the line
// has no such field. Only for fields that nono itself words, not clients.
std::string_view plain_field(std::string_view open, std::string_view key);
bool is_note(std::string_view open);

// 64 lower-case hex digits.
bool is_chain_value(std::string_view text);

}  // namespace nono::audit
