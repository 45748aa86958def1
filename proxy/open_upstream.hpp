#pragma once
// From a Permit to a connection: resolve, dial and, where asked, TLS.

#include "config/base/permit.hpp"
#include "proxy/trail.hpp"
#include "proxy/upstream.hpp"
#include "proxy/worker.hpp"

namespace nono {

// Where what `permit` allows is sent: its target, or for plain HTTP the session's upstream proxy.
UpstreamPlace place_of(const Session& session, const Permit& permit, Leg leg);

// Resolves, dials and, where asked, starts TLS; through the session's upstream proxy where it has
// one for this target. On success `upstream` leads to the permit's target. All arguments must
// outlive the await.
Awaitable<Result<void>> open_upstream(Worker& worker, const Session& session, const Permit& permit,
                                      Leg leg, Upstream& upstream, Trail& trail);

}  // namespace nono
