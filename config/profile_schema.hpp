#pragma once
// The keys of a profile. Internal to config/.

#include <string>
#include <vector>

#include "config/schema.hpp"

namespace nono::document {

struct Base {
  std::string name;
  Origin origin;
};

// One profile file as read, before what it extends.
struct ProfileFile {
  Settings settings;
  std::vector<Base> extends;
  std::vector<std::string> notes;
};

const std::vector<Key<ProfileFile>>& profile_keys();

}  // namespace nono::document
