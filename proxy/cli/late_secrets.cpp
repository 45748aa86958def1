#include "proxy/cli/late_secrets.hpp"

#include <algorithm>
#include <string_view>

namespace nono::cli {

namespace {

constexpr std::size_t key_min_bytes = 8;  // shorter ones would be found by chance

bool holds_key(std::string_view value, const std::vector<LoadedCredential>& credentials) {
  return std::any_of(credentials.begin(), credentials.end(), [&](const LoadedCredential& one) {
    return one.secret && one.secret->size() >= key_min_bytes &&
           value.find(one.secret->expose()) != std::string_view::npos;
  });
}

}  // namespace

std::vector<std::string> variables_holding_keys(const std::vector<std::string>& entries,
                                                const std::vector<LoadedCredential>& credentials) {
  std::vector<std::string> names;
  for (const std::string& entry : entries) {
    const std::size_t equals = std::min(entry.find('='), entry.size());
    const std::string_view value =
        std::string_view(entry).substr(std::min(equals + 1, entry.size()));
    if (holds_key(value, credentials)) names.push_back(entry.substr(0, equals));
  }
  return names;
}

}  // namespace nono::cli
