#pragma once
// A keystore in memory, and one that cannot be reached: what tests of readers need.

#include <map>
#include <utility>

#include "keystore/keystore.hpp"

namespace nono::test {

class MemoryKeystore final : public keystore::Keystore {
 public:
  Result<Secret> get(std::string_view service, std::string_view account) override {
    ++reads;
    if (unreachable) return fail(ErrorCode::not_supported, "there is no keyring here");
    if (broken) return fail(ErrorCode::io, "the keyring is broken");
    const auto found = values.find({std::string(service), std::string(account)});
    if (found == values.end()) {
      return fail(ErrorCode::secret_missing, "the keyring has no '" + std::string(account) + "'");
    }
    return Secret(found->second);
  }
  Result<void> put(std::string_view service, std::string_view account,
                   const Secret& secret) override {
    values[{std::string(service), std::string(account)}] = std::string(secret.expose());
    return {};
  }
  Result<bool> erase(std::string_view service, std::string_view account) override {
    return values.erase({std::string(service), std::string(account)}) != 0;
  }
  Result<std::vector<std::string>> list(std::string_view service) override {
    std::vector<std::string> accounts;
    for (const auto& [key, value] : values) {
      if (key.first == service) accounts.push_back(key.second);
    }
    return accounts;
  }

  std::map<std::pair<std::string, std::string>, std::string> values;
  bool unreachable = false;
  bool broken = false;
  int reads = 0;
};

}  // namespace nono::test
