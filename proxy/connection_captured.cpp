// A client that knows of no proxy and was caught on its way: the same line, with the target found
// out from the address that it wanted to reach and from what it says.

#include "proxy/connection.hpp"
#include "proxy/net/client_hello.hpp"
#include "proxy/request_target.hpp"
#include "proxy/tunnel_judge.hpp"

namespace nono {

namespace {

constexpr std::size_t read_bytes = 4096;
// On these ports the client speaks first, and says which host it means.
bool tells_its_host(Port port) {
  return port == https_port || port == http_port;
}

// How long a client may be silent that wants to reach an address of which only its first words
// could make something permitted.
constexpr std::chrono::milliseconds silence_max{2'000};

// RFC 8446 6: what a client shows to its user as "unrecognized name" or "access denied".
constexpr std::string_view alert_unrecognized_name("\x15\x03\x03\x00\x02\x02\x70", 7);
constexpr std::string_view alert_access_denied("\x15\x03\x03\x00\x02\x02\x31", 7);

bool is_loopback(const Host& host) {
  return !host.is_name() && classify(host.address()) == AddressClass::loopback;
}

Problem refused(Reason reason, std::string detail, std::string fix) {
  Problem problem;
  problem.reason = reason;
  problem.detail = std::move(detail);
  problem.fix = std::move(fix);
  return problem;
}

}  // namespace

struct Connection::FirstWords {
  enum class Kind : std::uint8_t {
    silence,  // the client left or said nothing in time
    tls,
    http,
    other,
  };
  Kind kind = Kind::silence;
  bool ended = false;       // the client sends no more
  std::string server_name;  // of a ClientHello; empty where there is none
};

// There is no way to tell a client that speaks whatever protocol, except by breaking off.
Awaitable<Next> Connection::refuse_captured(Trail& trail, const Problem& problem) {
  trail.refuse(problem);
  if (client_) {
    client_->resets_at_end(true);
    client_->close();
  }
  co_return Next::close;
}

Awaitable<void> Connection::serve_captured() {
  auto own_trail = std::make_unique<Trail>(worker_, audit::Way::captured);
  Trail& trail = *own_trail;
  std::optional<HostPort> place = captured_->of(client_->native_handle());
  std::optional<Problem> problem;
  if (!own_)
    problem = refused(Reason::internal, "there is no session for captured connections", {});
  if (!place) problem = refused(Reason::internal, "nobody knows where the client wanted to go", {});
  if (place) trail.target(*place);
  if (!problem) problem = bind(own_, trail);
  if (!problem) problem = find_name(*place);
  if (problem) {
    co_await refuse_captured(trail, *problem);
    co_return;
  }
  trail.target(*place);
  co_await serve_captured_port(std::move(*place), std::move(own_trail));
}

// Puts the name in the place of its made-up address.
std::optional<Problem> Connection::find_name(HostPort& place) {
  dns::SyntheticPool* pool = worker_.made_up_names();
  if (pool == nullptr || !pool->owns(place.host.address())) return std::nullopt;
  name_ = pool->acquire(place.host.address(), std::chrono::steady_clock::now());
  if (!name_) {
    return refused(Reason::bad_target, place.host.to_string() + " stands for no name, or no longer",
                   "let the program look its name up again");
  }
  place.host = name_->name();
  return std::nullopt;
}

Awaitable<Next> Connection::serve_captured_port(HostPort place, std::unique_ptr<Trail> own_trail) {
  if (is_loopback(place.host)) {
    Decision decision = session_->engine().decide_open_port(place.port);
    co_return co_await open_tunnel(std::move(place), std::move(decision), std::move(own_trail),
                                   nullptr, Peek::done);
  }
  Decision decision = session_->engine().decide(place);
  const Permit* const permit = std::get_if<Permit>(&decision);
  const bool only_by_words = permit == nullptr && !place.host.is_name();
  const bool looks_inside = permit != nullptr && permit->handling() == Handling::intercept;
  if (tells_its_host(place.port) ? permit == nullptr && !only_by_words : !looks_inside) {
    // Refused, or the server may speak first.
    co_return co_await open_tunnel(std::move(place), std::move(decision), std::move(own_trail),
                                   nullptr);
  }
  client_->resets_at_end(only_by_words);
  const auto patience = only_by_words ? silence_max : session_->limits().keep_alive_time_max;
  FirstWords words = co_await read_first_words(patience);
  co_return co_await serve_words(std::move(place), std::move(words), std::move(own_trail));
}

// Reads until it is clear what the client speaks; all of it stays in the buffer.
Awaitable<Connection::FirstWords> Connection::read_first_words(
    std::chrono::milliseconds first_byte_max) {
  FirstWords words;
  const std::size_t bytes_max = session_->limits().peek_bytes_max;
  client_->expires_after(first_byte_max);
  waiting_ = true;
  while (in_.unread().size() < bytes_max) {
    const std::span<char> room = in_.prepare(read_bytes);
    auto count = co_await client_->read_some(room);
    waiting_ = false;
    if (!count || *count == 0) {
      words.kind = in_.empty() ? FirstWords::Kind::silence : FirstWords::Kind::other;
      words.ended = count.has_value();
      co_return words;
    }
    if (in_.empty()) client_->expires_after(session_->limits().peek_time_max);
    in_.commit(*count);
    ClientHello hello = parse_client_hello(in_.unread());
    if (hello.state == ClientHello::State::incomplete) continue;
    if (hello.state != ClientHello::State::not_tls) {
      words.kind = FirstWords::Kind::tls;
      words.server_name = std::move(hello.server_name);
      break;
    }
    const Looks looks = look_at(in_.unread());
    if (looks == Looks::unknown_yet) continue;
    words.kind = looks == Looks::like_http ? FirstWords::Kind::http : FirstWords::Kind::other;
    break;
  }
  if (words.kind == FirstWords::Kind::silence) words.kind = FirstWords::Kind::other;
  client_->never_expires();
  client_->resets_at_end(false);
  co_return words;
}

// Goes on with a client whose first words are known. `target` is what its address stands for; where
// that is only an address, the words may name the host.
Awaitable<Next> Connection::serve_words(HostPort target, FirstWords words,
                                        std::unique_ptr<Trail> own_trail) {
  Trail& trail = *own_trail;
  const bool by_name = target.host.is_name();
  const bool silent = words.kind == FirstWords::Kind::silence;
  if (words.kind == FirstWords::Kind::http && !by_name) {
    trail.retire();
    co_return co_await serve_http_by_host(std::move(target));
  }
  if (words.kind == FirstWords::Kind::tls && !by_name && !words.server_name.empty()) {
    auto named = parse_host(words.server_name);
    if (named && named->is_name()) target.host = std::move(*named);
    trail.target(target);
  }
  Decision decision = session_->engine().decide(target);
  const Permit* const permit = std::get_if<Permit>(&decision);
  if (silent && (permit != nullptr || by_name)) {
    trail.retire();  // nothing was asked for
    client_->close();
    co_return Next::close;
  }
  const bool to_a_name = words.kind == FirstWords::Kind::tls && target.host.is_name();
  if (permit == nullptr) {
    if (to_a_name) co_await client_->write_all(alert_access_denied);
    const Problem problem = problem_of(std::get<Refusal>(decision), target);
    if (!to_a_name) co_return co_await refuse_captured(trail, problem);
    trail.refuse(problem);
    co_return Next::close;
  }
  if (words.kind == FirstWords::Kind::http) {
    trail.retire();
    co_return co_await serve_http_for(*permit);
  }
  TunnelJudge judge(session_->engine(), *permit, &trail);
  const bool only_tls = permit->handling() == Handling::intercept;
  const bool passes = judge.judge(in_.unread(), words.ended) == FirstBytesJudge::Verdict::pass &&
                      (words.kind == FirstWords::Kind::tls || !only_tls);
  if (!passes) {
    if (words.kind == FirstWords::Kind::tls) co_await client_->write_all(alert_unrecognized_name);
    trail.refuse(problem_of(judge.refusal(), target));
    co_return Next::close;
  }
  co_return co_await open_tunnel(std::move(target), std::move(decision), std::move(own_trail),
                                 nullptr, Peek::done);
}

// Of a client that wanted to reach a mere address: its first request says which host it means, and
// those that follow must mean the same.
Awaitable<Next> Connection::serve_http_by_host(HostPort place) {
  client_->reads_expire_after(session_->limits().head_time_max);
  auto head = co_await http::read_request_head(*client_, in_, session_->head_limits());
  auto own_trail = std::make_unique<Trail>(worker_, audit::Way::captured);
  Trail& trail = *own_trail;
  trail.session(*session_);
  trail.target(place);
  if (!head) {
    const Problem problem = problem_of(head.error(), &place);
    co_return co_await answer_refusal(*client_, worker_, trail, problem, nullptr);
  }
  client_->never_expires();
  trail.request(head->method, head->target);
  const std::string* host = head->fields.find("Host");
  auto target = parse_host_port(host == nullptr ? std::string() : *host, place.port);
  if (host == nullptr) target = place;  // HTTP/1.0 need not say it
  if (!target || target->port != place.port) {
    const Problem problem = mismatch(*head, place);
    co_return co_await answer_refusal(*client_, worker_, trail, problem, &*head);
  }
  trail.target(*target);
  const Decision decision = session_->engine().decide(*target);
  const Permit* const permit = std::get_if<Permit>(&decision);
  if (permit == nullptr) {
    const Problem problem = problem_of(std::get<Refusal>(decision), *target);
    if (!target->host.is_name()) co_return co_await refuse_captured(trail, problem);
    co_return co_await answer_refusal(*client_, worker_, trail, problem, &*head);
  }
  const Next next = co_await serve_head_inside(*permit, *client_, in_, false, *head, trail);
  own_trail.reset();
  if (next == Next::close) co_return next;
  co_return co_await serve_http_for(*permit);
}

}  // namespace nono
