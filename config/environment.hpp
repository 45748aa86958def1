#pragma once
// The environment of the command that runs inside.

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"

namespace nono {

struct ChildEnvironment {
  std::vector<std::string> entries;   // NAME=VALUE, sorted by name, each name once
  std::vector<std::string> withheld;  // names kept back because they look secret, sorted
};

// Filters `parent` (NAME=VALUE): variables that make other programs load code, that look secret,
// that name a proxy, an agent, a bus or a display (unless its socket is granted), and those whose
// value holds a URL's password or one of `secret_values` do not pass. Then, each over the one
// before: environment.set_vars, `additions`. A phantom or base-URL variable of an enabled credential passes only from
// `additions`. --allow-env NAME lifts all of this but proxies, phantoms, deny_vars and
// secret_values; NAME in allow_vars (not a pattern) lifts "looks secret" alone.
ChildEnvironment build_environment(const std::vector<std::string>& parent,
                                   const SessionConfig& config,
                                   const std::map<std::string, std::string>& additions,
                                   std::span<const std::string_view> secret_values = {});

// True where a variable of this name is withheld unless it is asked for by name.
bool looks_secret(std::string_view name);

// True where a variable of this name makes programs load code from elsewhere (LD_PRELOAD,
// PYTHONPATH).
bool is_dangerous_variable(std::string_view name);

}  // namespace nono
