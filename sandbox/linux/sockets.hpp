#pragma once
// The sockets of a proxied sandbox: made in its network namespace, served by the parent.

#include <optional>
#include <vector>

#include "config/base/fd.hpp"
#include "sandbox/linux/channel.hpp"
#include "sandbox/linux/failure.hpp"
#include "sandbox/plan.hpp"

namespace nono::sandbox {

struct OfferedSocket {
  SocketRole role = SocketRole::none;
  UniqueFd fd;
};

// Those that do not depend on what a plan names: for its proxy, for names, and for whatever is
// connected to where the kernel can redirect that.
struct UsualSockets {
  std::vector<OfferedSocket> sockets;
  std::optional<Failure> not_redirected;  // why there is no listener for every port
};
tl::expected<UsualSockets, Failure> make_usual_sockets(const SandboxPlan& plan);

// Whether `plan` asks for others where every port is redirected.
bool wants_more(const SandboxPlan& plan);

// What `plan` asks for in this process's network namespace beside those. Needs CAP_NET_BIND_SERVICE
// there, and CAP_NET_ADMIN for the usual ones.
tl::expected<std::vector<OfferedSocket>, Failure> make_more_sockets(const SandboxPlan& plan,
                                                                    const UsualSockets& usual);

}  // namespace nono::sandbox
