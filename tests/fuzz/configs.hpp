#pragma once
// A user without a home, and how errors of configuration files must be told.

#include "config/profile.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace nono::fuzz {

inline UserContext nobody() {
  UserContext user;
  user.home = "/nowhere";
  user.cwd = "/nowhere";
  user.config_dir = "/nowhere/config";
  user.state_dir = "/nowhere/state";
  user.env = [](std::string_view) { return std::optional<std::string>(); };
  return user;
}

// Nothing but lines of text, the first of which names the file.
inline void expect_told(const Error& error, const std::string& file) {
  expect(error.code == ErrorCode::bad_input);
  expect(error.what.starts_with(file) || holds(error.what, "profile"));
  for (const char c : error.what) expect(c == '\n' || c < 0 || (c >= ' ' && c != 0x7f));
}

}  // namespace nono::fuzz
