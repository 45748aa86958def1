#pragma once
// The dialler: from a Permit and vetted addresses to a connected stream. The only place that
// connects.

#include <chrono>
#include <memory>
#include <string>

#include "config/base/permit.hpp"
#include "dns/resolver.hpp"
#include "proxy/net/tcp_stream.hpp"

namespace nono {

struct Dialled {
  std::unique_ptr<TcpStream> stream;
  IpAddress address;  // the vetted one that answered first
};

// Connects to the permit's port on the first address that answers (Happy Eyeballs, RFC 8305 5: a
// new attempt every 250 ms or when one fails, losers closed). Errors: connect_failed or
// connect_timeout, side upstream. All arguments must outlive the await.
Awaitable<Result<Dialled>> dial(const Permit& permit, const dns::VettedAddresses& vetted,
                                Deadlines& deadlines, std::chrono::milliseconds time_max);

}  // namespace nono
