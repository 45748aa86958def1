#include "proxy/open_upstream.hpp"

#include "proxy/chain.hpp"
#include "proxy/dialer.hpp"
#include "proxy/net/tls_stream.hpp"

namespace nono {

namespace {

using Clock = std::chrono::steady_clock;

// A connected socket that leads to the permit's target, be it through the upstream proxy.
Awaitable<Result<Dialled>> reach(Worker& worker, const Session& session, const Permit& permit,
                                 Leg leg, Clock::time_point start, Trail& trail) {
  const Limits& limits = session.limits();
  const UpstreamProxy* parent = parent_for(session.config(), permit.target());
  std::optional<Permit> parent_permit;
  if (parent != nullptr) parent_permit = policy::Engine::permit_upstream_proxy(parent->address);
  const Permit& next_hop = parent_permit ? *parent_permit : permit;
  const Clock::time_point deadline = start + limits.resolve_time_max;
  auto resolver = worker.resolver(session);
  if (!resolver) co_return fail(resolver.error());
  auto vetted = co_await (*resolver)->resolve(next_hop, deadline);
  if (!vetted) co_return fail(vetted.error());
  if (vetted->set_aside() != nullptr) trail.observed(*vetted->set_aside());
  const Clock::time_point resolved = Clock::now();
  if (next_hop.target().host.is_name()) worker.metrics().resolve_took(resolved - start);
  auto dialled = co_await dial(next_hop, *vetted, worker.deadlines(), limits.connect_time_max);
  if (!dialled) co_return fail(dialled.error());
  worker.metrics().connect_took(Clock::now() - resolved);
  if (parent == nullptr || leg == Leg::http) co_return dialled;
  dialled->stream->expires_after(limits.connect_time_max);
  auto through =
      co_await connect_through(*dialled->stream, *parent, permit.target(), session.head_limits());
  if (!through) co_return fail(through.error());
  dialled->stream->never_expires();
  co_return dialled;
}

}  // namespace

UpstreamPlace place_of(const Session& session, const Permit& permit, Leg leg) {
  const UpstreamProxy* parent =
      leg == Leg::http ? parent_for(session.config(), permit.target()) : nullptr;
  if (parent != nullptr) return UpstreamPlace{parent->address, leg, true};
  return UpstreamPlace{permit.target(), leg, permit.literal()};
}

Awaitable<Result<void>> open_upstream(Worker& worker, const Session& session, const Permit& permit,
                                      Leg leg, Upstream& upstream, Trail& trail) {
  upstream.reset();
  const Clock::time_point start = Clock::now();
  auto dialled = co_await reach(worker, session, permit, leg, start, trail);
  if (!dialled) co_return fail(dialled.error());
  trail.address(dialled->address);
  upstream.address = dialled->address;
  upstream.tcp = dialled->stream.get();
  if (leg == Leg::https) {
    dialled->stream->expires_after(session.limits().tls_time_max);
    auto context = worker.client_tls(session);
    if (!context) {
      upstream.reset();
      co_return fail(context.error());
    }
    const Clock::time_point handshake = Clock::now();
    auto secured = co_await TlsStream::connect(std::move(dialled->stream), **context,
                                               permit.target(), session.identity());
    if (!secured) {
      upstream.reset();
      co_return fail(secured.error());
    }
    worker.metrics().tls_took(metrics::Peer::upstream, Clock::now() - handshake);
    upstream.stream = std::move(*secured);
  } else {
    upstream.stream = std::move(dialled->stream);
  }
  upstream.place = place_of(session, permit, leg);
  worker.metrics().open_took(Clock::now() - start);
  co_return Result<void>{};
}

}  // namespace nono
