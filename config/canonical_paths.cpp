#include "config/canonical_paths.hpp"

#include <unistd.h>

#include <cerrno>

#include "config/expand.hpp"

namespace nono {

std::string CanonicalPaths::of(const std::string& path) {
  // `..` after a symbolic link means the parent of what it leads to.
  const bool plain = path.starts_with('/') && (path + "/").find("/../") == std::string::npos;
  if (!plain) return canonical_path(path);
  return known(normal_path(path, "/")).path;
}

const CanonicalPaths::Known& CanonicalPaths::known(const std::string& normal) {
  if (const auto found = known_.find(normal); found != known_.end()) return found->second;
  if (normal == "/") return known_[normal] = {normal, true};
  const Known& directory = known(parent_path(normal));
  Known result{directory.path == "/" ? "/" : directory.path + "/", false};
  result.path += last_segment(normal);
  if (directory.exists) {
    char target = 0;
    if (::readlink(result.path.c_str(), &target, 1) >= 0) {
      result.path = canonical_path(result.path);
      result.exists = ::access(result.path.c_str(), F_OK) == 0;
    } else {
      result.exists = errno == EINVAL;  // it is there, and no link
    }
  }
  return known_[normal] = std::move(result);
}

}  // namespace nono
