#pragma once
// Whole small files.

#include <cstddef>
#include <string>

#include "config/base/error.hpp"

namespace nono::intercept {

// The content of a regular file of at most `bytes_max`; errors (bad_input) name it.
Result<std::string> read_file(const std::string& path, std::size_t bytes_max);

}  // namespace nono::intercept
