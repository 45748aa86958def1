#pragma once
// What is said after a run: hosts that were refused, and with --diagnose files that were not
// granted; in words or as JSON.

#include <string>
#include <vector>

#include "proxy/audit/record.hpp"
#include "sandbox/plan.hpp"

namespace nono::cli {

struct RunFacts {
  int exit_code = 0;
  bool files_were_watched = false;  // otherwise nothing is known of them
  std::vector<audit::Record> refusals;
  std::vector<sandbox::DeniedPath> paths;
};

// The flag that would grant it, or why none does.
std::string remedy(const sandbox::DeniedPath& path);

// Empty where nothing was refused. Each host and each path once; never offers to grant what is
// always denied.
std::string diagnostics_text(const RunFacts& facts);

// One line, whatever happened:
// {"exit_code", "files_watched", "denials": [{"kind": "host"|"path", ..., "fix"}]}
std::string diagnostics_json(const RunFacts& facts);

}  // namespace nono::cli
