#include "proxy/connection.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include "proxy/net/relay.hpp"
#include "proxy/net/turn.hpp"
#include "proxy/request_target.hpp"
#include "proxy/tunnel_judge.hpp"

namespace nono {

namespace {

constexpr std::string_view established = "HTTP/1.1 200 Connection established\r\n\r\n";
constexpr std::string_view socks_yes("\5\0\0\1\0\0\0\0\0\0", 10);  // RFC 1928 6: succeeded
constexpr std::string_view head_timeout_answer =
    "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/problem+json\r\nConnection: "
    "close\r\n"
    "Content-Length: 113\r\n\r\n"
    "{\"type\":\"about:blank\",\"title\":\"Request Timeout\",\"status\":408,"
    "\"detail\":\"the request head took too long\",\"fix\":\"\"}\n";

bool loopback(const Host& host) {
  return !host.is_name() && classify(host.address()) == AddressClass::loopback;
}

}  // namespace

Connection::Connection(Worker& worker, UniqueFd socket, SessionPtr own, Entrance entrance,
                       Prepared prepared)
    : worker_(worker),
      gateway_(worker.gateway()),
      own_(std::move(own)),
      captured_(std::move(entrance.captured)),
      inward_(std::move(entrance.inward)),
      client_(std::make_unique<TcpStream>(std::move(socket), worker.executor(), worker.deadlines(),
                                          prepared)),
      current_(client_.get()) {
  const Limits& limits = worker_.settings().limits;
  client_->drains(limits.drain_time_max, limits.drain_bytes_max);
  worker_.enter(*this);
}

Connection::~Connection() {
  tunnel_.reset();  // its trail tells of the session
  unbind();
  worker_.leave(*this);
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
  if (captured_) co_await serve_captured();
  if (inward_) co_await serve_inbound();
  if (captured_ || inward_) next = Next::close;
  while (next == Next::keep && !leaving_) {
    next = co_await serve_one();
    first_ = false;
  }
  if (tunnel_) co_await serve_tunnel();
  if (client_ && client_->is_open()) co_await client_->close_gracefully();
}

Awaitable<Next> Connection::serve_one() {
  const auto head_time = worker_.settings().limits.head_time_max;
  client_->reads_expire_after(first_ ? head_time : worker_.settings().limits.keep_alive_time_max);
  waiting_ = true;
  if (first_) {
    const bool socks = co_await begins_with_socks();
    if (socks) co_return co_await serve_socks();
    if (!client_->is_open()) co_return Next::close;  // it left
  }
  // A copy: reading nono.yaml again replaces the settings while this waits.
  const http::HeadLimits head_limits = worker_.settings().head_limits;
  const auto rest_time = first_ ? std::chrono::milliseconds(0) : head_time;
  auto head = co_await http::read_request_head(*client_, in_, head_limits, rest_time);
  waiting_ = false;
  if (!head) {
    const Error& error = head.error();
    if (error.code == ErrorCode::closed) {
      client_->close();
      co_return Next::close;
    }
    // A connection on which nothing was asked is no request.
    if (error.code == ErrorCode::timeout && in_.empty()) co_return co_await end_silent();
    Trail trail(worker_, audit::Way::forward);
    const Problem problem = problem_of(error, nullptr);
    co_return co_await answer_refusal(*client_, worker_, trail, problem, nullptr);
  }
  client_->never_expires();
  if (head->method == "CONNECT") co_return co_await serve_connect(*head);
  if (!head->target.empty() && head->target.front() == '/') co_return co_await serve_reverse(*head);
  co_return co_await serve_forward(*head);
}

// A client that has never said anything is told why it is let go; between two requests the end
// tells.
Awaitable<Next> Connection::end_silent() {
  client_->expires_after(worker_.settings().limits.head_time_max);
  if (first_) co_await client_->write_all(head_timeout_answer);
  co_return Next::close;
}

std::uint16_t Connection::own_port() {
  if (!own_port_) {
    sockaddr_storage own{};  // of a Unix socket it has another family, and no port
    socklen_t size = sizeof own;
    auto* const address = static_cast<sockaddr*>(static_cast<void*>(&own));
    ::getsockname(client_->native_handle(), address, &size);
    const auto* const v4 = static_cast<const sockaddr_in*>(static_cast<const void*>(&own));
    const auto* const v6 = static_cast<const sockaddr_in6*>(static_cast<const void*>(&own));
    own_port_ = std::uint16_t{0};
    if (own.ss_family == AF_INET) own_port_ = ntohs(v4->sin_port);
    if (own.ss_family == AF_INET6) own_port_ = ntohs(v6->sin6_port);
  }
  return *own_port_;
}

Awaitable<Next> Connection::refuse(Trail& trail, const Problem& problem,
                                   const http::RequestHead* head) {
  if (socks_) co_return co_await refuse_socks(trail, problem);
  if (captured_) co_return co_await refuse_captured(trail, problem);
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
  const std::string* host = head.fields.find("Host");
  const bool same_words = host != nullptr && *host == head.target;  // as they nearly always are
  if (!same_words && !host_agrees(head, *target, target->port) &&
      !host_is_proxy(head, own_port())) {
    const Problem problem = mismatch(head, *target);
    co_return co_await refuse(trail, problem, &head);
  }
  Decision decision = session_->engine().decide(*target);
  co_return co_await open_tunnel(*target, std::move(decision), std::move(own_trail), &head);
}

// Opens the way to the target if that is the decision. `head`: the CONNECT, or null where it was
// none.
Awaitable<Next> Connection::open_tunnel(HostPort target, Decision decision,
                                        std::unique_ptr<Trail> own_trail,
                                        const http::RequestHead* head, Peek peek) {
  Trail& trail = *own_trail;
  Permit* const permit = std::get_if<Permit>(&decision);
  if (permit == nullptr) {
    const Problem problem = problem_of(std::get<Refusal>(decision), target);
    co_return co_await refuse(trail, problem, head);
  }
  if (const Refusal* set_aside = permit->set_aside()) trail.observed(*set_aside);
  Result<void> recorded;
  if (!trail.allow(permit->because())) recorded = co_await trail.store();
  if (!recorded) {
    const Problem problem = problem_of(recorded.error(), &target);
    co_return co_await refuse(trail, problem, head);
  }
  if (permit->handling() == Handling::intercept)
    co_return co_await serve_intercepted(*permit, trail);
  auto opened = co_await open_upstream(worker_, *session_, *permit, Leg::tunnel, upstream_, trail);
  if (!opened) {
    const Problem problem = problem_of(opened.error(), &target);
    co_return co_await refuse(trail, problem, head);
  }
  auto tunnel = std::make_unique<Tunnel>();
  tunnel->trail = std::move(own_trail);
  if (peek == Peek::behind) {
    tunnel->judge = std::make_unique<TunnelJudge>(session_->engine(), std::move(*permit), &trail);
  }
  const auto time = session_->limits().head_time_max;
  const bool open = co_await establish(time, tunnel->early, trail);
  if (open) tunnel_ = std::move(tunnel);  // for run() to go on with
  co_return Next::close;
}

// Answers yes to a CONNECT within `time`, and moves out what the client sent behind it: the
// buffer's memory is not kept for as long as the tunnel lasts. False: the client is gone, and
// closed.
Awaitable<bool> Connection::establish(std::chrono::milliseconds time, std::string& early,
                                      Trail& trail) {
  early = in_.unread();
  in_ = http::InputBuffer();
  client_->expires_after(time);
  co_await turn_of_others(worker_.poller());
  std::string_view yes = socks_ ? socks_yes : established;
  if (captured_) yes = {};  // for all that the client knows it is connected already
  auto written = co_await client_->write_all(yes);
  if (written) {
    if (!socks_ && !captured_) trail.status(200);
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
  if (moved.end == RelayEnd::refused) {
    auto& judge = static_cast<TunnelJudge&>(*tunnel_->judge);
    if (judge.speaks_http()) {
      co_await serve_http_inside(judge);
    } else {
      trail.refuse(problem_of(judge.refusal(), judge.permit().target()));
    }
  }
  tunnel_.reset();
}

Awaitable<Next> Connection::serve_forward(http::RequestHead& head) {
  auto absolute = parse_absolute(head, forwarded_ ? &forwarded_->authority : nullptr);
  if (absolute && loopback(absolute->authority.host)) {
    // Some clients send even NO_PROXY addresses through the proxy: our own reverse form, asked for
    // by URL.
    if (own_port() == absolute->authority.port.value()) {
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
  const Decision& decision = decide_forward(*absolute);
  const std::string* host = head.fields.find("Host");
  const bool as_written = host != nullptr && *host == forwarded_->host;
  if (!as_written && !host_agrees(head, target, http_port)) {
    const Problem problem = mismatch(head, target);
    co_return co_await refuse(trail, problem, &head);
  }
  const Permit* permit = std::get_if<Permit>(&decision);
  if (permit == nullptr) {
    const Problem problem = problem_of(std::get<Refusal>(decision), target);
    co_return co_await refuse(trail, problem, &head);
  }
  head.target = std::move(absolute->path);
  if (!as_written) head.fields.set("Host", forwarded_->host);
  RequestContext context{worker_, *session_, *client_, in_, upstream_};
  PermittedRequest request{head, *permit, false, {}, intercept::SubstituteMode::intercept};
  co_return co_await serve_request(context, request, trail);
}

const Decision& Connection::decide_forward(const AbsoluteTarget& target) {
  const bool known = forwarded_ && forwarded_->session == session_ &&
                     forwarded_->authority.written == target.written;
  if (!known) {
    forwarded_ = std::make_unique<Forwarded>(
        Forwarded{ReadAuthority{std::string(target.written), target.authority},
                  authority_text(target.authority, http_port), session_,
                  session_->engine().decide(target.authority)});
  }
  return forwarded_->decision;
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
  const Decision& decision = session_->engine().decide_route(route);
  const Permit* permit = std::get_if<Permit>(&decision);
  if (permit == nullptr) {
    const Problem problem = problem_of(std::get<Refusal>(decision), *credential.upstream);
    co_return co_await refuse(trail, problem, &head);
  }
  trail.target(*credential.upstream);
  const std::string rest = name_end == std::string_view::npos ? "" : head.target.substr(name_end);
  std::optional<std::string> path = reverse_path(credential.base_path, rest);
  if (!path) {
    const Problem problem = bad_target("the path leads out of " + credential.base_path,
                                       "leave out what goes up beyond it (..)");
    co_return co_await refuse(trail, problem, &head);
  }
  head.target = std::move(*path);
  trail.request(head.method, head.target);
  head.fields.set("Host",
                  authority_text(*credential.upstream, credential.tls ? https_port : http_port));
  RequestContext context{worker_, *session_, *client_, in_, upstream_};
  PermittedRequest request{head, *permit, credential.tls, route,
                           intercept::SubstituteMode::reverse};
  co_return co_await serve_request(context, request, trail);
}

}  // namespace nono
