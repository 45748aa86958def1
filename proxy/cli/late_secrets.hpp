#pragma once
// Keys are read after the fork, when the command's environment is made already. A variable that
// turns out to hold one, whatever its name, is still to be kept back.

#include <string>
#include <vector>

#include "proxy/session_setup.hpp"

namespace nono::cli {

// Names of the NAME=VALUE entries whose value holds one of the keys.
std::vector<std::string> variables_holding_keys(const std::vector<std::string>& entries,
                                                const std::vector<LoadedCredential>& credentials);

}  // namespace nono::cli
