#pragma once
// The hosts of the group package_registries: those that the package managers installed here are set
// up to use. No host is written in this program; mirrors are honoured and nothing goes stale.

#include <string>
#include <vector>

#include "config/base/error.hpp"
#include "config/config.hpp"
#include "config/resolve.hpp"

namespace nono {

struct RegistryHosts {
  std::vector<std::string> rules;   // host rules, sorted, each once
  std::vector<std::string> silent;  // package managers that are installed and did not answer
};

// Asks npm, pip, cargo, go, maven, gem and apt: programs from PATH entries that neither lie in the
// current directory nor under a writable grant, run in "/", for user and system settings only, with
// a clean environment, no way out, and a few seconds in all. Error (bad_input): none of them
// answered.
Result<RegistryHosts> registry_hosts(const Settings& settings, const UserContext& user,
                                     const ResolveOptions& options);

// The host rule of an index URL as package managers write it ("sparse+https://host/x",
// "https://host:8443", "host"); empty where it has none that the network could reach.
std::string registry_rule(std::string_view url);

}  // namespace nono
