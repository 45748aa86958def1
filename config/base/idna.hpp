#pragma once
// IDNA2008 by way of UTS 46 non-transitional: the one place that knows libidn2.

#include <string>
#include <string_view>

#include "config/base/error.hpp"

namespace nono {

// UTF-8 to A-labels, lower case. The caller checks the result as it checks any ASCII name: mapping
// may yield any ASCII character, dots and digits included.
Result<std::string> idna_to_ascii(std::string_view utf8);

}  // namespace nono
