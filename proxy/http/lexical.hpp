#pragma once
// The characters and lines of HTTP/1.1 (RFC 9110 5, RFC 9112 2-5), read strictly: what is not
// exactly by the grammar is refused, never repaired. Pure functions on views; private to
// proxy/http.

#include <array>
#include <cstdint>
#include <string_view>

#include "proxy/http/head.hpp"

namespace nono::http::lexical {

namespace detail {

consteval std::array<bool, 256> token_table() {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (const char c : std::string_view{"!#$%&'*+-.^_`|~"})
    table[static_cast<std::size_t>(c)] = true;
  return table;
}
inline constexpr std::array<bool, 256> token_characters = token_table();

}  // namespace detail

inline bool is_token_character(char c) {
  return detail::token_characters[static_cast<unsigned char>(c)];
}
inline char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

// One or more token characters (RFC 9110 5.6.2).
bool is_token(std::string_view text);
// True if nothing but HTAB, SP, visible ASCII and bytes above 127 occurs: no NUL, CR, LF, other
// controls.
bool is_text(std::string_view text);
// Visible ASCII only, at least one character.
bool is_visible(std::string_view text);
// Without the spaces and tabs at both ends.
std::string_view trim(std::string_view text);

// Takes the next element of a comma-separated list off `list` (RFC 9110 5.6.1), trimmed. False at
// its end. Empty elements are skipped.
bool next_element(std::string_view& list, std::string_view& element);

// Digits only, at most 18 of them, so that no sum of two lengths overflows. Nothing else: no sign,
// no white space, no list.
bool parse_length(std::string_view text, std::uint64_t& length);

// Which of the two heads a scan is about: picks the code, the side and the words of its errors.
enum class Message : std::uint8_t { request, response };
Error malformed(Message message, std::string_view what);
Error too_large(Message message, std::string_view what);
Error first_line_too_long(Message message);

// Checks every line of `head` (which ends with its empty line): CRLF endings and no other CR or LF,
// no NUL or control, no obs-fold, field names that are tokens with the colon right behind, at most
// `limits.fields_max` fields. Returns the first line without its CRLF, and the fields in `fields`.
Result<std::string_view> read_lines(std::string_view head, const HeadLimits& limits,
                                    Message message, FieldList& fields);

// The parts of a request line and of a status line, each by its exact grammar (RFC 9112 3 and 4).
struct RequestLine {
  std::string_view method, target;
  bool http_1_0 = false;
};
Result<RequestLine> parse_request_line(std::string_view line);

struct StatusLine {
  int status = 0;
  std::string_view reason;
  bool http_1_0 = false;
};
Result<StatusLine> parse_status_line(std::string_view line);

// RFC 9112 3.2: which form of target belongs to which method. Null if it fits, otherwise what is
// wrong.
const char* wrong_target(std::string_view method, std::string_view target);

}  // namespace nono::http::lexical
