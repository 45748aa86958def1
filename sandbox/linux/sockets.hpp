#pragma once
// The sockets of a proxied sandbox: made in its network namespace, served by the parent.

#include "sandbox/linux/failure.hpp"
#include "sandbox/plan.hpp"

namespace nono::sandbox {

// Makes what `plan` asks for in this process's network namespace and sends it to the parent. Needs
// CAP_NET_ADMIN and CAP_NET_BIND_SERVICE there.
Done hand_over_sockets(const SandboxPlan& plan, int channel);

}  // namespace nono::sandbox
