#pragma once
// Keys of several shapes, each with its redactor.

#include <memory>
#include <string_view>
#include <vector>

#include "proxy/intercept/redact.hpp"

namespace nono::fuzz {

struct Redacted {
  std::string_view key;
  std::unique_ptr<LoadedCredential> credential;
  std::unique_ptr<intercept::Redactor> redactor;
};

inline const std::vector<Redacted>& redactors() {
  static const std::vector<Redacted> all = [] {
    std::vector<Redacted> made;
    for (const std::string_view key :
         {"sk-live-4f9d2c7ab81e63055TheRealOne", "Zp/a+ss\"w\\or d%41&\xc3\xa9", "k3y-5",
          "aaaaaaaaaaab", "ababababab"}) {
      auto credential = std::make_unique<LoadedCredential>();
      credential->secret = Secret(key);
      credential->phantom = "pk-nono_" + std::string(64, '7');
      auto redactor = std::make_unique<intercept::Redactor>(*credential);
      made.push_back(Redacted{key, std::move(credential), std::move(redactor)});
    }
    return made;
  }();
  return all;
}

}  // namespace nono::fuzz
