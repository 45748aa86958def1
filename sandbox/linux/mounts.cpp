#include "sandbox/linux/mounts.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "config/base/fd.hpp"
#include "sandbox/linux/hide.hpp"
#include "sandbox/linux/landlock.hpp"
#include "sandbox/linux/mount_calls.hpp"
#include "sandbox/linux/paths.hpp"
#include "sandbox/linux/uapi.hpp"

namespace nono::sandbox {
namespace {

// A copy of a subtree that is not mounted anywhere yet.
struct Detached {
  BindMount bind;
  UniqueFd tree;
  bool directory = true;
  bool in_private = false;
};

bool cannot_be_reached(int error) {
  return error == ENOENT || error == EACCES || error == ENOTDIR;
}

// Devices and pipes can be written on a read-only mount; everything else needs its copy.
bool needs_mount(const BindMount& bind, const struct stat& info) {
  return S_ISDIR(info.st_mode) || S_ISREG(info.st_mode) || (bind.socket && S_ISSOCK(info.st_mode));
}

// The directory mounted over that `path` lies in, if any.
const std::string* cover_of(const MountPlan& plan, const std::string& path) {
  for (const std::vector<std::string>* tops : {&plan.private_directories, &plan.masked}) {
    for (const std::string& top : *tops) {
      if (is_below(path, top)) return &top;
    }
  }
  return nullptr;
}

// Copies are taken while the tree is still writable: nothing has to be made writable later, so a
// mount that the host has read-only stays as it is.
Done clone_binds(const MountPlan& plan, std::vector<Detached>& copies) {
  for (const BindMount& bind : plan.binds) {
    if (bind.path == "/") continue;  // then the whole tree simply stays writable
    UniqueFd path = open_canonical(bind.path);
    if (!path && cannot_be_reached(errno)) continue;
    struct stat info = {};
    if (!path || ::fstat(path.get(), &info) != 0) {
      return failed(Step::mount_grant, errno, bind.path);
    }
    if (!needs_mount(bind, info)) continue;
    UniqueFd tree = clone_tree(path.get());
    if (!tree) return failed(Step::mount_grant, errno, bind.path);
    std::uint64_t set = MOUNT_ATTR_NOSUID | (bind.writable ? 0 : MOUNT_ATTR_RDONLY);
    if (set_attributes(tree.get(), set) != 0) return failed(Step::mount_grant, errno, bind.path);
    copies.push_back(
        {bind, std::move(tree), S_ISDIR(info.st_mode), cover_of(plan, bind.path) != nullptr});
  }
  return {};
}

// The place for a mount inside a directory that was mounted over, which starts empty.
Done make_mount_point(const MountPlan& plan, const std::string& path, bool directory) {
  const std::string* top = cover_of(plan, path);
  if (top == nullptr) return {};
  for (const std::string& parent : directories_between(*top, path)) {
    if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) {
      return failed(Step::mount_private, errno, parent);
    }
  }
  if (directory) {
    if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
      return failed(Step::mount_private, errno, path);
    }
  } else {
    UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) return failed(Step::mount_private, errno, path);
  }
  return {};
}

bool is_directory(const std::string& path) {
  struct stat info = {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Done mount_empty(const std::string& path, const char* options) {
  if (::mount("tmpfs", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options) == 0) return {};
  return failed(Step::mount_private, errno, path);
}

// Private directories may lie in masked trees; whether each is there is seen before those are gone.
Done mount_private(const MountPlan& plan) {
  std::vector<std::string> present;
  for (const std::string& path : plan.private_directories) {
    if (is_directory(path)) present.push_back(path);
  }
  for (const std::string& path : plan.masked) {
    if (Done done = mount_empty(path, "mode=0755"); !done) return done;
  }
  for (const auto& [path, target] : plan.links) {
    if (::symlink(target.c_str(), path.c_str()) != 0) {
      return failed(Step::mount_private, errno, path);
    }
  }
  for (const std::string& path : present) {
    if (Done made = make_mount_point(plan, path, true); !made) return made;
    const char* options = path.starts_with("/run/") ? "mode=0700" : "mode=1777";
    if (Done done = mount_empty(path, options); !done) return done;
  }
  return {};
}

Done attach_binds(const MountPlan& plan, const std::vector<Detached>& copies, bool in_private) {
  for (const Detached& copy : copies) {
    if (copy.in_private != in_private) continue;
    UniqueFd target = open_canonical(copy.bind.path);
    if (!target && errno == ENOENT) {
      Done made = make_mount_point(plan, copy.bind.path, copy.directory);
      if (!made) return made;
      target = open_canonical(copy.bind.path);
    }
    if (!target || attach(copy.tree.get(), target.get()) != 0) {
      return failed(Step::mount_grant, errno, copy.bind.path);
    }
  }
  return {};
}

// Mounts a path onto itself, with attributes; what is a mount can be neither renamed nor removed.
Done mount_onto_itself(const std::string& path, std::uint64_t set) {
  UniqueFd target = open_canonical(path);
  if (!target && cannot_be_reached(errno)) return {};
  if (!target) return failed(Step::mount_policy, errno, path);
  UniqueFd tree = clone_tree(target.get());
  if (!tree || set_attributes(tree.get(), set) != 0 || attach(tree.get(), target.get()) != 0) {
    return failed(Step::mount_policy, errno, path);
  }
  return {};
}

Done protect_policy(const MountPlan& plan) {
  for (const std::string& path : plan.pinned) {
    if (Done done = mount_onto_itself(path, MOUNT_ATTR_NOSUID); !done) return done;
  }
  for (const std::string& path : plan.read_only) {
    Done done = mount_onto_itself(path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY);
    if (!done) return done;
  }
  return {};
}

// Only the sandbox's own processes are in it. Read-only, since root owns /proc/sys even here.
Done mount_proc() {
  constexpr unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (::mount("proc", "/proc", "proc", flags, nullptr) != 0) {
    return failed(Step::mount_proc, errno);
  }
  return {};
}

// An own instance: the host's holds the user's other terminals.
Done mount_terminals(int made) {
  if (made >= 0) {
    UniqueFd target = open_canonical("/dev/pts");
    if (!target && errno == ENOENT) return {};
    if (!target || attach(made, target.get()) != 0) {
      return failed(Step::mount_private, errno, "/dev/pts");
    }
    return {};
  }
  if (::mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666") !=
          0 &&
      errno != ENOENT) {
    return failed(Step::mount_private, errno, "/dev/pts");
  }
  return {};
}

}  // namespace

Done build_tree(const MountPlan& plan, int terminals) {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return failed(Step::mount_tree, errno);
  }
  std::vector<Detached> copies;
  if (Done done = clone_binds(plan, copies); !done) return done;

  bool all_writable = !plan.binds.empty() && plan.binds.front().path == "/";
  UniqueFd root(::open("/", O_PATH | O_CLOEXEC));
  std::uint64_t set = MOUNT_ATTR_NOSUID | (all_writable ? 0 : MOUNT_ATTR_RDONLY);
  if (!root || set_attributes(root.get(), set) != 0) return failed(Step::mount_read_only, errno);

  // A grant may hold /dev or a private directory's parent, so those come on top of it; and grants
  // within a private directory on top of that.
  if (Done done = attach_binds(plan, copies, false); !done) return done;
  if (Done done = mount_proc(); !done) return done;
  if (Done done = mount_terminals(terminals); !done) return done;
  if (Done done = mount_private(plan); !done) return done;
  if (Done done = attach_binds(plan, copies, true); !done) return done;
  if (!plan.start_directory.empty()) {
    Done done = make_mount_point(plan, plan.start_directory, true);
    if (!done) return done;
  }
  if (Done done = protect_policy(plan); !done) return done;
  return hide_paths(plan.hidden);
}

}  // namespace nono::sandbox
