#pragma once
// The least rules that a job needed, worded from its audit log. A log holds what clients sent:
// nothing of it is printed that is not checked first.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "proxy/audit/needs.hpp"
#include "proxy/cli/options.hpp"

namespace nono::cli {

struct RulePlan {
  struct Use {
    std::uint64_t decisions = 0, observed = 0;
    std::uint64_t bytes_to_upstream = 0, bytes_to_client = 0;
    std::set<std::string> reasons;  // of refusals
  };
  using Rules = std::map<std::string, Use>;  // as --allow-domain takes them
  using Names = std::map<std::string, std::set<std::string>>;

  Rules allow;
  Names allow_private;                      // a range, and the names that need it
  Names credentials;                        // a name, and its hosts
  Rules refused;                            // what would have to be allowed if it is wanted
  Rules unreached;                          // allowed, but no connection came about
  std::map<std::string, std::size_t> wide;  // wildcards, and how many names each would stand for
  std::set<std::string> forbidden;          // hosts that no rule can allow
  std::uint64_t unusable = 0;               // hosts that are none
};

RulePlan plan_rules(const audit::Needs& needs);

// The plan as text for stdout. `refused`: what was refused as well, marked as such.
std::string rules_text(const audit::Needs& needs, const RulePlan& plan, AuditOptions::Format format,
                       bool refused);

}  // namespace nono::cli
