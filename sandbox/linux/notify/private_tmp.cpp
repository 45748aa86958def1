#include "sandbox/linux/notify/private_tmp.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "config/base/fd.hpp"

namespace nono::sandbox {
namespace {

constexpr int depth_max = 400;  // a descriptor each

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

std::vector<std::string> names_in(int directory) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, CloseDirectory> stream(::fdopendir(::dup(directory)));
  if (!stream) return names;
  ::rewinddir(stream.get());
  while (const dirent* entry = ::readdir(stream.get())) {
    std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

void empty_directory(int directory, int depth);

void remove_entry(int parent, const std::string& name, int depth) {
  if (::unlinkat(parent, name.c_str(), 0) == 0 || (errno != EISDIR && errno != EPERM)) return;
  (void)!::fchmodat(parent, name.c_str(), S_IRWXU, 0);  // what cannot be opened stays behind
  UniqueFd directory(
      ::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (directory) empty_directory(directory.get(), depth + 1);
  ::unlinkat(parent, name.c_str(), AT_REMOVEDIR);
}

void empty_directory(int directory, int depth) {
  if (depth > depth_max) return;
  for (const std::string& name : names_in(directory)) remove_entry(directory, name, depth);
}

}  // namespace

Result<std::string> make_private_tmp() {
  for (const char* parent : {"/tmp", "/var/tmp"}) {
    std::error_code error;
    std::string name = std::filesystem::canonical(parent, error).string() + "/nono-tmp-XXXXXX";
    if (!error && ::mkdtemp(name.data()) != nullptr) return name;
  }
  return fail(errno_error(errno, "cannot make a directory for temporary files in /tmp"));
}

void remove_private_tmp(const std::string& path) {
  UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) {
    ::chmod(path.c_str(), S_IRWXU);
    directory = UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  if (directory) empty_directory(directory.get(), 0);
  ::rmdir(path.c_str());
}

}  // namespace nono::sandbox
