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
  struct Found {
    std::string path;
    bool exists = false;
    bool directory = false;
    std::string link;  // where the name itself is a symbolic link: that, its directory canonical
  };
  std::string of(const std::string& path) { return find(path).path; }
  // Valid until the next call.
  const Found& find(const std::string& path);

 private:
  const Found& known(const std::string& normal);
  std::unordered_map<std::string, Found> known_;
  Found other_;  // the last that could not be looked up by its text
};

}  // namespace nono
