#pragma once
// --memory, --pids and --user: what the command may use, and as whom it runs.

#include <optional>
#include <string>

#include "proxy/cli/options.hpp"

namespace CLI {
class App;
}

namespace nono::cli {

class ResourceFlags {
 public:
  void add(CLI::App& app);
  std::optional<UsageError> finish(RunOptions& options) const;

 private:
  std::string memory_;
  std::optional<unsigned> processes_;
  std::string user_;
};

}  // namespace nono::cli
