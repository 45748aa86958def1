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
  bool inside = false;    // of what is mounted for the sandbox: there is nothing to open before
  bool file = false;      // known to be no directory; otherwise the kernel is asked
};

// The version of the interface that this kernel offers, 0 where there is none (then errno says
// why).
int landlock_abi();

// The rules for the plan: its grants, the private directories, /proc read-only, the few devices
// that every program expects.
std::vector<LandlockRule> landlock_rules(const SandboxPlan& plan,
                                         const std::vector<std::string>& private_directories);

// A ruleset that restricts nobody yet: files, signals and abstract sockets (ABI 6) and other Unix
// sockets (ABI 9) are the sandbox's own where the kernel can. `no_tcp`: no TCP port may be
// connected to or bound (ABI 4).
tl::expected<UniqueFd, Failure> make_ruleset(bool no_tcp = false);

// Adds the rules with that value of `inside`. A path that does not exist or cannot be reached
// grants nothing. Rules stand for files, by whatever mount they are reached: what a mount of ours
// does not cover may be opened before it.
Done add_rules(int ruleset, const std::vector<LandlockRule>& rules, bool inside);

// Confines this thread and its descendants, with what standard descriptors may open anew.
Done apply_landlock(int ruleset);

// Opens a path that must be canonical: no component may be a symbolic link (ELOOP).
UniqueFd open_canonical(const std::string& path);

}  // namespace nono::sandbox
