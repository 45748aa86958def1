#pragma once
// Without mounts a denied path inside a grant cannot be hidden, and Landlock has no rule that takes
// something away. So such a grant is taken apart: each entry beside the path to the denied one is
// granted instead.

#include <string>
#include <vector>

#include "config/base/error.hpp"
#include "sandbox/linux/landlock.hpp"
#include "sandbox/plan.hpp"

namespace nono::sandbox {

struct NotifyFiles {
  std::vector<LandlockRule> rules;
  // Directories that were granted and taken apart: nothing can be made directly in them.
  std::vector<std::string> taken_apart;
};

// Looks at the directories as they are now. `private_tmp` is granted whole. Error: bad_input where
// it would take too many rules.
Result<NotifyFiles> plan_files(const SandboxPlan& plan, const std::string& private_tmp);

// What the user is told of it; empty where no grant was taken apart.
std::string taken_apart_warning(const std::vector<std::string>& directories);

}  // namespace nono::sandbox
