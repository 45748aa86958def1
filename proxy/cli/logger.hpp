#pragma once
// What a running proxy says on stderr, by level.

#include <string_view>

#include "config/config.hpp"

namespace nono::cli {

class Logger {
 public:
  explicit Logger(LogLevel level) : level_(level) {}
  bool says(LogLevel level) const { return level <= level_; }
  // One line: "nono: TEXT", with the level's name where it is a warning, an error or debugging.
  // Control characters come out as \xNN. Any thread.
  void operator()(LogLevel level, std::string_view text) const;

 private:
  LogLevel level_;
};

}  // namespace nono::cli
