#include "proxy/registry.hpp"

#include <algorithm>
#include <set>

#include "proxy/listen.hpp"

namespace nono {

namespace {

Error unknown_session(const std::string& name) {
  return Error{Side::client, ErrorCode::bad_input, "there is no session called " + name, {}};
}

Error known_session(const std::string& name) {
  return Error{Side::client, ErrorCode::bad_input, "there is a session called " + name + " already",
               "revoke it first, or choose another name"};
}

Error shared_token(const std::string& one, const std::string& other) {
  return Error{Side::client, ErrorCode::bad_input,
               "the sessions " + one + " and " + other + " have the same token",
               "give each one of its own: it says whose rules a request has"};
}

std::shared_ptr<const ProxySettings> make_settings(const Reload& from, SessionPtr main) {
  auto settings = std::make_shared<ProxySettings>();
  settings->limits = from.limits;
  settings->head_limits = head_limits_of(from.limits);
  settings->no_auth = from.no_auth;
  settings->socks5 = from.socks5;
  settings->via = from.via;
  settings->main = std::move(main);
  settings->connects = std::make_shared<RateLimit>(from.limits.connects_per_second_max);
  return settings;
}

}  // namespace

SessionRegistry::SessionRegistry(std::vector<std::unique_ptr<Worker>>& workers)
    : workers_(workers), expiry_(workers.front()->executor()) {}

// Everything that can fail.
Result<SessionRegistry::Candidate> SessionRegistry::make(SessionSetup setup) {
  Candidate candidate;
  for (SessionListener& listener : setup.listeners) {
    if (!listener.socket) {
      candidate.kept.push_back(listener.asked);
      continue;
    }
    auto sockets = listen_for_threads(std::move(listener.socket), workers_.size());
    if (!sockets) return fail(sockets.error());
    candidate.listeners.push_back(Listener{listener.asked, std::move(*sockets)});
  }
  auto session = Session::make(std::move(setup));
  if (!session) return fail(session.error());
  candidate.session = std::move(*session);
  Gateway& gateway = workers_.front()->gateway();
  SessionMeters meters;
  meters.slot = gateway.session_names.slot(candidate.session->name());
  for (const LoadedCredential& credential : candidate.session->credentials()) {
    meters.credentials.push_back(gateway.credential_names.slot(credential.route.name));
  }
  meters.redactions = &gateway.redactions;
  candidate.session->count_in(std::move(meters));
  return candidate;
}

Result<void> SessionRegistry::apply(Reload reload) {
  const std::lock_guard lock(mutex_);
  if (reload.main) reload.sessions.push_back(std::move(*reload.main));
  std::vector<Candidate> candidates;
  std::set<std::string> names;
  std::map<std::string_view, std::string> tokens;  // whose each is; views into the candidates
  for (SessionSetup& setup : reload.sessions) {
    const std::string name = setup.config.name;
    const auto same = sessions_.find(name);
    const bool taken = same != sessions_.end() && same->second->origin() == SessionOrigin::admin;
    if (taken || !names.insert(name).second) return fail(known_session(name));
    auto candidate = make(std::move(setup));
    if (!candidate) return fail(candidate.error());
    const std::string_view token = candidate->session->token().expose();
    const auto [known, fresh] = tokens.emplace(token, name);
    if (!fresh && !token.empty()) return fail(shared_token(known->second, name));
    candidates.push_back(std::move(*candidate));
  }
  std::vector<std::shared_ptr<TlsFront>> fronts;
  for (std::size_t i = 0; reload.listener_certificate && i < workers_.size(); ++i) {
    auto front = TlsFront::make(*reload.listener_certificate);
    if (!front) return fail(front.error());
    fronts.push_back(std::move(*front));
  }
  std::map<std::string, SessionPtr> before = std::exchange(sessions_, {});
  std::erase_if(before, [this](auto& item) {
    if (item.second->origin() != SessionOrigin::admin) return false;
    sessions_.insert(item);
    return true;
  });
  SessionPtr main;
  for (Candidate& candidate : candidates) {
    if (candidate.session->origin() == SessionOrigin::main) main = candidate.session;
    const auto predecessor = before.find(candidate.session->name());
    enter(std::move(candidate), predecessor == before.end() ? nullptr : predecessor->second);
  }
  const auto settings = make_settings(reload, main);
  post([settings](Worker& worker) { worker.use(settings); });
  for (std::size_t i = 0; i < fronts.size(); ++i) {
    workers_[i]->post([front = fronts[i]](Worker& worker) { worker.show(front); });
  }
  for (const auto& [name, session] : before) {
    dismiss(session, reload.cut || sessions_.count(name) == 0);
    remove_socket_files(*session);
  }
  return {};
}

Result<SessionPtr> SessionRegistry::add(SessionSetup setup) {
  const std::lock_guard lock(mutex_);
  if (sessions_.count(setup.config.name) != 0) return fail(known_session(setup.config.name));
  auto candidate = make(std::move(setup));
  if (!candidate) return fail(candidate.error());
  SessionPtr session = candidate->session;
  enter(std::move(*candidate), nullptr);
  return session;
}

Result<void> SessionRegistry::revoke(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto at = sessions_.find(name);
  if (at == sessions_.end()) return fail(unknown_session(name));
  const SessionPtr ended = at->second;
  sessions_.erase(at);
  dismiss(ended, true);
  remove_socket_files(*ended);
  return {};
}

std::vector<SessionPtr> SessionRegistry::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<SessionPtr> all;
  for (const auto& [name, session] : sessions_) all.push_back(session);
  return all;
}

void SessionRegistry::enter(Candidate candidate, const SessionPtr& predecessor) {
  const SessionPtr session = std::move(candidate.session);
  if (predecessor) session->continue_from(*predecessor);
  sessions_.emplace(session->name(), session);
  post([session](Worker& worker) { worker.adopt(session); });
  if (predecessor && !candidate.kept.empty()) {
    post([predecessor, session, kept = std::move(candidate.kept)](Worker& worker) {
      worker.hand_over(*predecessor, session, kept);
    });
  }
  for (Listener& listener : candidate.listeners) {
    for (std::size_t index = 0; index < workers_.size(); ++index) {
      // A std::function must be copyable, and a descriptor is not.
      auto socket = std::make_shared<UniqueFd>(std::move(listener.sockets[index]));
      workers_[index]->post([session, socket, asked = listener.asked](Worker& worker) {
        worker.listen(std::move(*socket), session, asked);
      });
    }
  }
  if (!session->expires()) return;
  workers_.front()->post([this](Worker&) { revoke_expired(); });
}

void SessionRegistry::dismiss(const SessionPtr& session, bool cut) {
  post([session, cut](Worker& worker) { worker.dismiss(*session, cut); });
}

// Of Unix sockets that it listened on and its successor, if it has one, does not.
void SessionRegistry::remove_socket_files(const Session& ended) const {
  const auto successor = sessions_.find(ended.name());
  for (const std::string& place : ended.places()) {
    if (successor != sessions_.end()) {
      const std::vector<std::string>& kept = successor->second->places();
      if (std::find(kept.begin(), kept.end(), place) != kept.end()) continue;
    }
    remove_socket_file(place);
  }
}

void SessionRegistry::post(const std::function<void(Worker&)>& change) {
  for (const auto& worker : workers_) worker->post(change);
}

// On the first worker's thread: revokes what has expired and sleeps until the next one does.
void SessionRegistry::revoke_expired() {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  std::optional<std::chrono::steady_clock::time_point> next;
  std::vector<SessionPtr> ended;
  std::erase_if(sessions_, [&](const auto& item) {
    const SessionPtr& session = item.second;
    if (!session->expires()) return false;
    if (*session->expires() > now) {
      next = next ? std::min(*next, *session->expires()) : *session->expires();
      return false;
    }
    ended.push_back(session);
    return true;
  });
  for (const SessionPtr& session : ended) {
    dismiss(session, true);
    remove_socket_files(*session);
  }
  if (!next) return;
  expiry_.expires_at(*next);
  expiry_.async_wait([this](const ErrorCodeSys& code) {
    if (!code) revoke_expired();
  });
}

}  // namespace nono
