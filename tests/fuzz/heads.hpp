#pragma once
// Heads as others read them: a reader that forgives everything, and what no head of ours may hold.

#include <string>
#include <string_view>

#include "proxy/http/head.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace nono::fuzz {

// What a reader finds that ends lines at any LF or CR, trims names of blanks and controls, and
// takes
// '_' for '-'.
struct LenientHead {
  int content_lengths = 0, transfer_encodings = 0, hosts = 0;
};

inline LenientHead read_leniently(std::string_view bytes) {
  LenientHead head;
  std::size_t at = bytes.find('\n');
  while (at < bytes.size()) {
    const std::size_t begin = at + 1;
    at = bytes.find_first_of("\r\n", begin);
    const std::string_view line = bytes.substr(begin, at == bytes.npos ? at : at - begin);
    std::string name;
    for (const char c : line.substr(0, line.find(':'))) {
      if (c == '_') name += '-';
      if (c > ' ' && c != 0x7f && c != '_') name += lower(c);
    }
    if (name == "content-length") ++head.content_lengths;
    if (name == "transfer-encoding") ++head.transfer_encodings;
    if (name == "host") ++head.hosts;
  }
  return head;
}

inline bool is_token(std::string_view text) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  for (const char c : text) {
    const char l = lower(c);
    const bool alphanumeric = (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9');
    if (!alphanumeric && marks.find(c) == marks.npos) return false;
  }
  return !text.empty();
}

inline void expect_clean(const http::Fields& fields) {
  for (const http::Field& field : fields.all()) {
    expect(is_token(field.name));
    for (const char c : field.value) expect(c == '\t' || c < 0 || (c >= ' ' && c != 0x7f));
  }
}

// One head, its lines ended by CRLF and nothing else.
inline void expect_clean(std::string_view head) {
  expect(head.ends_with("\r\n\r\n") && head.find("\r\n\r\n") == head.size() - 4);
  for (std::size_t i = 0; i < head.size(); ++i) {
    expect(head[i] != '\0');
    if (head[i] == '\n') expect(i > 0 && head[i - 1] == '\r');
    if (head[i] == '\r') expect(head[i + 1] == '\n');
  }
}

}  // namespace nono::fuzz
