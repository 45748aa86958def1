#include "proxy/cli/proxy_control.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <nlohmann/json.hpp>

#include "config/base/on_exit.hpp"
#include "proxy/cli/notify.hpp"
#include "proxy/intercept/pem_identity.hpp"
#include "proxy/listen.hpp"
#include "proxy/net/one_shot.hpp"

namespace nono::cli {

namespace {

std::string with_fix(const Error& error) {
  return error.fix.empty() ? error.what : error.what + "; " + error.fix;
}

std::string_view to_string(SessionOrigin origin) {
  switch (origin) {
    case SessionOrigin::main:
      return "main";
    case SessionOrigin::file:
      return "file";
    case SessionOrigin::admin:
      break;
  }
  return "admin";
}

// CLOCK_MONOTONIC, by which systemd tells the answer to its own request from an older one.
std::int64_t monotonic_microseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

// What a reload cannot change, said rather than passed over.
std::vector<std::string> changes_for_a_restart(const ProxyConfig& before, const ProxyConfig& now) {
  std::vector<std::string> changed;
  const auto compare = [&](const char* key, bool same) {
    if (!same) changed.emplace_back(key);
  };
  compare("listen", before.listen == now.listen);
  compare("threads", before.threads == now.threads);
  // Another file is read; whether there is TLS at all is the listeners'.
  compare("tls.cert", before.tls_cert.has_value() == now.tls_cert.has_value());
  compare("tls.ca_cert", before.ca_cert == now.ca_cert && before.ca_key == now.ca_key &&
                             before.ca_validity_days == now.ca_validity_days);
  compare("audit", before.audit_log == now.audit_log &&
                       before.audit_required == now.audit_required &&
                       before.audit_rotate_bytes == now.audit_rotate_bytes &&
                       before.audit_keep == now.audit_keep);
  compare("dns.listen", before.dns.listen == now.dns.listen);
  compare("dns.cache_entries_max", before.dns.cache_entries_max == now.dns.cache_entries_max);
  compare("dns.queries_per_second_max",
          before.dns.queries_per_second_max == now.dns.queries_per_second_max);
  compare("metrics.listen", before.metrics_listen == now.metrics_listen);
  compare("admin",
          before.admin_socket == now.admin_socket && before.admin_enabled == now.admin_enabled);
  compare("env_file", before.env_file == now.env_file && before.env_format == now.env_format);
  compare("log_level", before.log_level == now.log_level);
  compare("drain_time", before.drain_time == now.drain_time);
  compare("reload_on_change", before.reload_on_change == now.reload_on_change);
  return changed;
}

}  // namespace

ProxyControl::ProxyControl(Server& server, const ProxyOptions& options, const UserContext& user,
                           const Logger& log, ProxyConfig file, ProxyPlace place,
                           Keepsakes keepsakes, OpenListeners open)
    : server_(server),
      options_(options),
      user_(user),
      log_(log),
      place_(std::move(place)),
      file_(std::move(file)),
      keepsakes_(std::move(keepsakes)),
      open_(std::move(open)) {
  for (const SessionEntry& entry : file_.sessions) {
    if (entry.profile) profiles_[entry.name] = *entry.profile;
  }
}

ProxyControl::~ProxyControl() = default;

Result<void> ProxyControl::write_env_files(const std::vector<SessionEnv>& envs) {
  if (Result<void> staged = env_files_.stage(envs); !staged) return staged;
  return env_files_.put_in_place();
}

void ProxyControl::reload(std::string why) {
  thread_.post([this, why = std::move(why)] {
    log_(LogLevel::info, "reading the configuration again: " + why);
    notify_systemd("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_microseconds()),
                   user_.env);
    if (const Result<void> done = reload_now(); !done) {
      log_(LogLevel::error, "nothing was changed: " + with_fix(done.error()));
    } else {
      log_(LogLevel::info, "the new configuration is in force");
    }
    notify_systemd("READY=1", user_.env);
  });
}

Result<Reload> ProxyControl::make_reload(ProxyPlan& plan) {
  Result<std::unique_ptr<keystore::Keystore>> keyring = open_keyring(user_.env);
  if (!keyring) return fail(keyring.error());
  Reload reload;
  const auto add = [&](PlannedSession planned) -> Result<SessionSetup> {
    const std::string name = planned.config.name;
    Result<MadeSession> made =
        make_session(std::move(planned), **keyring, user_.env, place_.several_threads, open_);
    if (!made) return fail(made.error());
    for (const std::string& warning : made->warnings) log_(LogLevel::warn, warning);
    return std::move(made->setup);
  };
  if (plan.main) {
    Result<SessionSetup> setup = add(std::move(*plan.main));
    if (!setup) return fail(setup.error());
    reload.main.emplace(std::move(*setup));
  }
  for (PlannedSession& planned : plan.sessions) {
    Result<SessionSetup> setup = add(std::move(planned));
    if (!setup) return fail(setup.error());
    reload.sessions.push_back(std::move(*setup));
  }
  if (place_.tls && !plan.tls_cert.empty()) {
    auto identity = intercept::read_identity(plan.tls_cert, plan.tls_key);
    if (!identity) return fail(identity.error());
    reload.listener_certificate = std::move(*identity);
  }
  reload.limits = plan.limits;
  reload.no_auth = plan.no_auth;
  reload.socks5 = plan.socks5;
  reload.via = plan.via;
  reload.cut = options_.reload_cut || plan.file.reload_cut;
  return reload;
}

// Sessions were revoked or have expired, and their listeners with them.
void ProxyControl::forget_ended() {
  std::set<std::string> alive;
  for (const SessionPtr& session : server_.sessions().all()) alive.insert(session->name());
  const auto ended = [&](const auto& item) { return alive.count(item.first) == 0; };
  std::erase_if(open_, ended);
  const std::lock_guard lock(mutex_);
  std::erase_if(profiles_, ended);
}

// What was revoked stays so as long as the file gives it the same token, or none.
void ProxyControl::leave_out_revoked(ProxyPlan& plan) const {
  const std::lock_guard lock(mutex_);
  std::erase_if(plan.sessions, [&](const PlannedSession& session) {
    const auto known = revoked_.find(session.config.name);
    if (known == revoked_.end()) return false;
    return !session.token_preset || known->second.expose() == session.token;
  });
}

// Of what the file in force has no more: put back, it is another one.
void ProxyControl::forget_revoked(const std::vector<SessionEntry>& entries) {
  const std::lock_guard lock(mutex_);
  std::erase_if(revoked_, [&](const auto& item) {
    const std::string& name = item.first;
    const auto named = [&](const SessionEntry& entry) { return entry.name == name; };
    if (std::any_of(entries.begin(), entries.end(), named)) return false;
    keepsakes_.forget(name);
    return true;
  });
}

// Of what was revoked while the plan that has it was made.
void ProxyControl::revoke_again() {
  for (const SessionPtr& session : server_.sessions().all()) {
    const std::lock_guard lock(mutex_);
    const auto known = revoked_.find(session->name());
    const bool back = session->origin() == SessionOrigin::file && known != revoked_.end() &&
                      known->second.expose() == session->token().expose();
    if (!back) continue;
    [[maybe_unused]] const Result<void> ended = server_.sessions().revoke(session->name());
  }
}

Result<void> ProxyControl::reload_now() {
  forget_ended();
  Step<ProxyPlan> plan = make_plan(options_, user_, keepsakes_);
  if (!plan) return fail(plan.error().error);
  leave_out_revoked(*plan);
  // What the file says of `listen` holds after a restart; what is open now counts.
  if (plan->no_auth && place_.off_loopback) {
    return fail(
        ErrorCode::bad_input,
        "auth.required: false is for loopback only, and a listener off it stays open until a "
        "restart",
        "restart the proxy, or let clients send the token");
  }
  Result<Reload> reload = make_reload(*plan);
  if (!reload) return fail(reload.error());
  Result<std::vector<SessionEnv>> envs =
      session_envs(plan->file.sessions, reload->sessions, place_);
  if (!envs) return fail(envs.error());
  if (Result<void> staged = env_files_.stage(*envs); !staged) return staged;
  OpenListeners open = open_;  // those of admin sessions go on
  for (const SessionSetup& setup : reload->sessions) note_listeners(setup, open);
  if (Result<void> applied = server_.sessions().apply(std::move(*reload)); !applied) {
    env_files_.unstage();
    return applied;
  }
  if (Result<void> put = env_files_.put_in_place(); !put)
    log_(LogLevel::error, with_fix(put.error()));
  for (const std::string& note : plan->file.notes) log_(LogLevel::warn, note);
  for (const std::string& key : changes_for_a_restart(file_, plan->file)) {
    log_(LogLevel::warn, key + " has changed, which takes a restart");
  }
  if (on_certificate_ && place_.tls && !plan->tls_cert.empty()) {
    on_certificate_(plan->tls_cert, plan->tls_key);
  }
  open_ = std::move(open);
  file_ = std::move(plan->file);
  revoke_again();
  forget_revoked(file_.sessions);
  const std::lock_guard lock(mutex_);
  for (const SessionEntry& entry : file_.sessions) {
    profiles_[entry.name] = entry.profile.value_or("");
  }
  return {};
}

Result<SessionEntry> ProxyControl::entry_of(admin::SessionRequest& request) {
  nlohmann::json entry = nlohmann::json::parse(request.entry, nullptr, false);
  if (!entry.is_object()) return fail(ErrorCode::bad_input, "the request is no JSON object");
  if (!entry.contains("name")) entry["name"] = "s-" + make_token().substr(0, 12);
  // A session may be what its further profiles say alone.
  if (!request.extends.empty() && !entry.contains("profile")) {
    entry["profile"] = request.extends.back();
    request.extends.pop_back();
  }
  const nlohmann::json file{{"sessions", nlohmann::json::array({entry})}};
  constexpr std::string_view request_name = "the session";
  Result<ProxyConfig> config =
      parse_proxy_config(file.dump(), std::string(request_name), user_);
  if (!config) {
    // Lines and columns are of what was made of the flags.
    Error error = config.error();
    if (error.what.starts_with(request_name)) {
      error.what.erase(0, error.what.find(": ") + 2);
      if (error.fix.empty()) error.fix = "see nono session create --help for what may be given";
    }
    return fail(std::move(error));
  }
  return std::move(config->sessions.front());
}

Result<admin::CreatedSession> ProxyControl::create_now(admin::SessionRequest& request) {
  Result<SessionEntry> entry = entry_of(request);
  if (!entry) return fail(entry.error());
  const auto taken = [&](const SessionPtr& session) { return session->name() == entry->name; };
  const std::vector<SessionPtr> all = server_.sessions().all();
  if (std::any_of(all.begin(), all.end(), taken)) {
    return fail(ErrorCode::bad_input, "there is a session called " + entry->name + " already",
                "revoke it first, or choose another name");
  }
  if (open_.size() > 2 * all.size() + 16) forget_ended();  // or it would grow with each that ends
  // A name that comes again brings nothing of its past, and no reload plans this session anew.
  const OnExit forgotten([&] { keepsakes_.forget(entry->name); });
  keepsakes_.forget(entry->name);
  Step<PlannedSession> planned =
      plan_session(*entry, request.extends, options_, file_, user_, keepsakes_);
  if (!planned) return fail(planned.error().error);
  planned->origin = SessionOrigin::admin;
  if (needs_interception(planned->config) && place_.bundle_path.empty()) {
    return fail(ErrorCode::internal, "this proxy has no authority to intercept with");
  }
  // What the maker has goes before what the proxy has.
  const EnvLookup env = [&](std::string_view name) -> std::optional<std::string> {
    const auto given = request.environment.find(std::string(name));
    if (given != request.environment.end()) return std::string(given->second.expose());
    return user_.env(name);
  };
  Result<std::unique_ptr<keystore::Keystore>> keyring = open_keyring(user_.env);
  if (!keyring) return fail(keyring.error());
  const std::string token = planned->token;
  Result<MadeSession> made =
      make_session(std::move(*planned), **keyring, env, place_.several_threads, {});
  if (!made) return fail(made.error());
  admin::CreatedSession created;
  OnExit cleared([&] {
    for (const std::string& place : created.listen) remove_socket_file(place);
  });
  created.name = entry->name;
  created.token = Secret(token);
  for (const SessionListener& listener : made->setup.listeners) {
    created.listen.push_back(listener.place);
  }
  for (const LoadedCredential& credential : made->setup.credentials) {
    if (!credential.secret) return fail(ErrorCode::secret_missing, credential.missing);
  }
  created.variables = session_variables(made->setup, place_);
  if (made->setup.ttl) created.expires = std::chrono::system_clock::now() + *made->setup.ttl;
  note_listeners(made->setup, open_);
  {
    const std::lock_guard lock(mutex_);
    profiles_[entry->name] = entry->profile.value_or("");
  }
  Result<SessionPtr> added = server_.sessions().add(std::move(made->setup));
  if (!added) return fail(added.error());
  cleared.dismiss();
  log_(LogLevel::info, "session " + entry->name + " was created");
  return created;
}

// Held by the job and by who waits for it: whichever is last frees it.
struct ProxyControl::Creation {
  admin::SessionRequest request;
  Result<admin::CreatedSession> result;
  OneShot done;
};

Awaitable<Result<admin::CreatedSession>> ProxyControl::create(admin::SessionRequest request) {
  auto creation = std::make_shared<Creation>();
  creation->request = std::move(request);
  const Executor executor = co_await net::this_coro::executor;
  auto start = [this, creation, executor](auto handler) {
    creation->done = OneShot(std::move(handler));
    thread_.post([this, creation, executor] {
      creation->result = create_now(creation->request);
      creation->done.complete(executor);
    });
  };
  co_await net::async_initiate<const net::deferred_t, void()>(start, net::deferred);
  co_return std::move(creation->result);
}

std::vector<admin::ListedSession> ProxyControl::list() const {
  std::vector<admin::ListedSession> listed;
  for (const SessionPtr& session : server_.sessions().all()) {
    admin::ListedSession item;
    item.name = session->name();
    item.origin = to_string(session->origin());
    item.created = session->created();
    if (session->expires()) {
      const auto left = *session->expires() - std::chrono::steady_clock::now();
      item.expires = std::chrono::system_clock::now() +
                     std::chrono::duration_cast<std::chrono::system_clock::duration>(left);
    }
    item.connections = session->use().connections;
    item.requests = session->use().requests;
    item.bytes_to_upstream = session->use().bytes_to_upstream;
    item.bytes_to_client = session->use().bytes_to_client;
    for (const LoadedCredential& credential : session->credentials()) {
      item.credentials.push_back(credential.route.name);
    }
    item.listen = session->places();
    const std::lock_guard lock(mutex_);
    const auto profile = profiles_.find(item.name);
    if (profile != profiles_.end()) item.profile = profile->second;
    listed.push_back(std::move(item));
  }
  return listed;
}

Result<void> ProxyControl::revoke(const std::string& name) {
  bool in_file = false;
  for (const SessionPtr& session : server_.sessions().all()) {
    if (session->name() != name) continue;
    in_file = session->origin() == SessionOrigin::file;
    if (in_file) {
      const std::lock_guard lock(mutex_);
      revoked_.insert_or_assign(name, Secret(std::string(session->token().expose())));
    }
    if (session->origin() == SessionOrigin::main) {
      return fail(ErrorCode::bad_input, "the main session ends with the proxy",
                  "stop the proxy, or change what nono.yaml says at the top");
    }
  }
  if (Result<void> revoked = server_.sessions().revoke(name); !revoked) return revoked;
  log_(LogLevel::info, "session " + name + " was revoked");
  if (in_file) {
    log_(LogLevel::warn, "nono.yaml still has session " + name +
                             ": a restart, or another token there, brings it back");
  }
  return {};
}

}  // namespace nono::cli
