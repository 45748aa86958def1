#pragma once
// Decoding compressed bodies on their way to another filter.

#include <cstdint>
#include <memory>

#include "proxy/http/body.hpp"

namespace nono::intercept {

enum class Coding : std::uint8_t {
  gzip,     // RFC 1952, one or more members
  deflate,  // RFC 1950, or the bare RFC 1951 stream that some servers send under this name
};

// Inflates as input comes, everything that can be decoded at once, and hands it to `next`. What
// does not decode, or ends early, is bad_response (side upstream). Memory: zlib's window, and
// `out`.
std::unique_ptr<http::BodyFilter> make_inflater(Coding coding,
                                                std::unique_ptr<http::BodyFilter> next);

}  // namespace nono::intercept
