#pragma once
// PathPattern: a path glob. `*` matches within one segment, `**` any number of whole segments.

#include <string>
#include <string_view>
#include <vector>

#include "config/base/error.hpp"

namespace nono::policy {

class PathPattern {
 public:
  // "/v1/**", "/repos/*/issues", "/file-*.txt". `/x/**` matches `/x` too; a segment that is only
  // `*` matches one segment that is not empty. Percent-encoding is decoded, so `%2A` is a plain
  // star. Refused: no leading slash, `**` beside other characters, dot segments, '?', '#', braces,
  // brackets.
  static Result<PathPattern> parse(std::string_view text);

  // `segments` as normalise_path gives them.
  bool matches(const std::vector<std::string>& segments) const;

 private:
  struct Piece {
    bool any_segments = false;       // "**"
    std::vector<std::string> parts;  // what stands between the stars; one part: no star
  };
  static bool piece_matches(const Piece& piece, std::string_view segment);
  std::vector<Piece> pieces_;
};

}  // namespace nono::policy
