#include "sandbox/backend.hpp"

#include <algorithm>

namespace nono::sandbox {

std::string_view to_string(Backend backend) {
  return backend == Backend::netns ? "netns" : "notify";
}

std::optional<Backend> parse_backend(std::string_view name) {
  if (name == "netns") return Backend::netns;
  if (name == "notify") return Backend::notify;
  return std::nullopt;
}

std::string_view to_string(Weakness weakness) {
  switch (weakness) {
    case Weakness::no_landlock_net:
      return "no-landlock-net";
    case Weakness::unscoped_signals:
      return "unscoped-signals";
    case Weakness::host_terminals:
      return "host-terminals";
  }
  return "";
}

std::string_view describe(Weakness weakness) {
  switch (weakness) {
    case Weakness::no_landlock_net:
      return "no kernel rule stands behind the supervisor of connections";
    case Weakness::unscoped_signals:
      return "the command may send signals to your other processes";
    case Weakness::host_terminals:
      return "the command may open your other terminals";
  }
  return "";
}

const std::vector<Weakness>& all_weaknesses() {
  static const std::vector<Weakness> all = {Weakness::no_landlock_net, Weakness::unscoped_signals,
                                            Weakness::host_terminals};
  return all;
}

std::optional<Weakness> parse_weakness(std::string_view name) {
  const std::vector<Weakness>& all = all_weaknesses();
  auto found = std::find_if(all.begin(), all.end(),
                            [&](Weakness weakness) { return to_string(weakness) == name; });
  if (found == all.end()) return std::nullopt;
  return *found;
}

}  // namespace nono::sandbox
