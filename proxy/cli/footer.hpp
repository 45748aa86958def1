#pragma once
// After a run in which something was refused: each host once, with the flag that would allow it.

#include <string>
#include <vector>

#include "proxy/audit/record.hpp"

namespace nono::cli {

// Empty where nothing was refused by policy (a failure upstream is no refusal). Never offers what
// no flag can give.
std::string footer_text(const std::vector<audit::Record>& refusals);

}  // namespace nono::cli
