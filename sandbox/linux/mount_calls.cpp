#include "sandbox/linux/mount_calls.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/linux/uapi.hpp"

namespace nono::sandbox {

UniqueFd clone_tree(int path) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE;
  return UniqueFd(static_cast<int>(::syscall(uapi::sys_open_tree, path, "", flags)));
}

int set_attributes(int tree, std::uint64_t set) {
  mount_attr attributes = {};
  attributes.attr_set = set;
  unsigned flags = AT_EMPTY_PATH | AT_RECURSIVE;
  return static_cast<int>(
      ::syscall(uapi::sys_mount_setattr, tree, "", flags, &attributes, sizeof attributes));
}

int attach(int tree, int target) {
  unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  return static_cast<int>(::syscall(uapi::sys_move_mount, tree, "", target, "", flags));
}

}  // namespace nono::sandbox
