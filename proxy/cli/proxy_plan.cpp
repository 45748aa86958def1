#include "proxy/cli/proxy_plan.hpp"

#include <algorithm>
#include <limits>

#include "config/resolve.hpp"
#include "keystore/sources.hpp"
#include "proxy/cli/credentials.hpp"
#include "proxy/cli/session_settings.hpp"

namespace nono::cli {

namespace {

constexpr std::size_t connections_default = 256;

tl::unexpected<Failure> failed(Error error) {
  return tl::unexpected<Failure>(Failure{std::move(error), exit_error});
}
tl::unexpected<Failure> misused(std::string what) {
  return tl::unexpected<Failure>(
      Failure{Error{Side::self, ErrorCode::bad_input, std::move(what), {}}, exit_usage});
}

void take_session_limits(Limits& limits, const SessionLimits& given) {
  if (given.connections_max) limits.session_connections_max = *given.connections_max;
  if (given.connects_per_second_max) {
    limits.session_connects_per_second_max = *given.connects_per_second_max;
  }
}

Limits limits_of(const ProxyOptions& options, const ProxyLimits& file) {
  Limits limits;
  const auto take = [](auto& limit, const auto& given) {
    if (given) limit = *given;
  };
  take(limits.head_bytes_max, file.head_bytes_max);
  take(limits.request_line_bytes_max, file.request_line_bytes_max);
  take(limits.fields_max, file.fields_max);
  take(limits.peek_bytes_max, file.peek_bytes_max);
  take(limits.drain_bytes_max, file.drain_bytes_max);
  take(limits.head_time_max, file.head_time_max);
  take(limits.keep_alive_time_max, file.keep_alive_time_max);
  take(limits.resolve_time_max, file.resolve_time_max);
  take(limits.connect_time_max, file.connect_time_max);
  take(limits.tls_time_max, file.tls_time_max);
  take(limits.first_byte_time_max, file.first_byte_time_max);
  take(limits.peek_time_max, file.peek_time_max);
  take(limits.idle_time_max, file.idle_time_max);
  take(limits.drain_time_max, file.drain_time_max);
  take(limits.upstream_pool_max, file.upstream_pool_max);
  take(limits.upstream_idle_time_max, file.upstream_idle_time_max);
  take(limits.connects_per_second_max, file.connects_per_second_max);
  take(limits.connects_per_second_max, options.connects_per_second_max);
  limits.connections_max = connections_default;
  take(limits.connections_max, file.connections_max);
  take(limits.connections_max, options.connections_max);
  if (limits.connections_max == 0) {
    limits.connections_max = std::numeric_limits<std::size_t>::max();
  }
  take_session_limits(limits, file.session);
  take_session_limits(limits, options.session_limits);
  return limits;
}

// The settings of a file's entry over those of its profile.
Result<Settings> over_profile(const std::optional<std::string>& profile, const Settings& settings,
                              const UserContext& user) {
  Settings merged;
  if (profile) {
    Result<Settings> loaded = load_profile(*profile, user);
    if (!loaded) return loaded;
    merge(merged, std::move(*loaded));
  }
  merge(merged, settings);
  return merged;
}

Result<SessionConfig> resolve_for_proxy(const Settings& settings, const UserContext& user) {
  ResolveOptions how;
  how.for_run = false;
  return resolve(settings, user, how);
}

// The top level and the flags; none where only sessions are described.
Step<std::optional<SessionConfig>> decide_main(const ProxyOptions& options, const UserContext& user,
                                               const ProxyConfig& file, bool others) {
  Result<Settings> settings = over_profile(file.profile, file.session, user);
  if (!settings) return failed(settings.error());
  Result<Settings> flags = load_settings(options.policy, user);
  if (!flags) return failed(flags.error());
  merge(*settings, std::move(*flags));
  Result<SessionConfig> session = resolve_for_proxy(*settings, user);
  if (!session) return failed(session.error());
  if (session->network.mode == NetworkMode::open) {
    if (others) return std::optional<SessionConfig>();
    return misused(
        "nono proxy needs to be told what to allow: --network-profile, --allow-domain, "
        "--credential, "
        "--profile or --config");
  }
  if (Result<void> checked = check_proxy_flags(options.policy, *session); !checked) {
    return failed(checked.error());
  }
  return std::optional<SessionConfig>(std::move(*session));
}

Step<std::vector<ListenAddress>> decide_listen(const ProxyOptions& options, const ProxyConfig& file,
                                               bool no_auth, bool tls) {
  std::vector<std::string> texts = options.listen.empty() ? file.listen : options.listen;
  if (texts.empty()) texts.emplace_back("127.0.0.1");
  std::vector<ListenAddress> addresses;
  bool port_used = false;
  for (const std::string& text : texts) {
    Result<ListenAddress> address = parse_listen(text, options.port);
    if (!address) return misused(address.error().what);
    port_used = port_used || address->unix_path.empty();
    if (!address->on_loopback() && no_auth) {
      return misused("--no-auth is for loopback only, and " + text + " is not on it");
    }
    if (!address->on_loopback() && !tls && !options.insecure_listen) {
      return misused("--listen " + text +
                     " is off loopback, where token and requests would cross the network in "
                     "clear; give --tls-cert and --tls-key, or say --insecure-listen");
    }
    addresses.push_back(std::move(*address));
  }
  if (options.port && !port_used)
    return misused("--port and only unix: listeners are contradictory");
  return addresses;
}

Step<std::string> check_token(std::string token) {
  // Only characters that need no escaping in a URL.
  const auto plain = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
  };
  if (token.empty() || token.size() > 512 || !std::all_of(token.begin(), token.end(), plain)) {
    return misused("a token is 1 to 512 letters, digits, '-', '.', '_' and '~'");
  }
  return token;
}

Step<std::string> read_token(const std::string& source, const UserContext& user) {
  Result<std::unique_ptr<keystore::Keystore>> keyring = open_keyring(user.env);
  if (!keyring) return failed(keyring.error());
  Result<keystore::FoundSecret> found = keystore::read_first({source}, **keyring, user.env);
  if (!found) return failed(found.error());
  return check_token(std::string(found->secret.expose()));
}

void plan_phantoms(PlannedSession& planned, Keepsakes& keepsakes) {
  for (const CredentialRoute& route : planned.config.credentials) {
    planned.credentials.push_back(
        PlannedCredential{route, keepsakes.phantom(planned.config.name, route)});
  }
}

Step<std::optional<PlannedSession>> plan_main(const ProxyOptions& options, const UserContext& user,
                                              const ProxyPlan& plan, Keepsakes& keepsakes) {
  const bool others = !plan.file.sessions.empty() || plan.admin;
  Step<std::optional<SessionConfig>> config = decide_main(options, user, plan.file, others);
  if (!config) return tl::unexpected<Failure>(config.error());
  if (!*config) return std::optional<PlannedSession>();
  PlannedSession planned;
  planned.config = std::move(**config);
  planned.limits = plan.limits;
  planned.token_preset = options.token || plan.file.token;
  Step<std::string> token = planned.token;
  if (options.token) {
    token = check_token(*options.token);
  } else if (plan.file.token) {
    token = read_token(*plan.file.token, user);
  } else {
    token = keepsakes.token(planned.config.name);
  }
  if (!token) return tl::unexpected<Failure>(token.error());
  planned.token = std::move(*token);
  plan_phantoms(planned, keepsakes);
  return std::optional<PlannedSession>(std::move(planned));
}

Step<std::vector<PlannedListener>> plan_listeners(const std::vector<std::string>& texts) {
  std::vector<PlannedListener> listeners;
  for (const std::string& text : texts) {
    Result<ListenAddress> address = parse_listen_address(text);
    if (!address) return failed(address.error());
    // Who connects there is the session, with no token: never from another machine.
    if (!address->on_loopback()) {
      return failed(
          Error{Side::self, ErrorCode::bad_input,
                "a session's own listener is for loopback only, and " + text + " is not on it",
                "leave it out, and let its clients send the session's token"});
    }
    listeners.push_back(PlannedListener{text, std::move(*address)});
  }
  return listeners;
}

Step<void> check_authority(const ProxyOptions& options, const ProxyPlan& plan) {
  const bool given = options.ca_cert || plan.file.ca_cert;
  if (options.policy.ca_validity_days && given) {
    return misused("--proxy-ca-validity is for a CA made here, not for --proxy-ca-cert");
  }
  if (given && !needs_authority(plan)) {
    return failed(Error{Side::self, ErrorCode::bad_input,
                        "a CA for interception needs something to intercept",
                        "add --credential or a rule https://host/path/**"});
  }
  return {};
}

}  // namespace

const std::string& Keepsakes::token(const std::string& session) {
  std::string& token = tokens_[session];
  if (token.empty()) token = make_token();
  return token;
}

const std::string& Keepsakes::phantom(const std::string& session,
                                      const CredentialRoute& credential) {
  std::string& phantom = phantoms_[{session, credential.name}];
  if (!phantom.starts_with(credential.phantom_prefix + "nono_")) {
    phantom = make_phantom(credential.phantom_prefix);
  }
  return phantom;
}

std::chrono::steady_clock::time_point Keepsakes::since(const std::string& session) {
  return since_.try_emplace(session, std::chrono::steady_clock::now()).first->second;
}

void Keepsakes::forget(const std::string& session) {
  since_.erase(session);
  tokens_.erase(session);
  std::erase_if(phantoms_, [&](const auto& item) { return item.first.first == session; });
}

bool needs_authority(const ProxyPlan& plan) {
  if (plan.admin || (plan.main && needs_interception(plan.main->config))) return true;
  return std::any_of(plan.sessions.begin(), plan.sessions.end(), [](const PlannedSession& session) {
    return needs_interception(session.config);
  });
}

Step<PlannedSession> plan_session(const SessionEntry& entry,
                                  const std::vector<std::string>& extends,
                                  const ProxyOptions& options, const ProxyConfig& file,
                                  const UserContext& user, Keepsakes& keepsakes) {
  Settings settings;
  for (const std::string& name : extends) {
    Result<Settings> base = load_profile(name, user);
    if (!base) return failed(base.error());
    merge(settings, std::move(*base));
  }
  Result<Settings> own = over_profile(entry.profile, entry.settings, user);
  if (!own) return failed(own.error());
  merge(settings, std::move(*own));
  // Resolvers are the proxy's unless the profile names its own.
  if (settings.dns_servers.empty()) settings.dns_servers = options.policy.settings.dns_servers;
  if (settings.dns_servers.empty()) settings.dns_servers = file.session.dns_servers;
  Result<SessionConfig> config = resolve_for_proxy(settings, user);
  if (!config) return failed(config.error());
  if (config->network.mode == NetworkMode::open) {
    return failed(Error{Side::self, ErrorCode::bad_input,
                        "nothing says what session " + entry.name + " may reach",
                        "give it a profile, allow_domain or credentials"});
  }
  PlannedSession planned;
  planned.config = std::move(*config);
  planned.config.name = entry.name;
  planned.profile = entry.profile.value_or("");
  planned.limits = limits_of(options, file.limits);
  take_session_limits(planned.limits, entry.limits);
  planned.token_preset = entry.token.has_value();
  Step<std::string> token = keepsakes.token(entry.name);
  if (entry.token) token = read_token(*entry.token, user);
  if (!token) return tl::unexpected<Failure>(token.error());
  planned.token = std::move(*token);
  Step<std::vector<PlannedListener>> listen = plan_listeners(entry.listen);
  if (!listen) return tl::unexpected<Failure>(listen.error());
  planned.listen = std::move(*listen);
  if (entry.ttl) {
    const auto since = keepsakes.since(entry.name);  // before it is now
    const auto lived = std::chrono::steady_clock::now() - since;
    planned.ttl = std::chrono::ceil<std::chrono::seconds>(*entry.ttl - lived);
  }
  planned.origin = SessionOrigin::file;
  plan_phantoms(planned, keepsakes);
  return planned;
}

Step<ProxyPlan> make_plan(const ProxyOptions& options, const UserContext& user,
                          Keepsakes& keepsakes) {
  ProxyPlan plan;
  if (options.config) {
    Result<ProxyConfig> file = load_proxy_config(*options.config, user);
    if (!file) return failed(file.error());
    plan.file = std::move(*file);
  }
  plan.no_auth = options.no_auth || (plan.file.no_auth && !options.token);
  plan.tls_cert = options.tls_cert.value_or(plan.file.tls_cert.value_or(""));
  plan.tls_key = options.tls_key.value_or(plan.file.tls_key.value_or(""));
  plan.socks5 = plan.file.socks5 && !options.no_socks5;
  plan.via = plan.file.via || options.via;
  const bool admin_in_file = plan.file.admin_enabled.value_or(plan.file.admin_socket.has_value());
  plan.admin = !options.no_admin && (options.admin_socket || admin_in_file);
  plan.limits = limits_of(options, plan.file.limits);
  Step<std::optional<PlannedSession>> main = plan_main(options, user, plan, keepsakes);
  if (!main) return tl::unexpected<Failure>(main.error());
  plan.main = std::move(*main);
  if (plan.no_auth && !plan.main) {
    return misused("without a token every client is the main session, and nothing describes one");
  }
  for (const SessionEntry& entry : plan.file.sessions) {
    Step<PlannedSession> session = plan_session(entry, {}, options, plan.file, user, keepsakes);
    if (!session) {
      Failure failure = session.error();
      failure.error.what = "session " + entry.name + ": " + failure.error.what;
      return tl::unexpected<Failure>(std::move(failure));
    }
    const bool over = session->ttl && session->ttl->count() <= 0;
    if (!over) plan.sessions.push_back(std::move(*session));
  }
  Step<std::vector<ListenAddress>> listen =
      decide_listen(options, plan.file, plan.no_auth, !plan.tls_cert.empty());
  if (!listen) return tl::unexpected<Failure>(listen.error());
  plan.listen = std::move(*listen);
  if (Step<void> checked = check_authority(options, plan); !checked) {
    return tl::unexpected<Failure>(checked.error());
  }
  return plan;
}

}  // namespace nono::cli
