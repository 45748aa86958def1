#pragma once
// UnixSockets::inside: what of the host's Unix sockets a command could see, found before the fork.
// Whoever can see a socket and may write to it can connect; a read-only mount does not stop that,
// and only from Landlock ABI 9 on can the kernel tell the sandbox's own sockets from others.

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "config/base/error.hpp"
#include "sandbox/plan.hpp"

namespace nono::sandbox {

struct SocketSurvey {
  std::vector<std::string> masked;  // trees that are to show nothing but what is granted in them
  std::vector<std::pair<std::string, std::string>> links;  // at their top, with what they lead to
  std::vector<std::string> sockets;  // canonical; to be hidden, none of them granted
};

// Empty for UnixSockets::denied. Trees that hold programs alone are left visible (/usr, /etc); of
// those, sockets that are bound now are found. Errors: not_supported where later sockets of host
// programs could be reached (a grant of a place where services make them, before ABI 9), bad_input
// where a grant holds too many files to search.
Result<SocketSurvey> survey_sockets(const SandboxPlan& plan, int landlock_abi);

}  // namespace nono::sandbox
