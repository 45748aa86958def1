#pragma once
// Canonical forms of many paths, for one reading of a configuration.

#include <string>
#include <unordered_map>

namespace nono {

// As canonical_path() (expand.hpp), but each directory on the way is looked at once: of the
// hundreds of paths of the built-in groups most share theirs. What changes meanwhile goes
// unnoticed.
class CanonicalPaths {
 public:
  std::string of(const std::string& path);

 private:
  struct Known {
    std::string path;
    bool exists = false;
  };
  const Known& known(const std::string& normal);
  std::unordered_map<std::string, Known> known_;
};

}  // namespace nono
