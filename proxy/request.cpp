#include "proxy/request.hpp"

#include <poll.h>

#include "config/base/on_exit.hpp"
#include "proxy/chain.hpp"
#include "proxy/dialer.hpp"
#include "proxy/net/relay.hpp"
#include "proxy/net/tls_stream.hpp"

namespace nono {

namespace {

using intercept::SubstituteRefusal;

constexpr std::chrono::milliseconds look_after_client{1000};

// Gives up an exchange whose client leaves before the answer begins: nobody would read it, and the
// upstream may be charging for it. A client that ends its direction only is taken for one that
// left.
class ClientWatch final : private Expiring {
 public:
  ClientWatch(Deadlines& deadlines, ByteStream& client, ByteStream& upstream)
      : deadlines_(deadlines), client_(client), upstream_(upstream) {
    deadlines_.arm(*this, look_after_client);
  }
  void answer_begins() { deadlines_.disarm(*this); }
  bool client_left() const { return left_; }

 private:
  void on_expired() noexcept override {
    left_ = client_.peer_ended();
    if (left_) return upstream_.close();
    revive();
    deadlines_.arm(*this, look_after_client);
  }

  Deadlines& deadlines_;
  ByteStream& client_;
  ByteStream& upstream_;
  bool left_ = false;
};

// Redacts what a credential's upstream answers, and keeps phantoms out of what goes to any
// upstream.
class RequestHooks final : public http::ExchangeHooks {
 public:
  RequestHooks(const intercept::Redactor* redactor, std::unique_ptr<http::BodyFilter> guard,
               ClientWatch& watch)
      : redactor_(redactor), guard_(std::move(guard)), watch_(watch) {}
  Result<std::unique_ptr<http::BodyFilter>> on_response(http::ResponseHead& response) override {
    watch_.answer_begins();
    if (redactor_ == nullptr) return std::unique_ptr<http::BodyFilter>();
    return redactor_->on_response(response);
  }
  void on_interim(http::ResponseHead& response) override {
    if (redactor_ != nullptr) redactor_->redact_fields(response);
  }
  http::BodyFilter* request_filter() override { return guard_.get(); }

 private:
  const intercept::Redactor* redactor_;
  std::unique_ptr<http::BodyFilter> guard_;
  ClientWatch& watch_;
};

Problem problem_of_failure(const intercept::SubstituteFailure& failure, const HostPort& target) {
  Problem problem = problem_of(failure.error, &target);
  problem.error_token = "http_request_denied";
  switch (failure.refusal) {
    case SubstituteRefusal::foreign_credential:
      problem.status = 403;
      problem.reason = Reason::foreign_credential;
      break;
    case SubstituteRefusal::missing_phantom:
      problem.status = 401;
      problem.reason = Reason::no_token;
      break;
    case SubstituteRefusal::secret_missing:
      problem.status = 503;
      problem.reason = Reason::secret_missing;
      problem.error_token = "proxy_configuration_error";
      break;
    case SubstituteRefusal::malformed:
      problem.status = 400;
      problem.reason = Reason::malformed;
      break;
  }
  return problem;
}

// The credentials that may be used on this request's upstream.
std::vector<const LoadedCredential*> candidates_for(const Session& session,
                                                    const PermittedRequest& request) {
  std::vector<const LoadedCredential*> out;
  if (request.route) {
    out.push_back(&session.credentials()[*request.route]);
    return out;
  }
  if (session.credentials().empty()) return out;
  for (const std::size_t index : session.engine().routes_for(request.permit.target())) {
    const LoadedCredential& credential = session.credentials()[index];
    if (credential.route.tls == request.tls) out.push_back(&credential);
  }
  return out;
}

struct Prepared {
  const intercept::Redactor* redactor = nullptr;
  std::optional<Problem> problem;
};

// Swaps the phantom for the key and makes sure that no phantom leaves otherwise.
Prepared prepare_credentials(const Session& session, PermittedRequest& request, Trail& trail) {
  Prepared prepared;
  const HostPort& target = request.permit.target();
  const std::vector<const LoadedCredential*> candidates = candidates_for(session, request);
  if (!candidates.empty()) {
    const LoadedCredential* credential = intercept::presented(request.head, candidates);
    if (credential == nullptr) credential = candidates.front();
    auto substitution = intercept::substitute(request.head, *credential, request.mode);
    if (!substitution) {
      prepared.problem = problem_of_failure(substitution.error(), target);
      return prepared;
    }
    if (substitution->used) {
      trail.credential(substitution->credential);
      const auto index = static_cast<std::size_t>(credential - session.credentials().data());
      prepared.redactor = session.redactor(index);
      intercept::prepare_for_redaction(request.head);
    }
  }
  if (!session.credentials().empty() && session.phantoms().contains(request.head)) {
    Refusal refusal;
    refusal.because.reason = Reason::phantom_elsewhere;
    refusal.detail =
        "a phantom key is on its way to " + target.to_string() + ", which it is not for";
    refusal.fix = "a phantom works only at its own vendor; look at who sends it here";
    prepared.problem = problem_of(refusal, target);
  }
  return prepared;
}

// The protocol a client wants to change to, where we carry it.
std::string upgrade_of(const http::RequestHead& head) {
  const std::string* upgrade = head.fields.find("Upgrade");
  if (upgrade == nullptr || head.http_1_0 || !http::equal_name(*upgrade, "websocket")) return {};
  return *upgrade;
}

// RFC 9110 9.2.2: may be sent again when the connection broke without an answer.
bool idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "PUT" ||
         method == "DELETE" || method == "TRACE";
}

http::ExchangeTimes times_of(const Limits& limits) {
  return http::ExchangeTimes{limits.first_byte_time_max, limits.idle_time_max};
}

// Relays an upgraded connection until either side ends it.
Awaitable<void> relay_upgraded(RequestContext& context, const intercept::Redactor* redactor,
                               Trail& trail) {
  const std::string early_client(context.client_in.unread());
  const std::string early_upstream(context.upstream.in.unread());
  const auto idle = context.session.limits().idle_time_max;
  std::unique_ptr<RelayFilter> to_client;
  if (redactor != nullptr) to_client = redactor->websocket_filter();
  const RelayResult moved =
      co_await relay_streams(context.client, *context.upstream.stream, early_client, early_upstream,
                             idle, to_client.get());
  trail.moved(moved.bytes_to_upstream, moved.bytes_to_client);
  context.upstream.reset();
}

// A connected socket that leads to the permit's target, be it through the upstream proxy.
Awaitable<Result<Dialled>> reach(Worker& worker, const Session& session, const Permit& permit,
                                 Leg leg) {
  const Limits& limits = session.limits();
  const UpstreamProxy* parent = parent_for(session.config(), permit.target());
  std::optional<Permit> parent_permit;
  if (parent != nullptr) parent_permit = policy::Engine::permit_upstream_proxy(parent->address);
  const Permit& next_hop = parent_permit ? *parent_permit : permit;
  const auto deadline = std::chrono::steady_clock::now() + limits.resolve_time_max;
  auto resolver = worker.resolver(session);
  if (!resolver) co_return fail(resolver.error());
  auto vetted = co_await (*resolver)->resolve(next_hop, deadline);
  if (!vetted) co_return fail(vetted.error());
  auto dialled = co_await dial(next_hop, *vetted, worker.deadlines(), limits.connect_time_max);
  if (!dialled || parent == nullptr || leg == Leg::http) co_return dialled;
  dialled->stream->expires_after(limits.connect_time_max);
  auto through =
      co_await connect_through(*dialled->stream, *parent, permit.target(), session.head_limits());
  if (!through) co_return fail(through.error());
  dialled->stream->never_expires();
  co_return dialled;
}

}  // namespace

void Upstream::reset() {
  stream.reset();
  tcp = nullptr;
  in = http::InputBuffer();
  target.reset();
}

bool Upstream::usable_for(const HostPort& wanted, bool wanted_tls) const {
  if (!stream || !target || tls != wanted_tls || !(*target == wanted) || !in.empty()) return false;
  if (!tcp->socket().is_open()) return false;
  pollfd state{tcp->native_handle(), POLLIN | POLLRDHUP, 0};
  if (::poll(&state, 1, 0) == 0) return true;
  // TLS may have a ticket waiting, but behind a goodbye there is an end; plain HTTP has nothing to
  // say between two requests.
  return tls && state.revents == POLLIN;
}

Awaitable<Result<void>> open_upstream(Worker& worker, const Session& session, const Permit& permit,
                                      Leg leg, Upstream& upstream, Trail& trail) {
  upstream.reset();
  auto dialled = co_await reach(worker, session, permit, leg);
  if (!dialled) co_return fail(dialled.error());
  trail.address(dialled->address);
  upstream.address = dialled->address;
  upstream.tcp = dialled->stream.get();
  upstream.tls = leg == Leg::https;
  if (leg == Leg::https) {
    dialled->stream->expires_after(session.limits().tls_time_max);
    auto context = worker.client_tls(session);
    if (!context) {
      upstream.reset();
      co_return fail(context.error());
    }
    auto secured = co_await TlsStream::connect(std::move(dialled->stream), **context,
                                               permit.target(), session.identity());
    if (!secured) {
      upstream.reset();
      co_return fail(secured.error());
    }
    upstream.stream = std::move(*secured);
  } else {
    upstream.stream = std::move(dialled->stream);
  }
  upstream.target = permit.target();
  co_return Result<void>{};
}

Awaitable<Next> answer_refusal(ByteStream& client, Worker& worker, Trail& trail,
                               const Problem& problem, const http::RequestHead* head) {
  const bool connect = head != nullptr && head->method == "CONNECT";
  const bool complete = head != nullptr && head->framing.kind == http::Framing::Kind::none;
  const bool close = !complete || !head->keep_alive || (connect && problem.status != 407);
  const bool head_only = head != nullptr && head->method == "HEAD";
  trail.refuse(problem);
  const std::string text = render(problem, worker.gateway().server_name, connect, head_only, close);
  client.expires_after(worker.settings().limits.head_time_max);
  auto written = co_await client.write_all(text);
  co_return written && !close ? Next::keep : Next::close;
}

namespace {

// Decides on the request and makes it fit to send; a problem where it must not be sent.
struct Judged {
  std::optional<Problem> problem;
  Because because;
  const intercept::Redactor* redactor = nullptr;
  std::string upgrade;
};

Judged judge(const Session& session, PermittedRequest& request, Trail& trail) {
  http::RequestHead& head = request.head;
  Judged judged;
  trail.target(request.permit.target());
  trail.request(head.method, head.target);
  auto decision = session.engine().decide_request(request.permit, {head.method, head.target});
  if (!decision.allowed) {
    judged.problem = problem_of(decision.refusal, request.permit.target());
    return judged;
  }
  judged.because = decision.because.rule.empty() ? request.permit.because() : decision.because;
  head.target = std::move(decision.path);
  judged.upgrade = upgrade_of(head);
  http::remove_hop_by_hop(head.fields);
  Prepared prepared = prepare_credentials(session, request, trail);
  judged.problem = std::move(prepared.problem);
  judged.redactor = prepared.redactor;
  return judged;
}

// One try over the upstream connection at hand.
Awaitable<Result<void>> exchange_once(RequestContext& context, const http::RequestHead& head,
                                      const Judged& judged, Trail& trail,
                                      http::ExchangeResult& result) {
  const Session& session = context.session;
  std::unique_ptr<http::BodyFilter> guard;
  if (!session.credentials().empty() && head.framing.kind != http::Framing::Kind::none) {
    guard = session.phantoms().guard();
  }
  ClientWatch watch(context.worker.deadlines(), context.client, *context.upstream.stream);
  RequestHooks hooks(judged.redactor, std::move(guard), watch);
  const http::ExchangeTimes times = times_of(session.limits());
  auto exchanged = co_await http::exchange(context.client, context.client_in, head, judged.upgrade,
                                           *context.upstream.stream, context.upstream.in,
                                           session.head_limits(), times, hooks, result);
  trail.moved(result.bytes_to_upstream, result.bytes_to_client);
  trail.status(result.status);
  if (!exchanged && watch.client_left()) {
    result.upstream_was_stale = false;
    co_return fail(ErrorCode::closed, "the client left before it was answered", {}, Side::client);
  }
  co_return exchanged;
}

Awaitable<Next> finish(RequestContext& context, const Judged& judged,
                       const http::ExchangeResult& result, Trail& trail) {
  if (result.upgraded) {
    co_await relay_upgraded(context, judged.redactor, trail);
    co_return Next::close;
  }
  if (result.upstream_reusable) {
    context.upstream.stream->never_expires();
  } else {
    context.upstream.reset();
  }
  co_return result.client_reusable ? Next::keep : Next::close;
}

// The exchange broke. A refusal can be sent only while nothing of a response has been.
Awaitable<Next> give_up(RequestContext& context, const PermittedRequest& request,
                        const Error& error, const http::ExchangeResult& result, Trail& trail) {
  trail.detail(error.what);
  const bool client_left = error.side == Side::client && error.code == ErrorCode::closed;
  if (result.response_started || client_left) co_return Next::close;
  Problem problem = problem_of(error, &request.permit.target());
  if (error.code == ErrorCode::refused) problem.reason = Reason::phantom_elsewhere;
  // Whatever is left of the body is not read: the connection ends with the answer.
  http::RequestHead closing;
  closing.method = request.head.method;
  closing.keep_alive = false;
  co_return co_await answer_refusal(context.client, context.worker, trail, problem, &closing);
}

}  // namespace

Awaitable<Next> serve_request(RequestContext& context, PermittedRequest& request, Trail& trail) {
  const Session& session = context.session;
  http::RequestHead& head = request.head;
  const HostPort& target = request.permit.target();
  const Judged judged = judge(session, request, trail);
  const UpstreamProxy* parent = request.tls ? nullptr : parent_for(session.config(), target);
  const OnExit wiped([&] {
    if (judged.redactor != nullptr || parent != nullptr) intercept::wipe_head(head);
  });
  if (judged.problem) {
    co_return co_await answer_refusal(context.client, context.worker, trail, *judged.problem,
                                      &head);
  }
  auto recorded = co_await trail.allow(judged.because);
  if (!recorded) {
    const Problem problem = problem_of(recorded.error(), &target);
    co_return co_await answer_refusal(context.client, context.worker, trail, problem, &head);
  }
  if (parent != nullptr) address_to_parent(head, *parent, target);
  const Leg leg = request.tls ? Leg::https : Leg::http;
  bool kept = context.upstream.usable_for(target, request.tls);
  while (true) {
    if (kept) {
      trail.address(context.upstream.address);
    } else {
      auto opened = co_await open_upstream(context.worker, session, request.permit, leg,
                                           context.upstream, trail);
      if (!opened) {
        const Problem problem = problem_of(opened.error(), &target);
        co_return co_await answer_refusal(context.client, context.worker, trail, problem, &head);
      }
    }
    http::ExchangeResult result;
    auto exchanged = co_await exchange_once(context, head, judged, trail, result);
    if (exchanged) co_return co_await finish(context, judged, result, trail);
    context.upstream.reset();
    // A kept connection may have been closed by the upstream at this very moment: once more,
    // afresh.
    const bool stale = kept && result.upstream_was_stale && idempotent(head.method);
    if (!stale) co_return co_await give_up(context, request, exchanged.error(), result, trail);
    kept = false;
  }
}

}  // namespace nono
