#include "proxy/cli/private_directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace nono::cli {

namespace {

// True where it is a directory that only the user can write to; made if it is missing.
bool is_own_directory(const std::string& path, unsigned uid, bool make) {
  if (make) ::mkdir(path.c_str(), 0700);
  struct stat status = {};
  return path.starts_with('/') && ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
         status.st_uid == uid && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

// Within nono's own places, which no grant shows.
std::string own_base(const UserContext& user) {
  std::string runtime = user.env("XDG_RUNTIME_DIR").value_or("");
  if (is_own_directory(runtime, user.uid, false) &&
      is_own_directory(runtime + "/nono", user.uid, true)) {
    return runtime + "/nono";
  }
  std::error_code ignored;
  std::filesystem::create_directories(user.state_dir, ignored);
  const std::string kept = user.state_dir + "/run";
  return is_own_directory(kept, user.uid, true) ? kept : "";
}

}  // namespace

Result<PrivateDirectory> PrivateDirectory::make(const UserContext& user) {
  std::string base = own_base(user);
  if (!base.empty()) {
    std::string pattern = base + "/XXXXXX";
    if (::mkdtemp(pattern.data()) != nullptr) {
      return give(std::filesystem::canonical(pattern).string(), user);
    }
  }
  std::string pattern = "/tmp/nono-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) {
    return fail(errno_error(errno, "making a private directory in /tmp"));
  }
  return give(std::move(pattern), user);
}

// Root makes it for another user where the command runs as that user.
Result<PrivateDirectory> PrivateDirectory::give(std::string path, const UserContext& user) {
  PrivateDirectory directory(std::move(path));
  directory.uid_ = user.uid;
  directory.gid_ = user.gid;
  if (user.uid != ::geteuid() && ::chown(directory.path_.c_str(), user.uid, user.gid) != 0) {
    return fail(errno_error(errno, "giving " + directory.path_ + " to the command's user"));
  }
  return directory;
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
  if (uid_ != ::geteuid() && ::fchown(fd.get(), uid_, gid_) != 0) {
    return fail(errno_error(errno, "giving " + path + " to the command's user"));
  }
  return fd;
}

}  // namespace nono::cli
