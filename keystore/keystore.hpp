#pragma once
// Where secrets come from. Blocking calls: use them before the proxy's threads start, or from the
// secrets pool; never from a thread that serves connections.

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/error.hpp"
#include "config/base/secret.hpp"

namespace nono::keystore {

// The service under which nono keeps what `nono key set` stores.
inline constexpr std::string_view own_service = "nono";

// A place that stores secrets under (service, account): the Secret Service, a test's memory.
// Every error text names the account, never a value. Errors: secret_missing (get: none there),
// not_supported (the store cannot be reached here), timeout, io.
class Keystore {
 public:
  virtual ~Keystore() = default;
  virtual Result<Secret> get(std::string_view service, std::string_view account) = 0;
  // Replaces what was there.
  virtual Result<void> put(std::string_view service, std::string_view account,
                           const Secret& secret) = 0;
  virtual Result<bool> erase(std::string_view service,
                             std::string_view account) = 0;                     // false: none there
  virtual Result<std::vector<std::string>> list(std::string_view service) = 0;  // accounts, sorted
};

// The system's keyring. On Linux the Secret Service through libsecret, opened with dlopen on the
// first call, with the attributes service, username=account, target=default; items that others
// stored without a target are found as well. libsecret starts a thread of its own at that call.
// `timeout` bounds each call, unlock prompts included; zero means for ever.
std::unique_ptr<Keystore> open_system_keystore(
    std::chrono::seconds timeout = std::chrono::seconds(120));

}  // namespace nono::keystore
