#include "config/canonical_paths.hpp"

#include <sys/stat.h>

#include "config/expand.hpp"

namespace nono {
namespace {

bool is_link(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISLNK(info.st_mode);
}

void look_at(CanonicalPaths::Found& found) {
  struct stat info {};
  found.exists = ::stat(found.path.c_str(), &info) == 0;
  found.directory = found.exists && S_ISDIR(info.st_mode);
}

}  // namespace

const CanonicalPaths::Found& CanonicalPaths::find(const std::string& path) {
  // `..` after a symbolic link means the parent of what it leads to.
  const bool plain =
      path.starts_with('/') && !path.ends_with("/..") && path.find("/../") == std::string::npos;
  if (plain) return known(normal_path(path, "/"));
  other_ = {canonical_path(path), false, false, {}};
  look_at(other_);
  std::string name = canonical_path(parent_path(path)) + "/";
  name += last_segment(path);
  if (is_link(name)) other_.link = std::move(name);
  return other_;
}

const CanonicalPaths::Found& CanonicalPaths::known(const std::string& normal) {
  if (const auto found = known_.find(normal); found != known_.end()) return found->second;
  if (normal == "/") return known_[normal] = {normal, true, true, {}};
  const Found& directory = known(parent_path(normal));
  Found result{directory.path == "/" ? "/" : directory.path + "/", false, false, {}};
  result.path += last_segment(normal);
  struct stat info {};
  if (directory.exists && ::lstat(result.path.c_str(), &info) == 0) {
    if (S_ISLNK(info.st_mode)) {
      result.link = result.path;
      result.path = canonical_path(result.link);
      look_at(result);
    } else {
      result.exists = true;
      result.directory = S_ISDIR(info.st_mode);
    }
  }
  return known_[normal] = std::move(result);
}

}  // namespace nono
