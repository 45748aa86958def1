// HTTP inside of what a CONNECT opened: behind TLS that ends here, or plain in a tunnel.

#include "proxy/connection.hpp"
#include "proxy/net/tls_stream.hpp"
#include "proxy/request_target.hpp"
#include "proxy/tunnel_judge.hpp"

namespace nono {

// Terminates the client's TLS with a leaf of the run's own authority and serves each request
// inside. Nothing is dialled until one of them needs it. There is no way back to an opaque tunnel
// from here.
Awaitable<Next> Connection::serve_intercepted(const Permit& permit, Trail& trail) {
  const HostPort& target = permit.target();
  if (worker_.server_tls() == nullptr) {
    const Problem problem = problem_of(
        Error{Side::self,
              ErrorCode::internal,
              "there is no certificate authority to intercept " + target.to_string() + " with",
              {}},
        &target);
    co_return co_await refuse(trail, problem, nullptr);
  }
  std::string early;
  const bool open = co_await establish(session_->limits().tls_time_max, early, trail);
  if (!open) co_return Next::close;
  const auto handshake = std::chrono::steady_clock::now();
  auto accepted = co_await TlsStream::accept(std::move(client_), std::move(early),
                                             *worker_.server_tls(), target.host);
  if (!accepted) {
    current_ = nullptr;
    trail.detail(accepted.error().what);
    co_return Next::close;
  }
  worker_.metrics().tls_took(metrics::Peer::client, std::chrono::steady_clock::now() - handshake);
  const std::unique_ptr<TlsStream> tls = std::move(*accepted);
  current_ = tls.get();
  http::InputBuffer inner;
  Next next = Next::keep;
  // Once even while the proxy stops: it was let in before.
  do {
    next = co_await serve_inside(permit, *tls, inner, true);
  } while (next == Next::keep && !leaving_);
  co_await tls->close_gracefully();
  current_ = nullptr;
  co_return Next::close;
}

// What a tunnel carries is plain HTTP: each request in it is judged as if it had been forwarded.
Awaitable<void> Connection::serve_http_inside(TunnelJudge& judge) {
  upstream_.reset();
  in_.append(judge.taken());
  co_await serve_http_for(judge.permit());
}

// Each request is judged and recorded by itself; the first one even while the proxy stops.
Awaitable<Next> Connection::serve_http_for(Permit permit) {
  Next next = Next::keep;
  do {
    next = co_await serve_inside(permit, *client_, in_, false);
  } while (next == Next::keep && !leaving_);
  co_return Next::close;
}

// One request inside an intercepted connection or a tunnel: it must be for the host that this is
// for.
Awaitable<Next> Connection::serve_inside(const Permit& permit, ByteStream& client,
                                         http::InputBuffer& inner, bool tls) {
  const HostPort& target = permit.target();
  const Limits& limits = session_->limits();
  client.reads_expire_after(limits.keep_alive_time_max);
  waiting_ = true;
  auto head = co_await http::read_request_head(client, inner, session_->head_limits(),
                                               limits.head_time_max);
  waiting_ = false;
  const bool nothing_asked =
      !head && (head.error().code == ErrorCode::closed ||
                (head.error().code == ErrorCode::timeout && inner.empty()));
  if (nothing_asked) co_return Next::close;
  const audit::Way plain = captured_ ? audit::Way::captured : audit::Way::connect;
  Trail trail(worker_, tls ? audit::Way::intercept : plain);
  trail.session(*session_);
  trail.target(target);
  if (!head) {
    const Problem problem = problem_of(head.error(), &target);
    co_return co_await answer_refusal(client, worker_, trail, problem, nullptr);
  }
  co_return co_await serve_head_inside(permit, client, inner, tls, *head, trail);
}

Awaitable<Next> Connection::serve_head_inside(const Permit& permit, ByteStream& client,
                                              http::InputBuffer& inner, bool tls,
                                              http::RequestHead& head, Trail& trail) {
  const HostPort& target = permit.target();
  client.never_expires();
  trail.request(head.method, head.target);
  if (!host_agrees(head, target, target.port)) {
    const Problem problem = mismatch(head, target);
    co_return co_await answer_refusal(client, worker_, trail, problem, &head);
  }
  if (head.target.empty() || (head.target.front() != '/' && head.target != "*")) {
    const Problem problem = bad_target("the request target inside TLS or a tunnel must be a path",
                                       "send the path only");
    co_return co_await answer_refusal(client, worker_, trail, problem, &head);
  }
  RequestContext context{worker_, *session_, client, inner, upstream_};
  PermittedRequest request{head, permit, tls, {}, intercept::SubstituteMode::intercept};
  co_return co_await serve_request(context, request, trail);
}

}  // namespace nono
