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
// that name a proxy, an agent or a bus, or whose value holds one of `secret_values` do not pass.
// Then, each over the one before: environment.set_vars, `additions`. A phantom variable of an
// enabled credential passes only from `additions`. Precedence of the rest: never pass > deny_env >
// pass_env > allow_env.
ChildEnvironment build_environment(const std::vector<std::string>& parent,
                                   const SessionConfig& config,
                                   const std::map<std::string, std::string>& additions,
                                   std::span<const std::string_view> secret_values = {});

// True where a variable of this name is withheld unless it is asked for by name.
bool looks_secret(std::string_view name);

// True where a variable of this name is never passed on: it would make a program load foreign code.
bool is_dangerous_variable(std::string_view name);

}  // namespace nono
