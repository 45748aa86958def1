#pragma once
// The file tree of the sandbox: the host's, read-only, with holes where something is granted.
// Landlock decides what may be opened; the mounts hold what Landlock has no right for (chmod,
// utimes, xattrs), give private temporary files and hide denied paths. See mount_setattr(2),
// open_tree(2).

#include <sys/types.h>

#include <string>
#include <vector>

#include "sandbox/linux/failure.hpp"
#include "sandbox/linux/socket_survey.hpp"
#include "sandbox/plan.hpp"

namespace nono::sandbox {

struct BindMount {
  std::string path;
  bool writable = false;
  bool socket = false;
};

// A denied path that a grant would show: something empty and closed is mounted over it.
struct HiddenPath {
  std::string path;
  bool essential = false;          // must be there to be hidden
  std::vector<BindMount> exposed;  // grants within it that the user wants all the same
};

// What to mount, decided from the plan by text alone.
struct MountPlan {
  std::vector<std::string> masked;  // trees that show only what is granted in them
  std::vector<std::pair<std::string, std::string>> links;  // made again at their top
  std::vector<std::string> private_directories;            // a tmpfs each
  std::vector<BindMount> binds;                            // outermost first
  std::vector<std::string> read_only;                      // within writable binds
  std::vector<std::string> pinned;  // directories above those: must not be moved away
  std::vector<HiddenPath> hidden;   // denied paths that a grant would show
  std::string start_directory;      // made in a private directory; empty if it exists
};

// `uid` names the runtime directory. The survey is what makes UnixSockets::inside hold.
MountPlan plan_mounts(const SandboxPlan& plan, uid_t uid, const SocketSurvey& survey = {});

// Builds the tree in this process's own mount namespace. Needs CAP_SYS_ADMIN there, and to be in
// the new pid namespace (for /proc). Must precede Landlock, which forbids mounting. `terminals` is
// a devpts for /dev/pts; a new one is made where it is -1.
Done build_tree(const MountPlan& plan, int terminals = -1);

}  // namespace nono::sandbox
