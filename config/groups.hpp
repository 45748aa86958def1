#pragma once
// Path groups: the built-in lists of what programs need and of what nobody may read.

#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"

namespace nono {

struct GroupPath {
  std::string path;  // variables and a trailing `*` (any ending) not yet expanded
  Access access = Access::read;
  bool file = false;  // a device or a single file
};

struct PathGroup {
  std::string name;
  std::vector<GroupPath> grants;
  std::vector<std::string> denies;
  bool always = false;    // part of every session; cannot be excluded where it denies
  bool required = false;  // denies that no profile can exclude
};

const std::vector<PathGroup>& path_groups();
const PathGroup* path_group(std::string_view name);
std::vector<std::string> path_group_names();

// Groups that are accepted by name and mean nothing here, with the reason; empty for others.
std::string_view meaningless_group(std::string_view name);

}  // namespace nono
