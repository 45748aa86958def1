#pragma once
// The command's own servers, on the ports that were granted: bound and made to listen in its place.

#include <vector>

#include "config/base/host.hpp"
#include "sandbox/linux/notify/trapped_call.hpp"

namespace nono::sandbox {

// bind() of a TCP socket to one of the ports on the host's loopback, which is also what binding to
// every address means here. Anything else is refused.
void bind_for(const TrappedCall& call, const std::vector<Port>& ports);

// listen() on a TCP socket that is bound to one of them.
void listen_for(const TrappedCall& call, const std::vector<Port>& ports);

}  // namespace nono::sandbox
