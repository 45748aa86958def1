#include "proxy/request.hpp"

#include "config/base/on_exit.hpp"
#include "proxy/chain.hpp"
#include "proxy/net/relay.hpp"
#include "proxy/net/turn.hpp"

namespace nono {

namespace {

using intercept::SubstituteRefusal;

using Clock = std::chrono::steady_clock;

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

// RFC 9110 7.6.3: by which version the message came, and through whom.
template <class Head>
void add_via(Head& head, std::string_view name) {
  if (name.empty()) return;
  const std::string entry = std::string(head.http_1_0 ? "1.0 " : "1.1 ").append(name);
  head.fields.add("Via", entry);
}

// Redacts what a credential's upstream answers, and keeps phantoms out of what goes to any
// upstream.
class RequestHooks final : public http::ExchangeHooks {
 public:
  RequestHooks(const intercept::Redactor* redactor, std::unique_ptr<http::BodyFilter> guard,
               ClientWatch& watch, metrics::Metrics& metrics, std::string_view via,
               const UpstreamProxy* parent)
      : redactor_(redactor),
        guard_(std::move(guard)),
        watch_(watch),
        metrics_(metrics),
        via_(via),
        parent_(parent) {}
  Result<std::unique_ptr<http::BodyFilter>> on_response(http::ResponseHead& response) override {
    watch_.answer_begins();
    metrics_.first_byte_took(Clock::now() - start_);
    if (parent_ != nullptr && response.status == 407)
      return fail(wants_other_credentials(*parent_));
    add_via(response, via_);
    if (redactor_ == nullptr) return std::unique_ptr<http::BodyFilter>();
    return redactor_->on_response(response);
  }
  void on_interim(http::ResponseHead& response) override {
    add_via(response, via_);
    if (redactor_ != nullptr) redactor_->redact_fields(response);
  }
  http::BodyFilter* request_filter() override { return guard_.get(); }

 private:
  const intercept::Redactor* redactor_;
  std::unique_ptr<http::BodyFilter> guard_;
  ClientWatch& watch_;
  metrics::Metrics& metrics_;
  std::string_view via_;         // what we call ourselves; empty: nothing
  const UpstreamProxy* parent_;  // that answers; null: the upstream itself does
  Clock::time_point start_ = Clock::now();
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
using Candidates = std::vector<const LoadedCredential*, PoolAllocator<const LoadedCredential*>>;

Candidates candidates_for(const Session& session, const PermittedRequest& request) {
  Candidates out;
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

// What Via fields say of us; empty where they say nothing.
std::string_view via_name(Worker& worker) {
  return worker.settings().via ? std::string_view(worker.gateway().server_name)
                               : std::string_view();
}

// Every session's phantoms, where there are any: null where nothing is worth looking for.
intercept::PhantomBook* phantoms_alive(Worker& worker) {
  return worker.sessions().any_credentials() ? &worker.sessions() : nullptr;
}

Problem leak(std::string what, std::string fix, const HostPort& target) {
  Refusal refusal;
  refusal.because.reason = Reason::phantom_elsewhere;
  refusal.detail = std::move(what) + target.to_string() + ", which it is not for";
  refusal.fix = std::move(fix);
  return problem_of(refusal, target);
}

// Swaps the phantom for the key and makes sure that no phantom leaves otherwise, nor the token.
Prepared prepare_credentials(Worker& worker, const Session& session, PermittedRequest& request,
                             Trail& trail) {
  Prepared prepared;
  const HostPort& target = request.permit.target();
  const Candidates candidates = candidates_for(session, request);
  if (!candidates.empty()) {
    const LoadedCredential* credential = candidates.front();
    if (candidates.size() > 1) {
      const LoadedCredential* presented = intercept::presented(request.head, candidates);
      if (presented != nullptr) credential = presented;
    }
    auto substitution = intercept::substitute(request.head, *credential, request.mode);
    if (!substitution) {
      prepared.problem = problem_of_failure(substitution.error(), target);
      return prepared;
    }
    if (substitution->used) {
      const auto index = static_cast<std::size_t>(credential - session.credentials().data());
      trail.credential(index);
      prepared.redactor = session.redactor(index);
      intercept::prepare_for_redaction(request.head);
    }
  }
  const intercept::PhantomScanner& scanner = session.phantoms();
  if (scanner.contains(request.head, phantoms_alive(worker))) {
    prepared.problem =
        leak("a phantom key is on its way to ",
             "a phantom works only at its own vendor; look at who sends it here", target);
  } else if (scanner.contains_token(request.head)) {
    prepared.problem = leak("the session token is on its way to ",
                            "send it to the proxy alone, as Proxy-Authorization", target);
  }
  return prepared;
}

// The protocol a client wants to change to, where we carry it.
std::string upgrade_of(const http::RequestHead& head) {
  const std::string* upgrade = head.fields.find("Upgrade");
  if (upgrade == nullptr || head.http_1_0 || !http::equal_name(*upgrade, "websocket")) return {};
  return *upgrade;
}

// NTLM and Negotiate sign in a connection, against RFC 9110 11.2: whoever sends over it next is
// taken for the same user.
bool signs_in(const http::RequestHead& head) {
  const std::string* value = head.fields.find("Authorization");
  if (value == nullptr) return false;
  const std::string_view scheme = std::string_view(*value).substr(0, value->find(' '));
  return http::equal_name(scheme, "NTLM") || http::equal_name(scheme, "Negotiate");
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

}  // namespace

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
  const UpstreamProxy* parent = nullptr;  // takes the request itself
  std::string upgrade;
  bool signs_in = false;  // whole connection, not this request
};

Judged judge(Worker& worker, const Session& session, PermittedRequest& request, Trail& trail) {
  http::RequestHead& head = request.head;
  Judged judged;
  auto decision = session.engine().decide_request(request.permit, {head.method, head.target});
  if (!decision.allowed) {
    judged.problem = problem_of(decision.refusal, request.permit.target());
    return judged;
  }
  const bool observed = decision.because.reason == Reason::observed;
  if (observed && !decision.refusal.detail.empty()) {
    trail.observed(decision.refusal);
  } else if (request.permit.set_aside() != nullptr) {
    trail.observed(*request.permit.set_aside());
  }
  const bool of_request = observed || !decision.because.rule.empty();
  judged.because = of_request ? std::move(decision.because) : request.permit.because();
  head.target = std::move(decision.path);
  judged.upgrade = upgrade_of(head);
  judged.signs_in = signs_in(head);
  http::remove_hop_by_hop(head.fields);
  add_via(head, via_name(worker));
  Prepared prepared = prepare_credentials(worker, session, request, trail);
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
  intercept::PhantomBook* const phantoms = phantoms_alive(context.worker);
  const bool guarded = phantoms != nullptr || !session.credentials().empty();
  if (guarded && head.framing.kind != http::Framing::Kind::none) {
    guard = session.phantoms().guard(phantoms);
  }
  ClientWatch watch(context.worker.deadlines(), context.client, *context.upstream.stream);
  RequestHooks hooks(judged.redactor, std::move(guard), watch, context.worker.metrics(),
                     via_name(context.worker), judged.parent);
  const http::ExchangeTimes times = times_of(session.limits());
  auto exchanged = co_await http::exchange(
      context.worker.poller(), context.client, context.client_in, head, judged.upgrade,
      *context.upstream.stream, context.upstream.in, session.head_limits(), times, hooks, result);
  trail.moved(result.bytes_to_upstream, result.bytes_to_client);
  trail.status(result.status);
  if (!exchanged && watch.client_left()) {
    result.upstream_was_stale = false;
    co_return fail(ErrorCode::closed, "the client left before it was answered", {}, Side::client);
  }
  co_return exchanged;
}

// The upstream's connection is kept, or not.
Next finish(RequestContext& context, const http::ExchangeResult& result) {
  Upstream& upstream = context.upstream;
  if (!result.upstream_reusable) {
    upstream.reset();
  } else if (!context.worker.pool().put(context.session, upstream,
                                        context.worker.settings().limits)) {
    upstream.stream->never_expires();
  }
  return result.client_reusable ? Next::keep : Next::close;
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
  Judged judged = judge(context.worker, session, request, trail);
  const UpstreamProxy* parent = request.tls ? nullptr : parent_for(session.config(), target);
  judged.parent = parent;
  const OnExit wiped([&] {
    if (judged.redactor != nullptr || parent != nullptr) intercept::wipe_head(head);
  });
  if (judged.problem) {
    co_return co_await answer_refusal(context.client, context.worker, trail, *judged.problem,
                                      &head);
  }
  Result<void> recorded;
  if (!trail.allow(std::move(judged.because))) recorded = co_await trail.store();
  if (!recorded) {
    const Problem problem = problem_of(recorded.error(), &target);
    co_return co_await answer_refusal(context.client, context.worker, trail, problem, &head);
  }
  if (parent != nullptr) address_to_parent(head, *parent, target);
  const Leg leg = request.tls ? Leg::https : Leg::http;
  const UpstreamPlace place = place_of(session, request.permit, leg);
  co_await turn_of_others(
      context.worker.poller());  // no later: what is quiet now may be closed then
  bool kept = context.upstream.usable_for(place) ||
              context.worker.pool().take(session, place, context.upstream);
  metrics::Metrics& metrics = context.worker.metrics();
  metrics.upstream_reuse(kept ? metrics::Reuse::hit : metrics::Reuse::miss);
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
    // Closed meanwhile, because its session was revoked perhaps: what has not left yet stays here.
    if (!context.client.is_open()) {
      context.upstream.reset();
      trail.detail("the connection was closed here before the request was sent");
      co_return Next::close;
    }
    if (judged.signs_in) context.upstream.personal = true;
    http::ExchangeResult result;
    auto exchanged = co_await exchange_once(context, head, judged, trail, result);
    if (exchanged && result.upgraded) {
      co_await relay_upgraded(context, judged.redactor, trail);
      co_return Next::close;
    }
    if (exchanged) co_return finish(context, result);
    context.upstream.reset();
    // A kept connection may have been closed by the upstream at this very moment: once more,
    // afresh.
    const bool stale = kept && result.upstream_was_stale && idempotent(head.method);
    if (!stale) co_return co_await give_up(context, request, exchanged.error(), result, trail);
    metrics.upstream_reuse(metrics::Reuse::stale);
    kept = false;
  }
}

}  // namespace nono
