#pragma once
// Named host sets and the network profiles made of them.

#include <string>
#include <string_view>
#include <vector>

namespace nono {

// The rules of a set ("llm_apis", "github", ...), null where no such set exists.
// `package_registries` is in no table: its hosts are asked of this machine's package managers
// (registries.hpp).
const std::vector<std::string>* host_group(std::string_view name);

// The sets of a network profile ("minimal", "developer", ...), null where no such profile exists.
const std::vector<std::string>* network_profile(std::string_view name);

inline constexpr std::string_view package_registries_group = "package_registries";

// For suggestions, sorted; the first includes package_registries.
std::vector<std::string> host_group_names();
std::vector<std::string> network_profile_names();

}  // namespace nono
