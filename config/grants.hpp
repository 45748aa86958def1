#pragma once
// The files of a session: grants from groups, rules, the current directory and runtimes, held
// against what is denied. Internal to resolve().

#include <vector>

#include "config/base/error.hpp"
#include "config/config.hpp"
#include "config/resolve.hpp"

namespace nono {

// Fills grants, denies, runtimes, policy_files and warnings of `session`. All contradictions are in
// one Error, a line each.
Result<void> resolve_files(const Settings& settings, const UserContext& user,
                           const ResolveOptions& options, SessionConfig& session);

}  // namespace nono
