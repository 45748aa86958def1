#include "config/base/encoding.hpp"

#include <array>

#include "config/base/secret.hpp"

namespace nono {

namespace {

constexpr std::string_view standard_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view url_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::array<std::int8_t, 256> make_values() {
  std::array<std::int8_t, 256> values{};
  for (auto& value : values) value = -1;
  for (std::size_t i = 0; i < 64; ++i) {
    values[static_cast<unsigned char>(standard_alphabet[i])] = static_cast<std::int8_t>(i);
    values[static_cast<unsigned char>(url_alphabet[i])] = static_cast<std::int8_t>(i);
  }
  return values;
}
constexpr std::array<std::int8_t, 256> base64_values = make_values();

int base64_value(char c) {
  return base64_values[static_cast<unsigned char>(c)];
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

void append_hex(std::string& out, char c, std::string_view digits) {
  const auto byte = static_cast<unsigned char>(c);
  out += digits[byte >> 4];
  out += digits[byte & 15];
}

}  // namespace

bool is_base64_char(char c) {
  return base64_value(c) >= 0;
}

std::string base64_encode(std::string_view bytes, Base64 alphabet) {
  const std::string_view letters = alphabet == Base64::standard ? standard_alphabet : url_alphabet;
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::string_view group = bytes.substr(i, 3);
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (k < group.size() ? static_cast<unsigned char>(group[k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      if (k <= group.size()) {
        out += letters[bits >> (18 - 6 * k) & 63];
      } else if (alphabet == Base64::standard) {
        out += '=';
      }
    }
  }
  return out;
}

std::string base64_inside(std::string_view bytes, std::size_t lead, Base64 alphabet) {
  std::string padded(lead, '\0');
  padded += bytes;
  std::string text = base64_encode(padded, alphabet);
  wipe(padded.data(), padded.size());
  const std::size_t from = (8 * lead + 5) / 6;
  const std::size_t to = 8 * (lead + bytes.size()) / 6;
  std::string inside = text.substr(from, to - from);
  wipe(text.data(), text.size());
  return inside;
}

std::optional<std::string> base64_decode(std::string_view text) {
  for (int padding = 0; padding < 2 && text.ends_with('='); ++padding) text.remove_suffix(1);
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    const int value = base64_value(c);
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 255);
    }
  }
  return out;
}

std::string percent_encode(std::string_view bytes, bool upper_case) {
  const std::string_view digits = upper_case ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size());
  for (const char c : bytes) {
    if (is_unreserved(c)) {
      out += c;
    } else {
      out += '%';
      append_hex(out, c, digits);
    }
  }
  return out;
}

std::string percent_encode_segment(std::string_view bytes) {
  std::string out;
  out.reserve(3 * bytes.size());
  for (const char c : bytes) {
    if (is_unreserved(c) || std::string_view("!$&'()*+,;=:@").find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += '%';
      append_hex(out, c, "0123456789ABCDEF");
    }
  }
  return out;
}

namespace {

// The byte that the triplet at `at` stands for, or -1.
int triplet_at(std::string_view text, std::size_t at) {
  if (text[at] != '%' || at + 2 >= text.size()) return -1;
  const int high = hex_value(text[at + 1]), low = hex_value(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace

std::string percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int byte = triplet_at(text, i);
    out += byte < 0 ? text[i] : static_cast<char>(byte);
    if (byte >= 0) i += 2;
  }
  return out;
}

std::optional<std::string> percent_decode_strictly(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && triplet_at(text, i) < 0) return std::nullopt;
  }
  return percent_decode(text);
}

std::string json_escape(std::string_view bytes, bool escape_slash) {
  std::string out;
  out.reserve(bytes.size());
  for (const char c : bytes) {
    if (c == '"' || c == '\\' || (c == '/' && escape_slash)) {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00";
      append_hex(out, c, "0123456789abcdef");
    } else {
      out += c;
    }
  }
  return out;
}

namespace {

// The size of the character that `rest` begins with, 0 if that is none.
std::size_t utf8_size(std::string_view rest) {
  const auto octet = [&](std::size_t at) -> unsigned {
    return at < rest.size() ? static_cast<unsigned char>(rest[at]) : 0U;
  };
  const auto follows = [&](std::size_t at, unsigned from = 0x80, unsigned to = 0xbf) {
    return octet(at) >= from && octet(at) <= to;
  };
  const unsigned first = octet(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool second = follows(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf);
    return second && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool second = follows(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf);
    return second && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::size_t utf8_prefix(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::size_t size = utf8_size(bytes.substr(at));
    if (size == 0) break;
    at += size;
  }
  return at;
}

}  // namespace nono
