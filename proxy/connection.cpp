#include "proxy/connection.hpp"

#include <fmt/format.h>

#include "proxy/authenticate.hpp"
#include "proxy/intercept/phantoms.hpp"
#include "proxy/net/relay.hpp"
#include "proxy/net/tls_stream.hpp"
#include "proxy/tunnel_judge.hpp"

namespace nono {

namespace {

constexpr std::string_view established = "HTTP/1.1 200 Connection established\r\n\r\n";
constexpr std::string_view head_timeout_answer =
    "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/problem+json\r\nConnection: "
    "close\r\n"
    "Content-Length: 113\r\n\r\n"
    "{\"type\":\"about:blank\",\"title\":\"Request Timeout\",\"status\":408,"
    "\"detail\":\"the request head took too long\",\"fix\":\"\"}\n";

struct AbsoluteTarget {
  HostPort authority;
  std::string path;  // origin form
};

Result<AbsoluteTarget> parse_absolute(const http::RequestHead& head) {
  const std::string_view target = head.target;
  const std::size_t scheme_end = target.find("://");
  const auto bad = [](std::string what, std::string fix = {}) {
    return fail(ErrorCode::bad_request, std::move(what), std::move(fix), Side::client);
  };
  if (scheme_end == std::string_view::npos) return bad("the request target has no scheme");
  const std::string_view scheme = target.substr(0, scheme_end);
  if (http::equal_name(scheme, "https")) {
    return bad("https is not forwarded in absolute form",
               "use CONNECT, as clients do for https_proxy");
  }
  if (!http::equal_name(scheme, "http")) return bad("the proxy forwards http only");
  const std::string_view rest = target.substr(scheme_end + 3);
  const std::size_t authority_end = rest.find_first_of("/?");
  const std::string_view authority = rest.substr(0, authority_end);
  auto parsed = parse_host_port(authority, http_port);
  if (!parsed) return bad("the request target's host: " + parsed.error().what);
  std::string path;
  if (authority_end != std::string_view::npos) path = rest.substr(authority_end);
  if (path.empty() && head.method == "OPTIONS") path = "*";
  if (path.empty() || path.front() == '?') path.insert(0, "/");
  return AbsoluteTarget{std::move(*parsed), std::move(path)};
}

std::string authority_text(const HostPort& target, Port default_port) {
  if (target.port == default_port) {
    const std::string text = target.to_string();
    return text.substr(0, text.rfind(':'));
  }
  return target.to_string();
}

// RFC 9112 3.2.2: the target's authority and Host must be the same place.
bool host_agrees(const http::RequestHead& head, const HostPort& target, Port default_port) {
  const std::string* host = head.fields.find("Host");
  if (host == nullptr) return true;
  auto parsed = parse_host_port(*host, default_port);
  return parsed && *parsed == target;
}

Problem mismatch(const http::RequestHead& head, const HostPort& target) {
  const std::string* host = head.fields.find("Host");
  Refusal refusal;
  refusal.because.reason = Reason::authority_mismatch;
  refusal.detail = fmt::format("the request is for {} but its Host field says {}",
                               target.to_string(), host == nullptr ? "nothing" : *host);
  refusal.fix = "send the same name in both";
  return problem_of(refusal, target);
}

Problem bad_target(std::string detail, std::string fix) {
  Problem problem;
  problem.status = 400;
  problem.reason = Reason::bad_target;
  problem.detail = std::move(detail);
  problem.fix = std::move(fix);
  problem.error_token = "http_request_error";
  return problem;
}

Problem no_token(std::string detail) {
  Problem problem;
  problem.status = 407;
  problem.reason = Reason::no_token;
  problem.error_token = "http_request_error";
  problem.detail = std::move(detail);
  problem.fix = "use the proxy URL that nono printed or put into HTTPS_PROXY";
  return problem;
}

constexpr const char* token_wanted = "the proxy wants its session token";
constexpr const char* token_wrong = "the session token is wrong";

Problem over_limit(std::string detail) {
  Problem problem;
  problem.status = 429;
  problem.reason = Reason::limit;
  problem.error_token = "connection_limit_reached";
  problem.detail = std::move(detail);
  problem.fix = "try again shortly";
  return problem;
}

bool loopback(const Host& host) {
  return !host.is_name() && classify(host.address()) == AddressClass::loopback;
}

}  // namespace

Connection::Connection(Worker& worker, TcpSocket socket, SessionPtr own)
    : worker_(worker),
      gateway_(worker.gateway()),
      own_(std::move(own)),
      client_(std::make_unique<TcpStream>(std::move(socket), worker.deadlines())),
      current_(client_.get()) {
  worker_.enter(*this);
}

Connection::~Connection() {
  tunnel_.reset();  // its trail tells of the session
  unbind();
  worker_.leave(*this);
}

void Connection::unbind() {
  if (!session_) return;
  session_->use().connections.fetch_sub(1, std::memory_order_relaxed);
  worker_.metrics().session_connections(session_->meters().slot, -1);
  session_.reset();
}

// From here on the connection is this session's, if its limits have room for one more.
std::optional<Problem> Connection::bind(SessionPtr session, Trail& trail) {
  trail.session(*session);
  if (session == session_) return {};
  upstream_.reset();  // it was reached by another's rules
  unbind();
  const Limits& limits = session->limits();
  const std::size_t open = session->use().connections.fetch_add(1, std::memory_order_relaxed);
  session_ = std::move(session);
  worker_.metrics().session_connections(session_->meters().slot, 1);
  if (limits.session_connections_max != 0 && open >= limits.session_connections_max) {
    worker_.metrics().connection_refused(metrics::TurnedAway::session_full);
    return over_limit(fmt::format("session {} has {} connections already, as many as it may",
                                  session_->name(), limits.session_connections_max));
  }
  if (!session_->connects().take(std::chrono::steady_clock::now())) {
    worker_.metrics().connection_refused(metrics::TurnedAway::rate);
    return over_limit(fmt::format("session {} connects more than {} times in a second",
                                  session_->name(), limits.session_connects_per_second_max));
  }
  return {};
}

// Whose request this is; a problem where it is nobody's. A wrong token is refused even where none
// is needed, except where nobody's is looked at.
std::optional<Problem> Connection::identify(const http::RequestHead& head, Trail& trail) {
  const ProxySettings& settings = worker_.settings();
  if (settings.no_auth && (own_ || settings.main)) {
    return bind(own_ ? own_ : settings.main, trail);
  }
  const PresentedToken token(head);
  if (token.absent()) {
    if (own_) return bind(own_, trail);
    return no_token(token_wanted);
  }
  // Even where the session was replaced meanwhile: this connection goes on as it began.
  if (session_ && !session_->token().empty() &&
      equal_constant_time(token.text(), session_->token().expose())) {
    return bind(session_, trail);
  }
  SessionPtr found = worker_.sessions().by_token(token.text());
  if (!found || (own_ && found->name() != own_->name())) return no_token(token_wrong);
  return bind(own_ ? own_ : std::move(found), trail);
}

// The same for `/<credential>/...`, where a phantom is enough.
std::optional<Problem> Connection::identify_reverse(const http::RequestHead& head, Trail& trail) {
  const ProxySettings& settings = worker_.settings();
  const bool token_absent = head.fields.find("Proxy-Authorization") == nullptr;
  if (own_ || settings.no_auth || !token_absent) return identify(head, trail);
  for (const std::string& tail : intercept::phantom_tails(head)) {
    if (SessionPtr found = worker_.sessions().by_phantom(tail)) {
      const bool same = session_ && session_->name() == found->name();
      return bind(same ? session_ : std::move(found), trail);
    }
  }
  // Without one nothing will be served, but the main session's refusal says what to do.
  if (settings.main) return bind(settings.main, trail);
  return no_token(token_wanted);
}

void Connection::cut() noexcept {
  if (current_ != nullptr) current_->close();
  if (upstream_.stream) upstream_.stream->close();  // who waits for its answer wakes up
}

void Connection::let_go() noexcept {
  leaving_ = true;
  if (waiting_ && in_.empty()) cut();
}

Awaitable<void> Connection::run() {
  Next next = Next::keep;
  while (next == Next::keep && !leaving_) {
    next = co_await serve_one();
    first_ = false;
  }
  if (tunnel_) co_await serve_tunnel();
  if (client_ && client_->socket().is_open()) {
    client_->last_words({});
    co_await client_->close_gracefully();
  }
}

Awaitable<Next> Connection::serve_one() {
  const Limits& limits = worker_.settings().limits;
  client_->last_words(first_ ? head_timeout_answer : std::string_view());
  client_->expires_after(first_ ? limits.head_time_max : limits.keep_alive_time_max);
  waiting_ = true;
  auto head = co_await http::read_request_head(*client_, in_, worker_.settings().head_limits);
  waiting_ = false;
  client_->last_words({});
  if (!head) {
    const Error& error = head.error();
    // A connection on which nothing was asked is no request.
    const bool nothing_asked = error.code == ErrorCode::timeout && in_.empty();
    if (error.code == ErrorCode::closed || nothing_asked) {
      client_->close();
      co_return Next::close;
    }
    Trail trail(worker_, audit::Way::forward);
    const Problem problem = problem_of(error, nullptr);
    co_return co_await answer_refusal(*client_, worker_, trail, problem, nullptr);
  }
  client_->never_expires();
  if (head->method == "CONNECT") co_return co_await serve_connect(*head);
  if (!head->target.empty() && head->target.front() == '/') co_return co_await serve_reverse(*head);
  co_return co_await serve_forward(*head);
}

Awaitable<Next> Connection::refuse(Trail& trail, const Problem& problem,
                                   const http::RequestHead* head) {
  co_return co_await answer_refusal(*client_, worker_, trail, problem, head);
}

Awaitable<Next> Connection::serve_connect(http::RequestHead& head) {
  auto own_trail = std::make_unique<Trail>(worker_, audit::Way::connect);
  Trail& trail = *own_trail;
  auto target = parse_host_port(head.target);
  if (target) trail.target(*target);
  const std::optional<Problem> nobody = identify(head, trail);
  if (nobody) co_return co_await refuse(trail, *nobody, &head);
  if (!target) {
    const Problem problem =
        bad_target("the CONNECT target: " + target.error().what, target.error().fix);
    co_return co_await refuse(trail, problem, &head);
  }
  if (!host_agrees(head, *target, target->port)) {
    const Problem problem = mismatch(head, *target);
    co_return co_await refuse(trail, problem, &head);
  }
  Decision decision = session_->engine().decide(*target);
  Permit* const permit = std::get_if<Permit>(&decision);
  if (permit == nullptr) {
    const Problem problem = problem_of(std::get<Refusal>(decision), *target);
    co_return co_await refuse(trail, problem, &head);
  }
  auto recorded = co_await trail.allow(permit->because());
  if (!recorded) {
    const Problem problem = problem_of(recorded.error(), &*target);
    co_return co_await refuse(trail, problem, &head);
  }
  if (permit->handling() == Handling::intercept)
    co_return co_await serve_intercepted(*permit, trail);
  auto opened = co_await open_upstream(worker_, *session_, *permit, Leg::tunnel, upstream_, trail);
  if (!opened) {
    const Problem problem = problem_of(opened.error(), &*target);
    co_return co_await refuse(trail, problem, &head);
  }
  auto tunnel = std::make_unique<Tunnel>();
  tunnel->trail = std::move(own_trail);
  tunnel->judge = std::make_unique<TunnelJudge>(session_->engine(), std::move(*permit),
                                                session_->head_limits());
  const auto time = session_->limits().head_time_max;
  const bool open = co_await establish(time, tunnel->early, trail);
  if (open) tunnel_ = std::move(tunnel);  // for run() to go on with
  co_return Next::close;
}

// Answers 200 to a CONNECT within `time`, and moves out what the client sent behind it: the
// buffer's memory is not kept for as long as the tunnel lasts. False: the client is gone, and
// closed.
Awaitable<bool> Connection::establish(std::chrono::milliseconds time, std::string& early,
                                      Trail& trail) {
  early = in_.unread();
  in_ = http::InputBuffer();
  client_->expires_after(time);
  auto written = co_await client_->write_all(established);
  if (written) {
    trail.status(200);
  } else {
    client_->close();
  }
  co_return written.has_value();
}

Awaitable<void> Connection::serve_tunnel() {
  const Limits& limits = session_->limits();
  const RelayLimits relay_limits{limits.idle_time_max, limits.peek_time_max, limits.peek_bytes_max};
  const RelayResult moved =
      co_await relay(*client_, *upstream_.tcp, tunnel_->early, relay_limits, tunnel_->judge);
  Trail& trail = *tunnel_->trail;
  trail.moved(moved.bytes_to_upstream, moved.bytes_to_client);
  if (moved.end == RelayEnd::idle) trail.detail("nothing moved for the idle time");
  if (moved.end == RelayEnd::refused) co_await refuse_tunnel();
  tunnel_.reset();
}

Awaitable<void> Connection::refuse_tunnel() {
  const auto& judge = static_cast<TunnelJudge&>(*tunnel_->judge);
  const Problem problem = problem_of(judge.refusal(), judge.target());
  tunnel_->trail->refuse(problem);
  if (!judge.speaks_http()) co_return;
  const std::string text = render(problem, gateway_.server_name, false, false, true);
  client_->expires_after(session_->limits().head_time_max);
  co_await client_->write_all(text);
}

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
  while (next == Next::keep && !leaving_) next = co_await serve_inside(permit, *tls, inner);
  co_await tls->close_gracefully();
  current_ = nullptr;
  co_return Next::close;
}

// One request inside an intercepted connection: it must be for the host that the connection is for.
Awaitable<Next> Connection::serve_inside(const Permit& permit, TlsStream& tls,
                                         http::InputBuffer& inner) {
  const HostPort& target = permit.target();
  tls.expires_after(session_->limits().keep_alive_time_max);
  waiting_ = true;
  auto head = co_await http::read_request_head(tls, inner, session_->head_limits());
  waiting_ = false;
  if (!head &&
      (head.error().code == ErrorCode::closed || head.error().code == ErrorCode::timeout)) {
    co_return Next::close;
  }
  Trail trail(worker_, audit::Way::intercept);
  trail.session(*session_);
  trail.target(target);
  if (!head) {
    const Problem problem = problem_of(head.error(), &target);
    co_return co_await answer_refusal(tls, worker_, trail, problem, nullptr);
  }
  tls.never_expires();
  trail.request(head->method, head->target);
  if (!host_agrees(*head, target, target.port)) {
    const Problem problem = mismatch(*head, target);
    co_return co_await answer_refusal(tls, worker_, trail, problem, &*head);
  }
  if (head->target.empty() || (head->target.front() != '/' && head->target != "*")) {
    const Problem problem =
        bad_target("the request target inside TLS must be a path", "send the path only");
    co_return co_await answer_refusal(tls, worker_, trail, problem, &*head);
  }
  RequestContext context{worker_, *session_, tls, inner, upstream_};
  PermittedRequest request{*head, permit, true, {}, intercept::SubstituteMode::intercept};
  co_return co_await serve_request(context, request, trail);
}

Awaitable<Next> Connection::serve_forward(http::RequestHead& head) {
  auto absolute = parse_absolute(head);
  if (absolute && loopback(absolute->authority.host)) {
    // Some clients send even NO_PROXY addresses through the proxy: our own reverse form, asked for
    // by URL.
    ErrorCodeSys code;
    const auto own = client_->socket().local_endpoint(code);
    if (!code && own.port() == absolute->authority.port.value()) {
      head.target = absolute->path;
      co_return co_await serve_reverse(head);
    }
  }
  Trail trail(worker_, audit::Way::forward);
  if (absolute) {
    trail.target(absolute->authority);
    trail.request(head.method, absolute->path);
  }
  const std::optional<Problem> nobody = identify(head, trail);
  if (nobody) co_return co_await refuse(trail, *nobody, &head);
  if (!absolute) {
    const Problem problem = bad_target(absolute.error().what, absolute.error().fix);
    co_return co_await refuse(trail, problem, &head);
  }
  const HostPort& target = absolute->authority;
  if (!host_agrees(head, target, http_port)) {
    const Problem problem = mismatch(head, target);
    co_return co_await refuse(trail, problem, &head);
  }
  const Decision decision = session_->engine().decide(target);
  const Permit* permit = std::get_if<Permit>(&decision);
  if (permit == nullptr) {
    const Problem problem = problem_of(std::get<Refusal>(decision), target);
    co_return co_await refuse(trail, problem, &head);
  }
  head.target = std::move(absolute->path);
  head.fields.set("Host", authority_text(target, http_port));
  RequestContext context{worker_, *session_, *client_, in_, upstream_};
  PermittedRequest request{head, *permit, false, {}, intercept::SubstituteMode::intercept};
  co_return co_await serve_request(context, request, trail);
}

// `/<credential>/<path>`: the upstream's path is the credential's base path and <path>.
Awaitable<Next> Connection::serve_reverse(http::RequestHead& head) {
  Trail trail(worker_, audit::Way::reverse);
  const std::string_view target = head.target;
  const std::size_t name_end = target.find_first_of("/?", 1);
  const std::string name(
      target.substr(1, name_end == std::string_view::npos ? name_end : name_end - 1));
  const std::optional<Problem> nobody = identify_reverse(head, trail);
  if (nobody) co_return co_await refuse(trail, *nobody, &head);
  const std::vector<LoadedCredential>& credentials = session_->credentials();
  std::size_t route = 0;
  while (route < credentials.size() && credentials[route].route.name != name) ++route;
  if (route == credentials.size()) {
    const Problem problem = bad_target(
        "this is a proxy: " + std::string("the path names no credential that is enabled"),
        "send requests through it, or enable one with --credential");
    co_return co_await refuse(trail, problem, &head);
  }
  const CredentialRoute& credential = credentials[route].route;
  const Decision decision = session_->engine().decide_route(route);
  const Permit* permit = std::get_if<Permit>(&decision);
  if (permit == nullptr) {
    const Problem problem = problem_of(std::get<Refusal>(decision), *credential.upstream);
    co_return co_await refuse(trail, problem, &head);
  }
  std::string rest = name_end == std::string_view::npos ? "" : head.target.substr(name_end);
  if (rest.empty() || rest.front() == '?') rest.insert(0, credential.base_path.empty() ? "/" : "");
  head.target = credential.base_path + rest;
  head.fields.set("Host",
                  authority_text(*credential.upstream, credential.tls ? https_port : http_port));
  RequestContext context{worker_, *session_, *client_, in_, upstream_};
  PermittedRequest request{head, *permit, credential.tls, route,
                           intercept::SubstituteMode::reverse};
  co_return co_await serve_request(context, request, trail);
}

}  // namespace nono
