#pragma once
// The new mount calls, which this libc does not wrap: open_tree(2), mount_setattr(2),
// move_mount(2). Each leaves errno as the kernel set it.

#include <cstdint>

#include "config/base/fd.hpp"

namespace nono::sandbox {

// A copy of what `path` (a descriptor) shows, mounted nowhere yet, with everything mounted below.
UniqueFd clone_tree(int path);

// Sets MOUNT_ATTR_* on a tree and all below it; 0 where it worked.
int set_attributes(int tree, std::uint64_t set);

// Mounts a detached tree on top of `target`, which may be a symbolic link opened with O_PATH; 0
// where it worked.
int attach(int tree, int target);

}  // namespace nono::sandbox
