// A client that speaks SOCKS5: the same line as CONNECT, behind another beginning.

#include "proxy/connection.hpp"
#include "proxy/socks5.hpp"

namespace nono {

namespace {

constexpr std::size_t message_bytes_max = 1024;  // no message of the protocol is longer

Problem refused(int status, Reason reason, std::string detail, std::string fix) {
  Problem problem;
  problem.status = status;
  problem.reason = reason;
  problem.detail = std::move(detail);
  problem.fix = std::move(fix);
  problem.error_token = "http_request_error";
  return problem;
}

// The token is right all the same: the client is told by the reply, and may try again.
bool over_limit(const Problem& problem) {
  return problem.reason == Reason::limit;
}

socks5::Reply reply_for(const Problem& problem) {
  if (problem.error_token == "dns_error") return socks5::Reply::host_unreachable;
  if (problem.error_token == "connection_refused") return socks5::Reply::connection_refused;
  if (problem.status == 504) return socks5::Reply::ttl_expired;
  if (problem.status == 501) return socks5::Reply::command_not_supported;
  if (problem.status == 400) return socks5::Reply::address_type_not_supported;
  if (problem.status >= 500 || over_limit(problem)) return socks5::Reply::general_failure;
  return socks5::Reply::not_allowed;
}

}  // namespace

// Looks at the first byte, which no HTTP request begins with. Closes where none came: another read
// behind the end would wait for the deadline, since nothing tells of an end twice.
Awaitable<bool> Connection::begins_with_socks() {
  if (!worker_.settings().socks5) co_return false;
  if (in_.empty()) {
    const std::span<char> room = in_.prepare(message_bytes_max);
    auto count = co_await client_->read_some(room);
    if (!count && count.error().code == ErrorCode::timeout) co_return false;
    if (!count || *count == 0) {
      client_->close();
      co_return false;
    }
    in_.commit(*count);
  }
  co_return in_.unread().front() == socks5::version;
}

// One whole message of the client's, parsed; its bytes stay in the buffer for what it points to.
template <class Message>
Awaitable<Result<Message>> Connection::read_socks(
    Result<std::optional<Message>> (*parse)(std::string_view)) {
  while (true) {
    auto message = parse(in_.unread());
    if (!message) co_return fail(message.error());
    if (*message) co_return std::move(**message);
    const std::span<char> room = in_.prepare(message_bytes_max);
    auto count = co_await client_->read_some(room);
    if (!count) co_return fail(count.error());
    if (*count == 0) {
      co_return fail(ErrorCode::closed, "the client left in the middle of SOCKS5", {},
                     Side::client);
    }
    in_.commit(*count);
  }
}

// Whose rules hold for clients that show no token; null where they must show one.
SessionPtr Connection::session_of_everybody() const {
  if (own_) return own_;
  return worker_.settings().no_auth ? worker_.settings().main : SessionPtr();
}

// Agrees on a method and finds out whose connection it is.
Awaitable<std::optional<Problem>> Connection::greet_socks(Trail& trail) {
  auto greeting = co_await read_socks(&socks5::parse_greeting);
  if (!greeting) co_return problem_of(greeting.error(), nullptr);
  in_.consume(greeting->size);
  const bool token_needed = !session_of_everybody();
  socks5::Method method = socks5::Method::unacceptable;
  if (greeting->offers_password) method = socks5::Method::password;
  if (greeting->offers_none && !token_needed) method = socks5::Method::none;
  const std::string answer = socks5::method_answer(method);
  auto answered = co_await client_->write_all(answer);
  if (!answered) co_return problem_of(answered.error(), nullptr);
  if (method == socks5::Method::unacceptable) {
    co_return refused(407, Reason::no_token, "the proxy wants its session token as the password",
                      "use socks5h://nono:TOKEN@ and the proxy's address");
  }
  // Asked again wherever the client was waited for: a reload may have changed it meanwhile.
  if (method == socks5::Method::none) {
    if (SessionPtr session = session_of_everybody()) co_return bind(std::move(session), trail);
    co_return refused(407, Reason::no_token, "the proxy has come to want its session token",
                      "connect again, with the token as the password");
  }
  auto password = co_await read_socks(&socks5::parse_password);
  if (!password) co_return problem_of(password.error(), nullptr);
  std::optional<Problem> nobody;
  if (worker_.settings().no_auth && session_of_everybody()) {
    nobody = bind(session_of_everybody(), trail);
  } else {
    nobody = identify_by(password->password, trail);  // a wrong token is refused even at own_
  }
  in_.consume(password->size);
  const std::string verdict = socks5::password_answer(!nobody || over_limit(*nobody));
  auto told = co_await client_->write_all(verdict);
  if (!nobody && !told) nobody = problem_of(told.error(), nullptr);
  co_return nobody;
}

Awaitable<Next> Connection::serve_socks() {
  socks_ = true;
  waiting_ = false;
  auto own_trail = std::make_unique<Trail>(worker_, audit::Way::socks5);
  Trail& trail = *own_trail;
  const std::optional<Problem> nobody = co_await greet_socks(trail);
  if (nobody && !over_limit(*nobody)) co_return co_await refuse_socks(trail, *nobody);
  auto request = co_await read_socks(&socks5::parse_request);
  socks_asked_ = true;
  if (!request) {
    const Problem problem = problem_of(request.error(), nullptr);
    co_return co_await refuse_socks(trail, problem);
  }
  in_.consume(request->size);
  client_->never_expires();
  if (request->target) trail.target(*request->target);
  if (nobody) co_return co_await refuse_socks(trail, *nobody);
  if (!request->is_connect) {
    const Problem problem =
        refused(501, Reason::bad_target, "of SOCKS5's commands only CONNECT is served", {});
    co_return co_await refuse_socks(trail, problem);
  }
  if (!request->target) {
    const Problem problem =
        refused(400, Reason::bad_target, "the SOCKS5 request names no host and port",
                "send a domain name or an address, and a port");
    co_return co_await refuse_socks(trail, problem);
  }
  HostPort target = std::move(*request->target);
  Decision decision = session_->engine().decide(target);
  co_return co_await open_tunnel(std::move(target), std::move(decision), std::move(own_trail),
                                 nullptr);
}

Awaitable<Next> Connection::refuse_socks(Trail& trail, const Problem& problem) {
  trail.refuse(problem);
  if (!socks_asked_) co_return Next::close;  // the negotiation itself has said no
  const std::string answer = socks5::reply_answer(reply_for(problem));
  client_->expires_after(worker_.settings().limits.head_time_max);
  co_await client_->write_all(answer);
  co_return Next::close;
}

}  // namespace nono
