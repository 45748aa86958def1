#pragma once
// The network of a fresh namespace, by rtnetlink(7): loopback up, and every address local to it.

#include "sandbox/linux/failure.hpp"

namespace nono::sandbox {

// Brings `lo` up and routes every IPv4 and IPv6 address to it ("AnyIP"), so that a connection to
// anywhere meets a local listener or is refused at once, never hangs. Needs CAP_NET_ADMIN in the
// namespace. Goes on without IPv6 where the kernel has none.
Done set_up_loopback();

}  // namespace nono::sandbox
