// Whose connection it is: from tokens, phantoms and listeners to a session.

#include <fmt/format.h>

#include "proxy/authenticate.hpp"
#include "proxy/connection.hpp"
#include "proxy/intercept/phantoms.hpp"

namespace nono {

namespace {

Problem no_token(std::string detail) {
  Problem problem;
  problem.status = 407;
  problem.reason = Reason::no_token;
  problem.error_token = "http_request_error";
  problem.detail = std::move(detail);
  problem.fix = "use the proxy URL that nono printed or put into HTTPS_PROXY";
  return problem;
}

bool has_phantom(const Session& session, std::string_view tail) {
  bool has = false;
  for (const LoadedCredential& credential : session.credentials()) {
    const std::string_view phantom = credential.phantom;
    has |= phantom.size() > tail.size() &&
           equal_constant_time(phantom.substr(phantom.size() - tail.size()), tail);
  }
  return has;
}

// In the field that its credential goes into.
bool presents_phantom(const http::RequestHead& head, const Session& session) {
  for (const LoadedCredential& credential : session.credentials()) {
    const Injection& injection = credential.route.injection;
    const std::string_view phantom = credential.phantom;
    if (injection.mode != InjectMode::header || phantom.empty()) continue;
    const std::string* value = head.fields.find(injection.header);
    if (value == nullptr || value->size() < phantom.size()) continue;
    const std::string_view end = std::string_view(*value).substr(value->size() - phantom.size());
    if (equal_constant_time(end, phantom)) return true;
  }
  return false;
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

}  // namespace

void Connection::unbind() {
  if (!session_) return;
  session_->use().connections.fetch_sub(1, std::memory_order_relaxed);
  worker_.metrics().session_connections(session_->meters().slot, -1);
  session_.reset();
  forwarded_.reset();
}

// From here on the connection is this session's, if its limits have room for one more.
std::optional<Problem> Connection::bind(SessionPtr session, Trail& trail) {
  trail.session(*session);
  if (session == session_ && admitted_) return {};
  upstream_.reset();  // it was reached by another's rules
  unbind();
  admitted_ = false;
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
  admitted_ = true;
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
  if (token.absent()) return identify_without_token(trail);
  return identify_by(token.text(), trail);
}

std::optional<Problem> Connection::identify_without_token(Trail& trail) {
  if (own_) return bind(own_, trail);
  return no_token(token_wanted);
}

std::optional<Problem> Connection::identify_by(std::string_view token, Trail& trail) {
  // Even where the session was replaced meanwhile: this connection goes on as it began.
  if (session_ && !session_->token().empty() &&
      equal_constant_time(token, session_->token().expose())) {
    return bind(session_, trail);
  }
  SessionPtr found = worker_.sessions().by_token(token);
  if (!found || (own_ && found->name() != own_->name())) return no_token(token_wrong);
  return bind(own_ ? own_ : std::move(found), trail);
}

// The same for `/<credential>/...`, where a phantom is enough.
std::optional<Problem> Connection::identify_reverse(const http::RequestHead& head, Trail& trail) {
  const ProxySettings& settings = worker_.settings();
  const bool token_absent = head.fields.find("Proxy-Authorization") == nullptr;
  if (own_ || settings.no_auth || !token_absent) return identify(head, trail);
  // As with tokens: this connection goes on as it began, and nothing is searched or hashed again.
  if (session_ && presents_phantom(head, *session_)) return bind(session_, trail);
  for (const std::string& tail : intercept::phantom_tails(head)) {
    if (session_ && has_phantom(*session_, tail)) return bind(session_, trail);
    if (SessionPtr found = worker_.sessions().by_phantom(tail)) {
      const bool same = session_ && session_->name() == found->name();
      return bind(same ? session_ : std::move(found), trail);
    }
  }
  // Without one nothing will be served, but the main session's refusal says what to do.
  if (settings.main) return bind(settings.main, trail);
  return no_token(token_wanted);
}

}  // namespace nono
