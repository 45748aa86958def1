#pragma once
// Base64, percent-encoding and JSON strings: how keys travel through HTTP and are written by users.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nono {

enum class Base64 : std::uint8_t { standard, url_safe };

// RFC 4648 4 and 5. Encoding pads with '=' in the standard alphabet only.
std::string base64_encode(std::string_view bytes, Base64 alphabet = Base64::standard);
// The part of base64 text that `bytes` determine completely, `lead` bytes (0 to 2) standing before
// them in their group of three: what to look for where they may be inside of something longer.
std::string base64_inside(std::string_view bytes, std::size_t lead, Base64 alphabet);
// Either alphabet, padding optional; nothing where a foreign character is met.
std::optional<std::string> base64_decode(std::string_view text);

// All but RFC 3986's unreserved characters become %XX.
std::string percent_encode(std::string_view bytes, bool upper_case = true);
// For a path segment: RFC 3986's pchar stay as they are.
std::string percent_encode_segment(std::string_view bytes);
// %XX becomes its byte; anything else, a lone '%' included, stays.
std::string percent_decode(std::string_view text);
// The same, but nothing where a '%' does not begin such a triplet.
std::optional<std::string> percent_decode_strictly(std::string_view text);

// The inside of a JSON string (RFC 8259 7), optionally with '/' escaped as some writers do.
std::string json_escape(std::string_view bytes, bool escape_slash = false);

bool is_base64_char(char c);  // of either alphabet, without '='

// How many of the first bytes are whole UTF-8 characters (RFC 3629: none of them overlong, a
// surrogate or beyond U+10FFFF): all of them where the text is UTF-8.
std::size_t utf8_prefix(std::string_view bytes);

}  // namespace nono
