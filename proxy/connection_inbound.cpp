// A client of this machine's that wants to reach the sandboxed program's own server.

#include "proxy/connection.hpp"

namespace nono {

Awaitable<void> Connection::serve_inbound() {
  auto own_trail = std::make_unique<Trail>(worker_, audit::Way::inbound);
  Trail& trail = *own_trail;
  const HostPort place{IpAddress::v4({127, 0, 0, 1}), inward_->port};
  trail.target(place);
  std::optional<Problem> problem;
  if (own_) {
    problem = bind(own_, trail);
  } else {
    problem = problem_of(Error{Side::self, ErrorCode::internal, "there is no session", {}}, &place);
  }
  if (problem) {
    co_await refuse_captured(trail, *problem);
    co_return;
  }
  const Because because{Reason::rule_allows, "--listen-port " + std::to_string(place.port.value())};
  Result<void> recorded;
  if (!trail.allow(because)) recorded = co_await trail.store();
  if (!recorded) {
    problem = problem_of(recorded.error(), &place);
    co_await refuse_captured(trail, *problem);
    co_return;
  }
  auto inside =
      co_await connect_inside(*inward_, worker_.deadlines(), session_->limits().connect_time_max);
  if (!inside) {
    problem = problem_of(inside.error(), &place);
    co_await refuse_captured(trail, *problem);
    co_return;
  }
  upstream_.tcp = inside->get();
  upstream_.stream = std::move(*inside);
  tunnel_ = std::make_unique<Tunnel>();
  tunnel_->trail = std::move(own_trail);
}

}  // namespace nono
