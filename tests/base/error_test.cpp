#include "config/base/error.hpp"

#include <catch2/catch.hpp>
#include <cerrno>
#include <set>

#include "config/base/permit.hpp"

using namespace nono;

TEST_CASE("every error code has a word of its own") {
  std::set<std::string_view> words;
  const int count = static_cast<int>(ErrorCode::internal) + 1;
  for (int code = 0; code < count; ++code) words.insert(to_string(static_cast<ErrorCode>(code)));
  CHECK(words.size() == static_cast<std::size_t>(count));
}

TEST_CASE("every reason has a word of its own") {
  std::set<std::string_view> words;
  const int count = static_cast<int>(Reason::malformed) + 1;
  for (int reason = 0; reason < count; ++reason)
    words.insert(to_string(static_cast<Reason>(reason)));
  CHECK(words.size() == static_cast<std::size_t>(count));
}

TEST_CASE("an errno becomes a sentence that names the place") {
  const Error error = errno_error(ENOENT, "open /x");
  CHECK(error.code == ErrorCode::io);
  CHECK(error.side == Side::self);
  CHECK(error.what == "open /x: No such file or directory");
}

TEST_CASE("a default decision refuses") {
  const Decision decision;
  CHECK(std::holds_alternative<Refusal>(decision));
}
