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

// Those that do not depend on what a plan names.
struct UsualSockets {
  std::vector<OfferedSocket> sockets;
  std::optional<Failure> not_redirected;  // why there is no listener for every port
};
tl::expected<UsualSockets, Failure> make_usual_sockets(bool every_port, bool dns);

// All that `plan` asks for in this process's network namespace, those included. Needs CAP_NET_ADMIN
// and CAP_NET_BIND_SERVICE there, as the usual ones do.
tl::expected<std::vector<OfferedSocket>, Failure> make_sockets(const SandboxPlan& plan,
                                                               UsualSockets usual);

}  // namespace nono::sandbox
