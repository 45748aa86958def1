#pragma once
// Secret references as users write them (behaviour.md 5.1), and reading what they refer to.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keystore/keystore.hpp"

namespace nono::keystore {

// Looks up a variable of nono's own environment (the parent's, before anything is removed).
using EnvironmentLookup = std::function<std::optional<std::string>(std::string_view name)>;

// Checks a reference without reading it: "name" (= keyring://nono/name), "keyring://service/account",
// "env://VAR", "file:///abs/path", "cmd://", "op://", "bw://" where supported. Error: bad_input.
Result<void> check_reference(std::string_view reference);

struct FoundSecret {
  Secret secret;
  std::string reference;  // the one that had it, fit to print
};

// Tries the references in order; secret_missing if none has it (the text lists what was tried and
// gives the command that stores it on this system). Any other failure stops the search and is returned,
// except an unreachable keyring, which is skipped when a later reference has the secret.
Result<FoundSecret> read_first(const std::vector<std::string>& references, Keystore& keyring,
                               const EnvironmentLookup& environment);

// The command that stores `account` on this system, e.g. "nono key set openai_api_key".
std::string store_command(std::string_view account);

}  // namespace nono::keystore
