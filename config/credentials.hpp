#pragma once
// The built-in credential routes, and how a route gets the places its key is looked for.

#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"

namespace nono {

// openai, anthropic, gemini, google-ai, github, gitlab: upstream, injection, variables, and sources
// in the order keyring NAME, keyring NAME_api_key, the vendor's own variables of the parent.
const std::vector<CredentialRoute>& builtin_credentials();

// By name; null where there is none. The pointer lives as long as the program.
const CredentialRoute* builtin_credential(std::string_view name);

}  // namespace nono
