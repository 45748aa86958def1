#pragma once
// Every TCP port of a network namespace, redirected to one listener of each family: TPROXY rules
// of nf_tables, sent over netlink by ourselves.

#include <tl/expected.hpp>
#include <vector>

#include "config/base/fd.hpp"
#include "sandbox/linux/failure.hpp"

namespace nono::sandbox {

// From then on a connection to any port of any address but 127.0.0.0/8 and ::1 arrives at one of
// the listeners that are returned, whose accepted sockets have the address and port that was meant
// as their own. With `spare_dns` port 53 is left alone. Needs CAP_NET_ADMIN in the namespace, and
// that all its addresses are local. Tried out by connecting, unless it is `known` to work; where
// this kernel cannot, nothing is left behind.
tl::expected<std::vector<UniqueFd>, Failure> redirect_every_port(bool spare_dns, bool known);

}  // namespace nono::sandbox
