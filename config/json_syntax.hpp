#pragma once
// Strict JSON syntax (RFC 8259) plus comments and trailing commas. yaml-cpp reads the values: every
// JSON text is YAML, but YAML also takes much that is broken JSON, so it is checked here first.

#include <cstddef>
#include <string>
#include <string_view>

#include "config/base/error.hpp"

namespace nono {

struct TextPosition {
  std::size_t line = 1, column = 1;  // from 1, in bytes
};

// Where a byte offset lies in a text.
TextPosition position_at(std::string_view text, std::size_t offset);

// The text with comments, trailing commas and tabs outside strings made blank, so that yaml-cpp
// reads it and every position stays. Errors (bad_input): "LINE:COLUMN: what".
Result<std::string> json_to_yaml(std::string_view text);

}  // namespace nono
