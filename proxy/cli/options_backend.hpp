#pragma once
// --backend and --weak: which way of confining, and what may be missed in it.

#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "proxy/cli/options.hpp"

namespace CLI {
class App;
}

namespace nono::cli {

class BackendFlags {
 public:
  void add(CLI::App& app);
  // NONO_BACKEND stands in for --backend.
  std::optional<UsageError> finish(const EnvLookup& env, RunOptions& options);

 private:
  std::string backend_;
  std::vector<std::string> weak_;
};

}  // namespace nono::cli
