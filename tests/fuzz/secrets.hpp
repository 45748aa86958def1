#pragma once
// Texts that hold a secret in the forms in which it travels, so that the fuzzer need not guess it.

#include <string>
#include <string_view>

#include "config/base/encoding.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace nono::fuzz {

inline std::string percent_encode_all(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    out += {'%', digits[octet >> 4], digits[octet & 15]};
  }
  return out;
}

// One form of `secret`, by number; an empty text where there is none of that number.
inline std::string form_of(std::string_view secret, unsigned number) {
  using namespace intercept;
  const std::string text(secret);
  switch (number) {
    case 1:
      return text;
    case 2:
      return text.substr(0, text.size() / 2);
    case 3:
      return text.substr(text.size() / 2);
    case 4:
      return base64_encode(text);
    case 5:
      return base64_encode("u" + text);
    case 6:
      return base64_encode("u:" + text + "\n");
    case 7:
      return base64_encode("u:" + text, Base64::url_safe);
    case 8:
      return percent_encode(text);
    case 11:
      return percent_encode(text, false);
    case 12:
      return percent_encode_all(text);
    case 14:
      return json_escape(text);
    case 15:
      return json_escape(text, true);
    case 16:
      return text.substr(0, text.size() - 1);
    case 17:
      return text.substr(1);
    case 18:
      return base64_encode(text).substr(0, 8);
    case 19:
      return percent_encode(percent_encode_all(text));
    default:
      return {};
  }
}

// `text`, each of whose control characters stands for a form of `secret`.
inline std::string expand(std::string_view text, std::string_view secret) {
  std::string out;
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    const std::string form = octet < 0x20 ? form_of(secret, octet) : std::string();
    if (form.empty()) {
      out += c;
    } else {
      out += form;
    }
  }
  return out;
}

// Whether a reader who decodes every run of base64 at every offset finds `secret`. With `guesses`
// the reader puts up to three characters in front of each run, for those that may have been cut
// off.
inline bool holds_in_base64(std::string_view text, std::string_view secret, bool guesses = false) {
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && is_base64_char(text[end])) ++end;
    std::string run(guesses ? 3 : 0, 'A');
    run += text.substr(at, end - at);
    for (std::size_t from = 0; from < std::min<std::size_t>(4, run.size()); ++from) {
      std::string_view coded = std::string_view(run).substr(from);
      if (coded.size() % 4 == 1) coded.remove_suffix(1);
      const auto plain = base64_decode(coded);
      if (plain && holds(*plain, secret)) return true;
    }
    at = end + 1;
  }
  return false;
}

// Whether `text` holds `secret` in a form that responses are searched for.
inline bool shows(std::string_view text, std::string_view secret) {
  using namespace intercept;
  if (holds(text, secret)) return true;
  if (secret.size() < 8) return false;
  return holds(text, percent_encode(secret)) || holds(text, percent_encode(secret, false)) ||
         holds(text, json_escape(secret)) || holds(text, json_escape(secret, true)) ||
         holds_in_base64(text, secret);
}

// Whether `text` holds so much of `secret` that it may count as one. A character of base64 that
// holds bits of the secret's first or last octet and of what stands beside it could be any of
// several, so what is searched for is without them, and is replaced also where those characters are
// others or where there are none. This says only what may be replaced; what must be is shows().
inline bool nearly_shows(std::string_view text, std::string_view secret) {
  return shows(text, secret) ||
         (secret.size() >= 8 && holds_in_base64(text, secret.substr(1, secret.size() - 2), true));
}

}  // namespace nono::fuzz
