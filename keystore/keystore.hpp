#pragma once
// Where secrets come from. Blocking calls: use them before the proxy's threads start, or from the
// secrets pool; never from a thread that serves connections.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/error.hpp"
#include "config/base/secret.hpp"

namespace nono::keystore {

// A place that stores secrets under (service, account): the Secret Service, a test's memory.
// get() returns secret_missing where there is none; every error text names the account, never a value.
class Keystore {
 public:
  virtual ~Keystore() = default;
  virtual Result<Secret> get(std::string_view service, std::string_view account) = 0;
  virtual Result<void> put(std::string_view service, std::string_view account, const Secret& secret) = 0;
  virtual Result<bool> erase(std::string_view service, std::string_view account) = 0;  // false: none there
  virtual Result<std::vector<std::string>> list(std::string_view service) = 0;         // accounts, sorted
};

// The system's keyring. On Linux the Secret Service through libsecret, opened with dlopen on the
// first call, with the attributes service, username=account, target=default.
std::unique_ptr<Keystore> open_system_keystore();

}  // namespace nono::keystore
