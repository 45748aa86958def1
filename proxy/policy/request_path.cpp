#include "proxy/policy/request_path.hpp"

#include <fmt/format.h>

#include <optional>

namespace nono::policy {
namespace {

tl::unexpected<Error> ambiguous(std::string_view what) {
  return fail(ErrorCode::bad_request, fmt::format("the path has {}", what),
              "send the path without it", Side::client);
}

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
  return std::nullopt;
}

// The octet that %HH at `text[at]` stands for; nothing where it is no such triplet.
std::optional<unsigned char> triplet(std::string_view text, std::size_t at) {
  if (at + 2 >= text.size() || text[at] != '%') return std::nullopt;
  const std::optional<unsigned> high = hex_digit(text[at + 1]);
  const std::optional<unsigned> low = hex_digit(text[at + 2]);
  if (!high || !low) return std::nullopt;
  return static_cast<unsigned char>(*high << 4 | *low);
}

bool is_control(unsigned char octet) {
  return octet < 0x20 || octet == 0x7f;
}

bool is_unreserved(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

bool is_dots(std::string_view text) {
  return text == "." || text == "..";
}

// A server that decodes twice would see structure here.
bool is_doubly_encoded(std::string_view decoded) {
  for (std::size_t at = decoded.find('%'); at != std::string_view::npos;
       at = decoded.find('%', at + 1)) {
    if (decoded.substr(at + 1, 1) == "u" || decoded.substr(at + 1, 1) == "U") return true;
    const std::optional<unsigned char> octet = triplet(decoded, at);
    if (octet &&
        (*octet == '/' || *octet == '\\' || *octet == '.' || *octet == '%' || is_control(*octet))) {
      return true;
    }
    // It might cut parameters off as well.
    if (octet && *octet == ';' && is_dots(decoded.substr(0, at))) return true;
  }
  return false;
}

// Overlong UTF-8, in which old decoders saw slashes and dots.
bool has_overlong_utf8(std::string_view decoded) {
  for (std::size_t i = 0; i < decoded.size(); ++i) {
    const auto octet = static_cast<unsigned char>(decoded[i]);
    const auto next = i + 1 < decoded.size() ? static_cast<unsigned char>(decoded[i + 1]) : 0xffU;
    if (octet == 0xc0 || octet == 0xc1) return true;
    if (octet == 0xe0 && next >= 0x80 && next < 0xa0) return true;
    if (octet == 0xf0 && next >= 0x80 && next < 0x90) return true;
  }
  return false;
}

}  // namespace

Result<Segment> decode_segment(std::string_view raw) {
  Segment segment;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    auto octet = static_cast<unsigned char>(raw[i]);
    const bool encoded = octet == '%';
    if (encoded) {
      const std::optional<unsigned char> value = triplet(raw, i);
      if (!value) return ambiguous("a percent sign that encodes nothing");
      octet = *value;
      i += 2;
      if (octet == '/') return ambiguous("an encoded slash");
    }
    if (octet == '\\') return ambiguous("a backslash");
    if (is_control(octet)) return ambiguous("a control character");
    if (!encoded && octet == ' ') return ambiguous("a space");
    if (!encoded && octet == '#') return ambiguous("a fragment");
    segment.decoded += static_cast<char>(octet);
    if (is_unreserved(octet) || (!encoded && octet < 0x80)) {
      segment.encoded += static_cast<char>(octet);
    } else {
      segment.encoded += fmt::format("%{:02X}", octet);
    }
  }
  if (is_doubly_encoded(segment.decoded)) return ambiguous("a character that is encoded twice");
  if (has_overlong_utf8(segment.decoded)) return ambiguous("overlong UTF-8");
  return segment;
}

Result<RequestPath> normalise_path(std::string_view origin_form) {
  const std::size_t question = origin_form.find('?');
  std::string_view rest = origin_form.substr(0, question);
  if (!rest.starts_with('/')) return ambiguous("no slash in front");

  RequestPath path;
  std::vector<std::string> encoded;
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::size_t slash = rest.find('/');
    Result<Segment> segment = decode_segment(rest.substr(0, slash));
    if (!segment) return fail(segment.error());
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash);

    if (is_dots(segment->decoded)) {
      if (segment->decoded == ".." && !encoded.empty()) {
        encoded.pop_back();
        path.segments.pop_back();
      }
      if (!rest.empty()) continue;
      *segment = Segment{};  // "/a/." and "/a/b/.." name the directory /a/
    }
    // Some servers cut parameters off before they resolve dots.
    const std::string_view decoded = segment->decoded;
    if (is_dots(decoded.substr(0, decoded.find(';'))))
      return ambiguous("a dot segment with parameters");
    encoded.push_back(std::move(segment->encoded));
    path.segments.push_back(std::move(segment->decoded));
  }
  for (const std::string& segment : encoded) path.forwarded += "/" + segment;
  if (question != std::string_view::npos) path.forwarded += origin_form.substr(question);
  return path;
}

}  // namespace nono::policy
