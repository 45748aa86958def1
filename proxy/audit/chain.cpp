#include "proxy/audit/chain.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace nono::audit {

namespace {

constexpr std::string_view chain_key = ",\"chain\":\"";
constexpr std::string_view chain_end = "\"}";
constexpr std::size_t chain_digits = 64;
constexpr std::string_view line_start = "{\"seq\":";

// The two digits of every byte.
constexpr std::array<std::array<char, 2>, 256> hex_digits = [] {
  constexpr std::string_view digits = "0123456789abcdef";
  std::array<std::array<char, 2>, 256> all{};
  for (std::size_t byte = 0; byte < all.size(); ++byte) {
    all[byte] = {digits[byte >> 4], digits[byte & 15]};
  }
  return all;
}();

}  // namespace

void Chain::digest(std::string_view open, char* digits) {
  if (!sha256_) {
    sha256_.reset(EVP_MD_fetch(nullptr, "SHA256", nullptr));
    context_.reset(EVP_MD_CTX_new());
  }
  unsigned char bytes[32];
  unsigned size = sizeof bytes;
  EVP_DigestInit_ex2(context_.get(), sha256_.get(), nullptr);
  EVP_DigestUpdate(context_.get(), head_.data(), head_.size());
  EVP_DigestUpdate(context_.get(), open.data(), open.size());
  EVP_DigestFinal_ex(context_.get(), bytes, &size);
  for (const unsigned char byte : bytes) {
    digits = std::copy_n(hex_digits[byte].begin(), 2, digits);
  }
}

void Chain::seal(std::string& text, std::size_t from) {
  digest(std::string_view(text).substr(from), digits_);
  head_.assign(digits_, sizeof digits_);
  text += chain_key;
  text += head_;
  text += "\"}\n";
}

std::string_view Chain::value_of(std::string_view open) {
  digest(open, digits_);
  return {digits_, sizeof digits_};
}

bool is_chain_value(std::string_view text) {
  return text.size() == chain_digits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::optional<Line> split_line(std::string_view text) {
  const std::size_t closing = chain_key.size() + chain_digits + chain_end.size();
  if (text.size() <= line_start.size() + closing || !text.starts_with(line_start)) return {};
  Line line;
  line.open = text.substr(0, text.size() - closing);
  const std::string_view rest = text.substr(line.open.size());
  line.chain = rest.substr(chain_key.size(), chain_digits);
  if (!rest.starts_with(chain_key) || !rest.ends_with(chain_end)) return {};
  if (!is_chain_value(line.chain)) return {};
  const char* const digits = line.open.data() + line_start.size();
  const char* const end = line.open.data() + line.open.size();
  const auto read = std::from_chars(digits, end, line.sequence);
  if (read.ec != std::errc() || read.ptr == end || *read.ptr != ',') return {};
  return line;
}

std::string_view plain_field(std::string_view open, std::string_view key) {
  // Quotes inside of strings are escaped, so this text is never part of a value.
  std::string wanted = ",\"";
  wanted += key;
  wanted += "\":";
  const std::size_t at = open.find(wanted);
  if (at == std::string_view::npos) return {};
  std::string_view value = open.substr(at + wanted.size());
  if (value.starts_with('"')) {
    value.remove_prefix(1);
    return value.substr(0, value.find('"'));
  }
  return value.substr(0, value.find_first_of(",}"));
}

bool is_note(std::string_view open) {
  // {"seq":17,"time":"2026-01-31T12:00:00.000Z","kind":"note"
  const std::size_t comma = open.find(',');
  constexpr std::size_t time_field =
      std::string_view(",\"time\":\"2026-01-31T12:00:00.000Z\"").size();
  if (comma == std::string_view::npos || open.size() < comma + time_field) return false;
  return open.substr(comma + time_field).starts_with(",\"kind\":\"note\"");
}

}  // namespace nono::audit
