#pragma once
// Questions about canonical absolute paths, by text alone.

#include <string>
#include <string_view>
#include <vector>

namespace nono::sandbox {

// True when `path` is `directory` or lies below it.
inline bool is_at_or_below(std::string_view path, std::string_view directory) {
  if (directory == "/") return path.starts_with('/');
  if (!path.starts_with(directory)) return false;
  return path.size() == directory.size() || path[directory.size()] == '/';
}

inline bool is_below(std::string_view path, std::string_view directory) {
  return path != directory && is_at_or_below(path, directory);
}

// True for what the sandbox makes itself: a grant there can only name the host's, which is not
// there.
inline bool is_provided(std::string_view path) {
  return is_at_or_below(path, "/proc") || is_at_or_below(path, "/dev/pts");
}

// The directories strictly between `directory` and `path`, the outermost first.
inline std::vector<std::string> directories_between(std::string_view directory,
                                                    std::string_view path) {
  std::vector<std::string> between;
  std::size_t end = directory == "/" ? 1 : directory.size() + 1;
  for (end = path.find('/', end); end != std::string_view::npos; end = path.find('/', end + 1)) {
    between.emplace_back(path.substr(0, end));
  }
  return between;
}

}  // namespace nono::sandbox
