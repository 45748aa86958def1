#include "sandbox/linux/hide.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>

#include "config/base/fd.hpp"
#include "sandbox/linux/landlock.hpp"
#include "sandbox/linux/mount_calls.hpp"
#include "sandbox/linux/paths.hpp"
#include "sandbox/linux/uapi.hpp"

namespace nono::sandbox {
namespace {

constexpr unsigned long inert = MS_NOSUID | MS_NODEV | MS_NOEXEC;
constexpr std::uint64_t closed =
    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

bool is_missing(int error) {
  return error == ENOENT || error == EACCES || error == ENOTDIR;
}

// The path itself, also where it is a symbolic link; none on the way to it is followed.
UniqueFd open_itself(const std::string& path) {
  open_how how = {};
  how.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW;
  how.resolve = RESOLVE_NO_SYMLINKS;
  return UniqueFd(
      static_cast<int>(::syscall(uapi::sys_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
}

// A file and a directory without any permission. They lie in a tmpfs that is mounted nowhere once
// this is gone; copies of them are.
class Lids {
 public:
  Lids() = default;
  ~Lids() {
    if (mounted_) ::umount2(workshop, MNT_DETACH);
  }
  Lids(const Lids&) = delete;
  Lids& operator=(const Lids&) = delete;

  Done make() {
    mounted_ = ::mount("tmpfs", workshop, "tmpfs", inert, "size=4k,mode=0700") == 0;
    if (!mounted_) return failed(Step::mount_deny, errno, "tmpfs");
    const std::string place = workshop;
    if (::mkdir((place + "/directory").c_str(), 0) != 0 ||
        ::mknod((place + "/file").c_str(), S_IFREG, 0) != 0) {
      return failed(Step::mount_deny, errno, "tmpfs");
    }
    directory_ = open_itself(place + "/directory");
    file_ = open_itself(place + "/file");
    if (!directory_ || !file_) return failed(Step::mount_deny, errno, "tmpfs");
    return {};
  }

  bool put_on(int target, bool directory) const {
    UniqueFd copy = clone_tree(directory ? directory_.get() : file_.get());
    return copy && set_attributes(copy.get(), closed) == 0 && attach(copy.get(), target) == 0;
  }

 private:
  // On top of what is there, for the moment of hiding.
  static constexpr const char* workshop = "/proc";
  bool mounted_ = false;
  UniqueFd directory_;
  UniqueFd file_;
};

struct Exposed {
  const BindMount* bind = nullptr;
  UniqueFd tree;
  bool directory = true;
};

// Copies of what stays visible, taken while it can still be seen.
Done copy_exposed(const HiddenPath& hidden, std::vector<Exposed>& copies) {
  for (const BindMount& bind : hidden.exposed) {
    UniqueFd path = open_canonical(bind.path);
    if (!path && is_missing(errno)) continue;
    struct stat info = {};
    if (!path || ::fstat(path.get(), &info) != 0) return failed(Step::mount_deny, errno, bind.path);
    UniqueFd tree = clone_tree(path.get());
    std::uint64_t set = MOUNT_ATTR_NOSUID | (bind.writable ? 0 : MOUNT_ATTR_RDONLY);
    if (!tree || set_attributes(tree.get(), set) != 0) {
      return failed(Step::mount_deny, errno, bind.path);
    }
    copies.push_back({&bind, std::move(tree), S_ISDIR(info.st_mode)});
  }
  return {};
}

Done make_place(const HiddenPath& hidden, const Exposed& exposed) {
  const std::string& path = exposed.bind->path;
  for (const std::string& parent : directories_between(hidden.path, path)) {
    if (::mkdir(parent.c_str(), 0111) != 0 && errno != EEXIST) {
      return failed(Step::mount_deny, errno, parent);
    }
  }
  int made = exposed.directory ? ::mkdir(path.c_str(), 0) : ::mknod(path.c_str(), S_IFREG, 0);
  if (made != 0 && errno != EEXIST) return failed(Step::mount_deny, errno, path);
  return {};
}

// A directory that can be walked through to what is exposed in it, and not listed.
Done hide_around(const HiddenPath& hidden, const std::vector<Exposed>& copies) {
  const char* path = hidden.path.c_str();
  if (::mount("tmpfs", path, "tmpfs", inert, "size=64k,mode=0311") != 0) {
    return failed(Step::mount_deny, errno, hidden.path);
  }
  for (const Exposed& exposed : copies) {
    if (Done made = make_place(hidden, exposed); !made) return made;
    UniqueFd target = open_itself(exposed.bind->path);
    if (!target || attach(exposed.tree.get(), target.get()) != 0) {
      return failed(Step::mount_deny, errno, exposed.bind->path);
    }
  }
  if (::mount(nullptr, path, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | inert, nullptr) != 0) {
    return failed(Step::mount_deny, errno, hidden.path);
  }
  return {};
}

Done hide_target_of_link(const Lids& lids, const std::string& link) {
  char real[PATH_MAX];
  if (::realpath(link.c_str(), real) == nullptr) {
    if (is_missing(errno) || errno == ELOOP) return {};  // it leads nowhere
    return failed(Step::mount_deny, errno, link);
  }
  UniqueFd target = open_itself(real);
  struct stat info = {};
  if (!target || ::fstat(target.get(), &info) != 0 ||
      !lids.put_on(target.get(), S_ISDIR(info.st_mode))) {
    return failed(Step::mount_deny, errno, real);
  }
  return {};
}

Done hide(const Lids& lids, const HiddenPath& hidden) {
  UniqueFd target = open_itself(hidden.path);
  if (!target && is_missing(errno) && !hidden.essential) return {};
  struct stat info = {};
  if (!target || ::fstat(target.get(), &info) != 0) {
    return failed(Step::mount_deny, errno, hidden.path);
  }
  std::vector<Exposed> copies;
  if (Done copied = copy_exposed(hidden, copies); !copied) return copied;
  if (!copies.empty() && S_ISDIR(info.st_mode)) return hide_around(hidden, copies);
  if (S_ISLNK(info.st_mode)) {
    if (Done done = hide_target_of_link(lids, hidden.path); !done) return done;
  }
  if (!lids.put_on(target.get(), S_ISDIR(info.st_mode))) {
    return failed(Step::mount_deny, errno, hidden.path);
  }
  return {};
}

}  // namespace

Done hide_paths(const std::vector<HiddenPath>& paths) {
  if (paths.empty()) return {};
  Lids lids;
  if (Done made = lids.make(); !made) return made;
  for (const HiddenPath& hidden : paths) {
    if (Done done = hide(lids, hidden); !done) return done;
  }
  return {};
}

}  // namespace nono::sandbox
