#pragma once
// Canonical forms of many paths, for one reading of a configuration.

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

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
    std::string link;    // where the name itself is a symbolic link: that, its directory canonical
    unsigned links = 0;  // that were followed on the way
  };
  std::string of(const std::string& path) { return find(path).path; }
  // Valid until the next call.
  const Found& find(const std::string& path);

  // Existing entries of a directory whose names begin as `pattern`'s last segment does, up to its
  // final `*`; without one, the path itself. Sorted. The directory is read whole, and nothing in it
  // has to be looked at one by one from then on.
  std::vector<std::string> with_ending(const std::string& pattern);

 private:
  struct Name {
    std::string name;
    unsigned char type;  // DT_DIR, ... (readdir(3))
  };
  using Names = std::vector<Name>;  // sorted
  enum class Kind : unsigned char { none, file, directory, link };

  const Found& known(const std::string& normal, unsigned links = 0);
  const Names* read(const std::string& directory);  // null where it cannot be, or not to its end
  Kind look_at(const Found& directory, const std::string& path, std::string_view name) const;
  bool follow(const Found& directory, Found& link, unsigned links);

  std::unordered_map<std::string, Found> known_;
  std::unordered_map<std::string, Names> read_;  // whole directories, by their canonical paths
  Found other_;                                  // the last that could not be looked up by its text
};

}  // namespace nono
