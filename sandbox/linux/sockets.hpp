#pragma once
// The sockets of a proxied sandbox: made in its network namespace, served by the parent.

#include <optional>
#include <vector>

#include "config/base/fd.hpp"
#include "sandbox/linux/failure.hpp"
#include "sandbox/plan.hpp"

namespace nono::sandbox {

// Makes what `plan` asks for in this process's network namespace and sends it to the parent. Needs
// CAP_NET_ADMIN and CAP_NET_BIND_SERVICE there. `made`: what redirect_every_port() gave, where that
// was done before.
using Redirected = tl::expected<std::vector<UniqueFd>, Failure>;
Done hand_over_sockets(const SandboxPlan& plan, int channel, std::optional<Redirected> made = {});

}  // namespace nono::sandbox
