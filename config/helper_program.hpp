#pragma once
// Runs a small program and reads what it says: bounded in time and size, with nothing inherited.

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace nono {

struct HelperProgram {
  std::string executable;  // absolute
  std::vector<std::string> argv;
  std::vector<std::string> env;  // NAME=VALUE, complete
  bool read_errors = false;      // read standard error too
};

// What each wrote, up to 1 MiB, in the order given; nothing for one that could not be started,
// failed (unless read_errors), wrote more, or was not done in time. They run side by side, in "/",
// with empty standard input, and are gone when this returns. For the time before threads and the
// sandbox start.
std::vector<std::optional<std::string>> run_helpers(const std::vector<HelperProgram>& programs,
                                                    std::chrono::milliseconds time_max);

}  // namespace nono
