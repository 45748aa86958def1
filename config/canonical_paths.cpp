#include "config/canonical_paths.hpp"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>

#include "config/expand.hpp"

namespace nono {
namespace {

constexpr unsigned links_max = 40;  // as many as Linux follows on one way

bool is_link(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISLNK(info.st_mode);
}

void look_at_target(CanonicalPaths::Found& found) {
  struct stat info {};
  found.exists = ::stat(found.path.c_str(), &info) == 0;
  found.directory = found.exists && S_ISDIR(info.st_mode);
}

// `..` after a symbolic link means the parent of what it leads to, which no text tells.
bool climbs(std::string_view path) {
  return path.ends_with("/..") || path.find("/../") != std::string_view::npos;
}

// Where a link in a canonical directory leads, by text; empty where that is not plain: an empty
// segment, a dot or a slash at the end say more than text tells.
std::string target_of(const std::string& directory, const std::string& link) {
  char text[PATH_MAX];
  const ssize_t size = ::readlink(link.c_str(), text, sizeof text);
  if (size <= 0 || static_cast<std::size_t>(size) >= sizeof text) return {};
  std::string_view rest(text, static_cast<std::size_t>(size));
  std::string base = directory;
  if (rest.starts_with('/')) {
    base = "/";
    rest.remove_prefix(1);
  }
  while (rest.starts_with("../")) {  // of a canonical directory
    base = parent_path(base);
    rest.remove_prefix(3);
  }
  const std::string below = base == "/" ? "/" : base + "/";
  const std::string target = below + std::string(rest);
  return !rest.empty() && normal_path(target, "/") == target ? target : std::string();
}

}  // namespace

const CanonicalPaths::Found& CanonicalPaths::find(const std::string& path) {
  if (path.starts_with('/') && !climbs(path)) return known(normal_path(path, "/"));
  other_ = {canonical_path(path), false, false, {}, 0};
  look_at_target(other_);
  std::string name = canonical_path(parent_path(path)) + "/";
  name += last_segment(path);
  if (is_link(name)) other_.link = std::move(name);
  return other_;
}

CanonicalPaths::Kind CanonicalPaths::look_at(const Found& directory, const std::string& path,
                                             std::string_view name) const {
  if (!directory.exists) return Kind::none;
  if (const auto names = read_.find(directory.path); names != read_.end()) {
    const auto at = std::lower_bound(names->second.begin(), names->second.end(), name,
                                     [](const Name& a, std::string_view b) { return a.name < b; });
    if (at == names->second.end() || at->name != name) return Kind::none;
    if (at->type == DT_DIR) return Kind::directory;
    if (at->type == DT_LNK) return Kind::link;
    if (at->type != DT_UNKNOWN) return Kind::file;
  }
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return Kind::none;
  if (S_ISLNK(info.st_mode)) return Kind::link;
  return S_ISDIR(info.st_mode) ? Kind::directory : Kind::file;
}

// False where that has to be left to the kernel.
bool CanonicalPaths::follow(const Found& directory, Found& link, unsigned links) {
  if (links >= links_max) return false;
  const std::string target = target_of(directory.path, link.link);
  if (target.empty()) return false;
  const Found& found = known(target, links + 1);
  link.links = directory.links + 1 + found.links;
  if (!found.exists || link.links > links_max) return false;
  link.path = found.path;
  link.exists = true;
  link.directory = found.directory;
  return true;
}

const CanonicalPaths::Found& CanonicalPaths::known(const std::string& normal, unsigned links) {
  if (const auto found = known_.find(normal); found != known_.end()) return found->second;
  if (normal == "/") return known_[normal] = {normal, true, true, {}, 0};
  const Found& directory = known(parent_path(normal), links);
  Found result{directory.path == "/" ? "/" : directory.path + "/", false, false, {}, 0};
  result.path += last_segment(normal);
  result.links = directory.links;
  const Kind kind = look_at(directory, result.path, last_segment(normal));
  result.exists = kind != Kind::none;
  result.directory = kind == Kind::directory;
  if (kind == Kind::link) {
    result.link = result.path;
    if (!follow(directory, result, links)) {
      result.path = canonical_path(result.link);
      look_at_target(result);
    }
  }
  return known_[normal] = std::move(result);
}

const CanonicalPaths::Names* CanonicalPaths::read(const std::string& directory) {
  if (const auto known = read_.find(directory); known != read_.end()) return &known->second;
  std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory.c_str()), &::closedir);
  if (!entries) return nullptr;
  Names names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(entries.get());  // NOLINT(concurrency-mt-unsafe): own stream
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.push_back({std::string(name), entry->d_type});
  }
  if (errno != 0) return nullptr;
  std::sort(names.begin(), names.end(),
            [](const Name& a, const Name& b) { return a.name < b.name; });
  return &(read_[directory] = std::move(names));
}

std::vector<std::string> CanonicalPaths::with_ending(const std::string& pattern) {
  if (!pattern.ends_with('*')) return {pattern};
  const std::string directory = parent_path(pattern);
  const Names* names = read(of(directory));
  if (names == nullptr) return {};
  std::string_view start = last_segment(pattern);
  start.remove_suffix(1);
  std::vector<std::string> found;
  for (const Name& entry : *names) {
    if (entry.name.starts_with(start)) found.push_back(normal_path(entry.name, directory));
  }
  return found;
}

}  // namespace nono
