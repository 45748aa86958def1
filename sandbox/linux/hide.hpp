#pragma once
// Denied paths: something empty that nobody may open is mounted over each. What is a mount can be
// neither removed, renamed nor replaced, and the command may not unmount.

#include <vector>

#include "sandbox/linux/failure.hpp"
#include "sandbox/linux/mounts.hpp"

namespace nono::sandbox {

// In this process's own mount namespace, after everything else of the tree. A path that does not
// exist is left out unless it is essential. Of a symbolic link both the link and what it leads to
// are covered.
Done hide_paths(const std::vector<HiddenPath>& paths);

}  // namespace nono::sandbox
