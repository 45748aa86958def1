#pragma once
// The encodings in which keys and phantoms travel through HTTP.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nono::intercept {

enum class Base64 : std::uint8_t { standard, url_safe };

// RFC 4648 4 and 5. Encoding pads with '=' in the standard alphabet only.
std::string base64_encode(std::string_view bytes, Base64 alphabet = Base64::standard);
// Either alphabet, padding optional; nothing where a foreign character is met.
std::optional<std::string> base64_decode(std::string_view text);

// All but RFC 3986's unreserved characters become %XX.
std::string percent_encode(std::string_view bytes, bool upper_case = true);
// For a path segment: RFC 3986's pchar stay as they are.
std::string percent_encode_segment(std::string_view bytes);
// %XX becomes its byte; anything else, a lone '%' included, stays.
std::string percent_decode(std::string_view text);

// The inside of a JSON string (RFC 8259 7), optionally with '/' escaped as some writers do.
std::string json_escape(std::string_view bytes, bool escape_slash = false);

bool is_base64_char(char c);  // of either alphabet, without '='

}  // namespace nono::intercept
