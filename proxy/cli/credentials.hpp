#pragma once
// From planned credentials to loaded ones: where the keys are read.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/profile.hpp"
#include "keystore/keystore.hpp"
#include "proxy/cli/child_environment.hpp"
#include "proxy/cli/signals.hpp"
#include "proxy/server.hpp"

namespace nono::cli {

struct LoadedCredentials {
  std::vector<LoadedCredential> credentials;  // missing ones with their reason instead of a key
  std::vector<std::string> warnings;
};

// Reads each credential's key from the first source that has it. Blocks (keyring), and a keyring
// starts threads: never before a fork. A key that nobody has is no error here; any other failure
// is.
Result<LoadedCredentials> load_credentials(const std::vector<PlannedCredential>& planned,
                                           keystore::Keystore& keyring, const EnvLookup& env);

// The same on a thread of its own, so that a signal can end the wait for a locked keyring: then
// `interrupted` runs and the process ends with 128+signal. `signals` must have been taken before.
Result<LoadedCredentials> load_interruptibly(const std::vector<PlannedCredential>& planned,
                                             keystore::Keystore& keyring, const EnvLookup& env,
                                             const Signals& signals,
                                             const std::function<void()>& interrupted);

// The system keyring with the user's NONO_KEYRING_TIMEOUT_SECS.
Result<std::unique_ptr<keystore::Keystore>> open_keyring(const EnvLookup& env);

}  // namespace nono::cli
