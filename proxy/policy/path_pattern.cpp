#include "proxy/policy/path_pattern.hpp"

#include <fmt/format.h>

#include "proxy/policy/request_path.hpp"

namespace nono::policy {
namespace {

tl::unexpected<Error> bad_pattern(std::string_view text, std::string_view why) {
  return fail(ErrorCode::bad_input, fmt::format("{:?} is no path pattern: {}", text, why));
}

}  // namespace

Result<PathPattern> PathPattern::parse(std::string_view text) {
  if (!text.starts_with('/')) return bad_pattern(text, "it must begin with a slash");
  if (text.find_first_of("?#{}[]") != std::string_view::npos) {
    return bad_pattern(text, "only * and ** are wildcards, and a query cannot be matched");
  }
  PathPattern pattern;
  std::string_view rest = text;
  while (!rest.empty()) {
    rest.remove_prefix(1);
    std::string_view segment = rest.substr(0, rest.find('/'));
    rest.remove_prefix(segment.size());

    Piece piece;
    piece.any_segments = segment == "**";
    if (!piece.any_segments && segment.find("**") != std::string_view::npos) {
      return bad_pattern(text, "** must stand alone between slashes");
    }
    while (!piece.any_segments) {
      const std::size_t star = segment.find('*');
      Result<Segment> part = decode_segment(segment.substr(0, star));
      if (!part) return bad_pattern(text, part.error().what);
      piece.parts.push_back(std::move(part->decoded));
      if (star == std::string_view::npos) break;
      segment.remove_prefix(star + 1);
    }
    if (piece.parts.size() == 1 && (piece.parts[0] == "." || piece.parts[0] == "..")) {
      return bad_pattern(text, "it has a dot segment, which no request keeps");
    }
    pattern.pieces_.push_back(std::move(piece));
  }
  return pattern;
}

bool PathPattern::piece_matches(const Piece& piece, std::string_view segment) {
  const std::vector<std::string>& parts = piece.parts;
  if (parts.size() == 1) return segment == parts[0];
  if (!segment.starts_with(parts.front())) return false;
  std::string_view rest = segment.substr(parts.front().size());
  if (rest.size() < parts.back().size() || !rest.ends_with(parts.back())) return false;
  rest.remove_suffix(parts.back().size());
  for (std::size_t i = 1; i + 1 < parts.size(); ++i) {
    const std::size_t found = rest.find(parts[i]);
    if (found == std::string_view::npos) return false;
    rest.remove_prefix(found + parts[i].size());
  }
  return !segment.empty();
}

bool PathPattern::matches(const std::vector<std::string>& segments) const {
  // Greedy with one way back: trying the latest `**` again suffices, so the cost is at most the
  // product of both lengths.
  std::size_t piece = 0;
  std::size_t segment = 0;
  std::size_t retry_piece = 0;  // just behind the latest `**`; 0 while there was none
  std::size_t retry_segment = 0;
  while (segment < segments.size()) {
    if (piece < pieces_.size() && pieces_[piece].any_segments) {
      retry_piece = ++piece;
      retry_segment = segment;
    } else if (piece < pieces_.size() && piece_matches(pieces_[piece], segments[segment])) {
      ++piece;
      ++segment;
    } else if (retry_piece != 0) {
      piece = retry_piece;
      segment = ++retry_segment;
    } else {
      return false;
    }
  }
  while (piece < pieces_.size() && pieces_[piece].any_segments) ++piece;
  return piece == pieces_.size();
}

}  // namespace nono::policy
