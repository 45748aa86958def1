// Paths: what is matched is what is forwarded, in the eyes of servers that decode once, decode
// twice, or cut parameters off; normalising twice changes nothing. First line: a pattern; second: a
// path.
#include "proxy/policy/path_pattern.hpp"
#include "proxy/policy/request_path.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace nono::fuzz;
using namespace nono::policy;
using Segments = std::vector<std::string>;

int hex(char c) {
  const char l = lower(c);
  if (c >= '0' && c <= '9') return c - '0';
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

std::string decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool triplet =
        text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0;
    out += triplet ? static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2])) : text[i];
    if (triplet) i += 2;
  }
  return out;
}

Segments segments_of(std::string_view path) {
  Segments segments;
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::size_t slash = std::min(path.find('/'), path.size());
    segments.emplace_back(path.substr(0, slash));
    path.remove_prefix(slash);
  }
  return segments;
}

void expect_no_dots(const Segments& segments) {
  for (const std::string& segment : segments) {
    const std::string plain = segment.substr(0, segment.find(';'));
    expect(plain != "." && plain != ".." && !holds(segment, "\\") && !holds(segment, "/"));
  }
}

void expect_same_everywhere(const RequestPath& path) {
  const std::string forwarded = path.forwarded.substr(0, path.forwarded.find('?'));
  expect(forwarded.starts_with('/'));
  for (const char c : forwarded) expect(c > ' ' && c < 0x7f && c != '#' && c != '\\');
  expect(segments_of(decode(forwarded)) == path.segments);
  expect_no_dots(path.segments);
  const Segments twice = segments_of(decode(decode(forwarded)));
  expect(twice.size() == path.segments.size());
  expect_no_dots(twice);
}

// The same language, matched the plain way.
struct SimplePattern {
  std::vector<std::string> pieces;  // as written

  static bool in_segment(std::string_view piece, std::string_view text) {
    if (piece.empty()) return text.empty();
    if (piece.front() == '*') {
      return in_segment(piece.substr(1), text) ||
             (!text.empty() && in_segment(piece, text.substr(1)));
    }
    const std::size_t size = piece.front() == '%' ? 3 : 1;
    return !text.empty() && decode(piece.substr(0, size)) == text.substr(0, 1) &&
           in_segment(piece.substr(size), text.substr(1));
  }
  bool from(std::size_t piece, const Segments& segments, std::size_t at) const {
    if (piece == pieces.size()) return at == segments.size();
    if (pieces[piece] == "**") {
      for (std::size_t next = at; next <= segments.size(); ++next) {
        if (from(piece + 1, segments, next)) return true;
      }
      return false;
    }
    if (at == segments.size()) return false;
    const bool star = holds(pieces[piece], "*");
    return in_segment(pieces[piece], segments[at]) && !(star && segments[at].empty()) &&
           from(piece + 1, segments, at + 1);
  }
};

std::string encode(const Segments& segments) {
  std::string out;
  for (const std::string& segment : segments) {
    out += '/';
    for (const char c : segment) {
      constexpr std::string_view digits = "0123456789abcdef";
      const auto octet = static_cast<unsigned char>(c);
      const bool plain = (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9');
      if (plain) {
        out += c;
      } else {
        out += {'%', digits[octet >> 4], digits[octet & 15]};
      }
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 400) return 0;
  Input input(data, size);
  const std::string_view pattern_text = input.line();
  const std::string_view text = input.rest();
  const auto path = normalise_path(text);
  if (!path) {
    expect(path.error().side == nono::Side::client);
    return 0;
  }
  expect_same_everywhere(*path);
  const std::size_t query = text.find('?');
  if (query != text.npos) expect(path->forwarded.ends_with(text.substr(query)));
  const auto again = normalise_path(path->forwarded);
  expect(again.has_value());
  expect(again->forwarded == path->forwarded && again->segments == path->segments);

  const auto itself = PathPattern::parse(encode(path->segments));
  expect(itself.has_value() && itself->matches(path->segments));
  const auto pattern = PathPattern::parse(pattern_text);
  if (!pattern || std::count(pattern_text.begin(), pattern_text.end(), '*') > 8) return 0;
  const SimplePattern simple{segments_of(pattern_text)};
  expect(pattern->matches(path->segments) == simple.from(0, path->segments, 0));
  return 0;
}
