#include "proxy/cli/foresight.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace nono::cli {
namespace {

constexpr std::array<std::string_view, 6> filtering = {"--allow-domain",     "--allow-proxy",
                                                       "--deny-domain",      "--credential",
                                                       "--proxy-credential", "--network-profile"};

// With these there is nothing to begin, or something else.
constexpr std::array<std::string_view, 12> otherwise = {
    "--help", "-h",        "--dry-run", "--block-net",  "--memory",   "--pids",
    "--user", "--backend", "--weak",    "--proxy-port", "--diagnose", "--capture-all-ports"};

template <std::size_t size>
bool is_one_of(std::string_view word, const std::array<std::string_view, size>& flags) {
  const std::string_view name = word.substr(0, word.find('='));
  return std::find(flags.begin(), flags.end(), name) != flags.end();
}

}  // namespace

bool looks_like_proxied_run(const std::vector<std::string>& arguments) {
  const auto command = std::find_if(arguments.begin(), arguments.end(),
                                    [](const std::string& word) { return !word.starts_with('-'); });
  if (command == arguments.end() || *command != "run") return false;
  bool filters = false;
  for (auto word = command + 1; word != arguments.end() && *word != "--"; ++word) {
    if (is_one_of(*word, otherwise)) return false;
    filters = filters || is_one_of(*word, filtering);
  }
  return filters;
}

}  // namespace nono::cli
