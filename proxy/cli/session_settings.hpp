#pragma once
// Profile and flags put together, and the places that follow from them.

#include <optional>
#include <string>

#include "config/config.hpp"
#include "config/profile.hpp"
#include "proxy/cli/options.hpp"

namespace nono::cli {

// --extends profiles, then --profile over them, then the flags over all. `below`: what a nono.yaml
// says, over its own profile and below the flags.
Result<Settings> load_settings(const PolicyOptions& policy, const UserContext& user);

// Flags that only mean something to the proxy, given where no proxy runs: bad_input naming the
// flag.
Result<void> check_proxy_flags(const PolicyOptions& policy, const SessionConfig& config);

// `path` from `cwd` where it is relative.
std::string absolute(const std::string& path, const UserContext& user);

// Where the audit log goes: --audit-log, or a file of this run's own below the state directory.
std::string audit_log_path(const std::optional<std::string>& asked, const UserContext& user);

// Creates the file (0600) and its folders (0700) where they are missing.
Result<void> prepare_audit_log(const std::string& path);

}  // namespace nono::cli
