#pragma once
// The path of a request in the one form in which it is both judged and forwarded.

#include <string>
#include <string_view>
#include <vector>

#include "config/base/error.hpp"

namespace nono::policy {

struct RequestPath {
  std::vector<std::string> segments;  // percent-decoded once, dot segments resolved
  std::string forwarded;              // origin-form: normalised path, then the query unchanged
};

// RFC 3986 6.2.2 for an origin-form path. An Error (bad_request, side client) where servers are
// known to read one spelling in different ways: an encoded or literal backslash, an encoded slash
// or NUL, controls, spaces, '#', doubly encoded dots or slashes, overlong UTF-8, parameters on dot
// segments.
Result<RequestPath> normalise_path(std::string_view origin_form);

// One segment, or a piece of one, percent-decoded once; refuses what normalise_path refuses.
struct Segment {
  std::string decoded;
  std::string encoded;  // unreserved characters plain, upper-case hex elsewhere
};
Result<Segment> decode_segment(std::string_view raw);

}  // namespace nono::policy
