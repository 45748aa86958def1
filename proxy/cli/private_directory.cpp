#include "proxy/cli/private_directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace nono::cli {

Result<PrivateDirectory> PrivateDirectory::make(const EnvLookup& env, unsigned uid) {
  std::string base = env("XDG_RUNTIME_DIR").value_or("");
  struct stat status = {};
  const bool own = base.starts_with('/') && ::stat(base.c_str(), &status) == 0 &&
                   S_ISDIR(status.st_mode) && status.st_uid == uid &&
                   (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
  if (own) {
    std::string pattern = base + "/nono-XXXXXX";
    if (::mkdtemp(pattern.data()) != nullptr) return PrivateDirectory(std::move(pattern));
  }
  std::string pattern = "/tmp/nono-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) {
    return fail(errno_error(errno, "making a private directory in /tmp"));
  }
  return PrivateDirectory(std::move(pattern));
}

PrivateDirectory::~PrivateDirectory() {
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Result<UniqueFd> PrivateDirectory::create(const std::string& name) const {
  const std::string path = path_ + "/" + name;
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400));
  if (!fd) return fail(errno_error(errno, "creating " + path));
  return fd;
}

}  // namespace nono::cli
