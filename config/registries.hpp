#pragma once
// The hosts of the group package_registries: those that the package managers installed here are set
// up to use. No host is written in this program; mirrors are honoured and nothing goes stale.

#include <string>
#include <vector>

#include "config/base/error.hpp"
#include "config/config.hpp"
#include "config/resolve.hpp"

namespace nono {

// Asks npm, pip, cargo, go, maven, gem and apt: from PATH entries that the session's rules do not
// make writable, outside the current directory, for user and system settings only, with a clean
// environment and a short time. Sorted host rules, each once. Errors: none of them is installed, or
// none answered.
Result<std::vector<std::string>> registry_hosts(const Settings& settings, const UserContext& user,
                                                const ResolveOptions& options);

}  // namespace nono
