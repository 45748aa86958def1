#pragma once
// Does a log say what was written: every line unchanged, in its place, none missing.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/base/error.hpp"

namespace nono::audit {

// A place in a log and a sentence about it.
struct Finding {
  std::string file;
  std::uint64_t line = 0;  // from 1
  std::string what;
};

// The last bytes of a file, which no line break follows.
struct Incomplete {
  std::string file;
  std::uint64_t bytes = 0;
  std::uint64_t whole_lines = 0;  // of that file, before them
};

struct Verdict {
  static constexpr std::size_t listed_max = 100;

  std::uint64_t lines = 0, bytes = 0;
  std::optional<std::uint64_t> first_sequence, last_sequence;
  std::string chain;              // of the last line: keep it elsewhere to notice a cut-off end
  std::vector<Finding> problems;  // what must not be, the first listed_max
  std::uint64_t problems_total = 0;
  std::vector<Finding> remarks;  // what the log itself explains: earlier files, losses, crashes
  std::uint64_t lost = 0;        // records that the log says it could not write
  std::vector<Incomplete> incomplete;

  bool whole() const { return problems_total == 0; }
};

// Reads the files, oldest first, as one log. Errors: a file that cannot be read.
Result<Verdict> verify(const std::vector<std::string>& files);

}  // namespace nono::audit
