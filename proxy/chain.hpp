#pragma once
// Chaining: reaching a permitted target through the user's own upstream proxy. The name was judged
// here; that proxy looks it up, so its addresses cannot be vetted on this hop.

#include "config/upstream_proxy.hpp"
#include "proxy/http/head.hpp"
#include "proxy/net/tcp_stream.hpp"

namespace nono {

// The upstream proxy to go through to `target`, or nullptr for a direct connection.
const UpstreamProxy* parent_for(const SessionConfig& session, const HostPort& target);

// Asks the proxy at the other end of `stream` for a tunnel to `target` (RFC 9110 9.3.6). Takes
// nothing off the stream behind the answer's head. Errors, side upstream: connect_failed with what
// the proxy answered; bad_response; closed; timeout.
Awaitable<Result<void>> connect_through(TcpStream& stream, const UpstreamProxy& parent,
                                        const HostPort& target, const http::HeadLimits& limits);

// What to say where the parent does not take our credentials: it is for the user of this proxy to
// put right, not for its client.
Error wants_other_credentials(const UpstreamProxy& parent);

// Turns a plain request, in origin form, into what a proxy is sent: absolute form and its
// credentials.
void address_to_parent(http::RequestHead& head, const UpstreamProxy& parent,
                       const HostPort& target);

}  // namespace nono
