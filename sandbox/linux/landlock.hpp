#pragma once
// File rules by Landlock: default deny, grants by directory or file. See landlock(7).

#include <cstdint>
#include <string>
#include <vector>

#include "config/base/fd.hpp"
#include "sandbox/linux/failure.hpp"
#include "sandbox/plan.hpp"

namespace nono::sandbox {

struct LandlockRule {
  std::string path;
  bool read = false;      // read files, list directories, execute
  bool write = false;     // write, truncate, create, remove, rename
  bool terminal = false;  // a device on which ioctl is wanted
  bool socket = false;    // a Unix socket of the host's to connect to (ABI 9)
  bool optional = false;  // ours, not the user's: grants nothing where it is a symbolic link
};

// The version of the interface that this kernel offers, 0 where there is none (then errno says
// why).
int landlock_abi();

// The rules for the plan: its grants, the private directories, /proc read-only, the few devices
// that every program expects.
std::vector<LandlockRule> landlock_rules(const SandboxPlan& plan,
                                         const std::vector<std::string>& private_directories);

// Confines this thread and its descendants: files by the rules, signals and abstract sockets (ABI
// 6) and other Unix sockets (ABI 9) to the sandbox itself where the kernel can. Paths are opened
// here, after all mounts: a path that does not exist or cannot be reached grants nothing.
// `no_tcp`: no TCP port may be connected to or bound (ABI 4).
Done apply_landlock(const std::vector<LandlockRule>& rules, bool no_tcp = false);

// Opens a path that must be canonical: no component may be a symbolic link (ELOOP).
UniqueFd open_canonical(const std::string& path);

}  // namespace nono::sandbox
