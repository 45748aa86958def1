#include "proxy/cli/options_resources.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "config/units.hpp"

namespace nono::cli {

namespace {

constexpr std::uint64_t memory_min_bytes = 1024 * 1024;

}  // namespace

void ResourceFlags::add(CLI::App& app) {
  const std::string group = "Resources";
  app.add_option("--memory", memory_,
                 "SIZE: what the command's processes may use together, as 512M or 2G; 1M at least")
      ->group(group);
  app.add_option("--pids,--max-processes", processes_,
                 "N: processes and threads that the command may have at once")
      ->check(CLI::Range(1U, 1'000'000U))
      ->group(group);
  app.add_option(
         "--user", user_,
         "UID|owner: for root: run the command as that user, or as the owner of the current "
         "directory")
      ->group("Other");
}

std::optional<UsageError> ResourceFlags::finish(RunOptions& options) const {
  if (!memory_.empty()) {
    options.limits.memory_bytes = parse_size(memory_);
    if (!options.limits.memory_bytes || *options.limits.memory_bytes < memory_min_bytes) {
      return UsageError{"--memory takes a size of 1M at least, such as 512M, not '" + memory_ +
                        "'"};
    }
  }
  options.limits.processes = processes_;
  options.user = user_;
  return std::nullopt;
}

}  // namespace nono::cli
