#pragma once
// Secret references as users write them, and reading what they refer to.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keystore/keystore.hpp"

namespace nono::keystore {

// Looks up a variable of nono's own environment (the parent's, before anything is removed).
using EnvironmentLookup = std::function<std::optional<std::string>(std::string_view name)>;

// Checks a reference without reading it:
//   name                       the keyring's account `name` under nono's own service
//   keyring://service/account  another service's account; service and account may be %XX encoded
//   env://VAR                  a variable of nono's environment; [A-Za-z0-9_], no loader or shell
//   variable file:///abs/path           a file's content without one trailing newline
// Error: bad_input; schemes that are not supported yet are named as such.
Result<void> check_reference(std::string_view reference);

struct FoundSecret {
  Secret secret;
  std::string reference;     // the one that had it, fit to print
  std::string warning = {};  // "the file … can be read by everyone"; empty: none
};

// Tries the references in order; secret_missing if none has it (the text lists what was tried and
// gives the command that stores it on this system). Any other failure stops the search and is
// returned, except an unreachable keyring (not_supported), which is skipped when a later reference
// has the secret. A secret with a line break or NUL inside is refused: it could not be put into a
// request.
Result<FoundSecret> read_first(const std::vector<std::string>& references, Keystore& keyring,
                               const EnvironmentLookup& environment);

// The command that stores `account` on this system, e.g. "nono key set openai_api_key".
std::string store_command(std::string_view account);

// Checks what may be a keyring account: 1..255 printable ASCII characters without '/' or space at
// an end.
Result<void> check_account(std::string_view account);

}  // namespace nono::keystore
