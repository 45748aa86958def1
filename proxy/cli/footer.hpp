#pragma once
// After a run in which something was refused: each host once, with the flag that would allow it.

#include <cstdint>
#include <string>
#include <vector>

#include "proxy/audit/record.hpp"

namespace nono::cli {

// A host that was refused by policy, and what would change that.
struct RefusedHost {
  std::string host;
  std::uint16_t port = 0;  // 0: none was named
  std::string reason, rule, remedy;
};

// Each host once, by policy alone: a failure upstream is no refusal.
std::vector<RefusedHost> refused_hosts(const std::vector<audit::Record>& refusals);

// Empty where nothing was refused by policy (a failure upstream is no refusal). Never offers what
// no flag can give.
std::string footer_text(const std::vector<audit::Record>& refusals);

}  // namespace nono::cli
