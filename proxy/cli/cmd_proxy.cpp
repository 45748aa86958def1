// nono proxy: the proxy on its own, until SIGTERM.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "config/base/on_exit.hpp"
#include "proxy/admin/admin_socket.hpp"
#include "proxy/admin/admin_thread.hpp"
#include "proxy/cli/activation.hpp"
#include "proxy/cli/admin_place.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/dns_places.hpp"
#include "proxy/cli/env_file.hpp"
#include "proxy/cli/file_watch.hpp"
#include "proxy/cli/notify.hpp"
#include "proxy/cli/private_directory.hpp"
#include "proxy/cli/process.hpp"
#include "proxy/cli/proxy_control.hpp"
#include "proxy/cli/session_env.hpp"
#include "proxy/cli/session_settings.hpp"
#include "proxy/cli/signals.hpp"
#include "proxy/intercept/bundle.hpp"
#include "proxy/intercept/ca.hpp"
#include "proxy/listen.hpp"

namespace nono::cli {

namespace {

constexpr std::chrono::milliseconds drain_default(10'000);
constexpr std::chrono::milliseconds control_time_max(2'000);
constexpr unsigned ca_days_default = 90;  // a proxy on its own runs for long

// What a running proxy is made of, beside the server.
struct Proxy {
  const ProxyOptions& options;
  const UserContext& user;
  const Signals& signals;
  Logger log;
  ProxyPlan plan;
  Keepsakes keepsakes;
  std::optional<PrivateDirectory> directory;
  std::string bundle_path;
  Listening listening;
  std::vector<std::string> dns_places;
  OpenListeners open;
  std::vector<SessionEnv> envs;  // of the file's sessions
};

Result<std::shared_ptr<intercept::CertificateAuthority>> make_authority(Proxy& proxy) {
  const ProxyOptions& options = proxy.options;
  const ProxyPlan& plan = proxy.plan;
  const std::optional<std::string>& cert = options.ca_cert ? options.ca_cert : plan.file.ca_cert;
  const std::optional<std::string>& key = options.ca_key ? options.ca_key : plan.file.ca_key;
  const unsigned days = options.policy.ca_validity_days.value_or(
      plan.file.ca_validity_days.value_or(ca_days_default));
  auto authority = cert && key
                       ? intercept::CertificateAuthority::from_pem_files(*cert, *key)
                       : intercept::CertificateAuthority::generate(std::chrono::hours(24) * days);
  if (!authority) return authority;
  Result<PrivateDirectory> directory = PrivateDirectory::make(proxy.user);
  if (!directory) return fail(directory.error());
  proxy.directory.emplace(std::move(*directory));
  Result<UniqueFd> file = proxy.directory->create("ca-bundle.pem");
  if (!file) return fail(file.error());
  Result<void> written =
      intercept::write_bundle(*file, **authority, proxy.user.env("SSL_CERT_FILE"));
  if (!written) return fail(written.error());
  proxy.bundle_path = proxy.directory->path() + "/ca-bundle.pem";
  return authority;
}

// The keys of all sessions, and the sessions with them.
Result<void> load_sessions(Proxy& proxy, ServerOptions& server) {
  Result<std::unique_ptr<keystore::Keystore>> keyring = open_keyring(proxy.user.env);
  if (!keyring) return fail(keyring.error());
  const auto load = [&](const PlannedSession& planned) -> Result<SessionSetup> {
    Result<LoadedCredentials> loaded =
        load_interruptibly(planned.credentials, **keyring, proxy.user.env, proxy.signals, [] {});
    if (!loaded) return fail(loaded.error());
    for (const std::string& warning : planned.config.warnings) proxy.log(LogLevel::warn, warning);
    for (const std::string& warning : loaded->warnings) proxy.log(LogLevel::warn, warning);
    for (const LoadedCredential& credential : loaded->credentials) {
      if (credential.secret) continue;
      proxy.log(LogLevel::warn, credential.missing + " (until then its requests get 503)");
    }
    return set_up(planned, std::move(loaded->credentials), server.threads > 1, {});
  };
  if (proxy.plan.main) {
    Result<SessionSetup> setup = load(*proxy.plan.main);
    if (!setup) return fail(setup.error());
    server.main.emplace(std::move(*setup));
  }
  for (const PlannedSession& planned : proxy.plan.sessions) {
    Result<SessionSetup> setup = load(planned);
    if (!setup) return fail(setup.error());
    note_listeners(*setup, proxy.open);
    server.sessions.push_back(std::move(*setup));
  }
  return {};
}

// Sockets of systemd's come before those of --listen, and instead of the listener that there is
// when nothing is said.
Result<void> listen(Proxy& proxy, bool several_threads) {
  Result<std::vector<ActivatedSocket>> activated = take_activated_sockets(proxy.user.env);
  if (!activated) return fail(activated.error());
  const bool said = !proxy.options.listen.empty() || !proxy.plan.file.listen.empty();
  if (activated->empty() || said) {
    Result<Listening> opened = open_listeners(proxy.plan.listen, several_threads);
    if (!opened) return fail(opened.error());
    proxy.listening = std::move(*opened);
  }
  for (ActivatedSocket& socket : *activated) {
    Result<HostPort> address = local_address(socket.socket);
    if (address) {
      const bool loopback = classify(address->host.address()) == AddressClass::loopback;
      if (!loopback && proxy.plan.no_auth) {
        return fail(ErrorCode::bad_input,
                    "--no-auth is for loopback only, and systemd's socket " + address->to_string() +
                        " is not on it",
                    "bind it to 127.0.0.1, or let clients send the token");
      }
      if (!loopback && proxy.plan.tls_cert.empty() && !proxy.options.insecure_listen) {
        return fail(
            ErrorCode::bad_input,
            "systemd's socket " + address->to_string() +
                " is off loopback, where token and requests would cross the network in "
                "clear",
            "bind it to 127.0.0.1, give --tls-cert and --tls-key, or say --insecure-listen");
      }
      proxy.listening.off_loopback = proxy.listening.off_loopback || !loopback;
      if (!proxy.listening.authority) proxy.listening.authority = address->to_string();
    }
    proxy.listening.places.push_back(address ? address->to_string() : "a socket of systemd's");
    proxy.listening.sockets.push_back(ListenerSetup{std::move(socket.socket), false});
  }
  return {};
}

// The flags' addresses, or those of the file.
Result<void> listen_for_dns(Proxy& proxy, ServerOptions& server) {
  const ProxyOptions& options = proxy.options;
  const DnsConfig& file = proxy.plan.file.dns;
  server.dns.cache_entries_max = file.cache_entries_max;
  server.dns.queries_per_second_max = file.queries_per_second_max;
  const auto& addresses = options.dns_listen.empty() ? file.listen : options.dns_listen;
  Result<DnsListening> opened =
      open_dns_listeners(addresses, options.insecure_listen, server.threads > 1);
  if (!opened) return fail(opened.error());
  if (!opened->sockets.empty() && !proxy.plan.main) {
    proxy.log(LogLevel::warn,
              "DNS has no token, so only the main session's rules could hold, and there are none: "
              "every name is refused");
  }
  server.dns_listeners = std::move(opened->sockets);
  proxy.dns_places = std::move(opened->places);
  return {};
}

// Where the audit log goes; nowhere, with a warning, where nobody asked for it and it cannot be
// written.
Result<void> plan_audit(const Proxy& proxy, ServerOptions& server) {
  const ProxyOptions& options = proxy.options;
  const ProxyConfig& file = proxy.plan.file;
  const std::optional<std::string>& log =
      options.policy.audit_log ? options.policy.audit_log : file.audit_log;
  server.audit_log = audit_log_path(log, proxy.user);
  server.audit_required = options.policy.audit_required || file.audit_required;
  server.audit_rotate_bytes =
      options.audit_rotate_bytes.value_or(file.audit_rotate_bytes.value_or(0));
  server.audit_keep = options.audit_keep.value_or(file.audit_keep.value_or(0));
  if (Result<void> prepared = prepare_audit_log(server.audit_log); !prepared) {
    if (log || server.audit_required) return prepared;
    proxy.log(LogLevel::warn, "nothing is recorded: " + prepared.error().what);
    server.audit_log.clear();
  }
  return {};
}

void say_decision(const Logger& log, const audit::Record& record) {
  if (record.kind != audit::Kind::decision) return;
  log(LogLevel::debug,
      fmt::format("{} {}:{} for {}: {} ({})", record.allowed ? "yes" : "no", record.host,
                  record.port, record.session.empty() ? "nobody" : record.session,
                  to_string(record.because.reason), record.because.rule));
}

void say_at_start(const Proxy& proxy) {
  const ProxyPlan& plan = proxy.plan;
  const Logger& log = proxy.log;
  for (const std::string& note : plan.file.notes) log(LogLevel::warn, note);
  if (plan.no_auth) {
    log(LogLevel::warn,
        "no token is asked for: every program on this machine can use this proxy and its keys");
  }
  const bool handed_out = proxy.options.print_token || proxy.options.env_file || plan.file.env_file;
  if (plan.main && !plan.no_auth && !plan.main->token_preset && !handed_out) {
    log(LogLevel::warn,
        "nobody knows the token: use --env-file or --print-token, or preset it in "
        "NONO_PROXY_TOKEN");
  }
  if (plan.main && plan.main->token_preset && plan.main->token.size() < 16) {
    log(LogLevel::warn,
        "the preset token is short enough to be guessed; openssl rand -hex 32 makes a better one");
  }
  for (const PlannedSession& session : plan.sessions) {
    const auto has_file = [&](const SessionEnv& env) { return env.session == session.config.name; };
    if (session.token_preset || !session.listen.empty()) continue;
    if (std::any_of(proxy.envs.begin(), proxy.envs.end(), has_file)) continue;
    log(LogLevel::warn, "nobody knows the token of session " + session.config.name +
                            ": give it an env_file, token: env://NAME or a listener of its own");
  }
  log(LogLevel::info, "the proxy confines nobody: only programs that use it are filtered");
  if (proxy.options.common.verbose > 0 && !proxy.bundle_path.empty()) {
    log(LogLevel::info, "clients of intercepted hosts need the CA in " + proxy.bundle_path);
  }
}

// The variables file, the token if it was asked for, and the lines that say where.
Result<void> announce(const Proxy& proxy) {
  const ProxyOptions& options = proxy.options;
  const ProxyPlan& plan = proxy.plan;
  const Listening& listening = proxy.listening;
  const std::optional<std::string>& file = options.env_file ? options.env_file : plan.file.env_file;
  if (file) {
    if (!listening.authority) {
      return fail(ErrorCode::bad_input,
                  "--env-file needs a TCP listener: no variable names a Unix socket");
    }
    if (!plan.main) {
      return fail(ErrorCode::bad_input,
                  "--env-file is of the main session, and nothing describes one",
                  "nono session create --env-file writes a session's own");
    }
    EnvFileFormat format = EnvFileFormat::shell;
    if (plan.file.env_format == "github") format = EnvFileFormat::github;
    if (plan.file.env_format == "json") format = EnvFileFormat::json;
    format = options.env_format.value_or(format);
    ProxyAccess access;
    access.authority = *listening.authority;
    access.tls = !plan.tls_cert.empty();
    if (!plan.no_auth) access.token = plan.main->token;
    if (!proxy.bundle_path.empty()) access.ca_bundle = proxy.bundle_path;
    const Variables variables = proxy_variables(access, plan.main->credentials);
    if (format == EnvFileFormat::github) {
      // Before the file is written, so that no later line of the job can show them.
      std::vector<std::string> secrets{plan.main->token};
      for (const PlannedCredential& credential : plan.main->credentials) {
        secrets.push_back(credential.phantom);
      }
      print_out(github_masks(secrets));
    }
    Result<void> written = write_env_file(absolute(*file, proxy.user), format, variables);
    if (!written) return written;
  }
  std::string lines;
  if (options.print_token && plan.main && !plan.no_auth)
    lines += "token " + plan.main->token + "\n";
  for (const std::string& place : listening.places)
    lines += "listening on " + printable(place) + "\n";
  for (const std::string& place : proxy.dns_places) lines += "answering DNS on " + place + "\n";
  for (const auto& [session, listeners] : proxy.open) {
    for (const OpenListener& listener : listeners)
      lines += "session " + session + " listening on " + printable(listener.place) + "\n";
  }
  print_out(lines);
  notify_systemd("READY=1", proxy.user.env);
  return {};
}

// The first stop drains, the next one does not wait.
void on_signal(const Proxy& proxy, Server& server, ProxyControl& control, int& stops) {
  const std::chrono::milliseconds drain =
      proxy.options.drain_time.value_or(proxy.plan.file.drain_time.value_or(drain_default));
  while (const std::optional<ReceivedSignal> signal = proxy.signals.next()) {
    // A terminal that goes away ends us; a HUP that someone sends asks for the configuration.
    if (signal->number == SIGHUP && signal->from_process) {
      control.reload("SIGHUP");
      continue;
    }
    if (stops == 0) {
      notify_systemd("STOPPING=1", proxy.user.env);
      proxy.log(LogLevel::info,
                fmt::format("stopping: connections have {} s to finish", drain.count() / 1000));
    }
    server.stop(stops++ == 0 ? drain : std::chrono::milliseconds(0));
  }
}

// A Unix socket's file goes with the proxy.
void remove_sockets(const Proxy& proxy) {
  for (const ListenAddress& address : proxy.plan.listen) {
    if (!address.unix_path.empty()) ::unlink(address.unix_path.c_str());
  }
  for (const auto& [session, listeners] : proxy.open) {
    for (const OpenListener& listener : listeners) {
      remove_socket_file(listener.place);
    }
  }
}

// Those of sessions that were made meanwhile. While the server still has them.
void remove_session_sockets(Server& server) {
  for (const SessionPtr& session : server.sessions().all()) {
    for (const std::string& place : session->places()) remove_socket_file(place);
  }
}

Result<std::optional<admin::AdminSocket>> open_admin(const Proxy& proxy, ProxyControl& control,
                                                     admin::AdminThread& thread) {
  if (!proxy.plan.admin) return std::optional<admin::AdminSocket>();
  const std::optional<std::string>& asked =
      proxy.options.admin_socket ? proxy.options.admin_socket : proxy.plan.file.admin_socket;
  Result<admin::AdminSocket> socket =
      admin::AdminSocket::open(admin_socket_path(asked, proxy.user));
  if (!socket) return fail(socket.error());
  admin::ServiceOptions how;
  how.same_user_only = true;
  thread.serve(socket->take(), admin::sessions_api(control), how);
  proxy.log(LogLevel::info, "sessions are made through " + socket->path());
  return std::optional<admin::AdminSocket>(std::move(*socket));
}

Result<void> open_status(const Proxy& proxy, Server& server) {
  const std::optional<std::string>& asked =
      proxy.options.metrics_listen ? proxy.options.metrics_listen : proxy.plan.file.metrics_listen;
  if (!asked) return {};
  Result<ListenAddress> place = parse_inet_listen(*asked);
  if (!place) return fail(place.error());
  Result<UniqueFd> socket = listen_tcp(place->address, place->port, false);
  if (!socket) return fail(socket.error());
  Result<HostPort> at = local_address(*socket);
  if (!at) return fail(at.error());
  server.serve_status(std::move(*socket));
  proxy.log(LogLevel::info, "metrics and health on http://" + at->to_string() + "/metrics");
  return {};
}

ProxyPlace place_of(const Proxy& proxy) {
  ProxyPlace place;
  place.authority = proxy.listening.authority.value_or("");
  place.bundle_path = proxy.bundle_path;
  place.tls = !proxy.plan.tls_cert.empty();
  place.off_loopback = proxy.listening.off_loopback;
  place.several_threads = proxy.options.threads.value_or(proxy.plan.file.threads.value_or(1)) > 1;
  return place;
}

// The files whose change is a reload: nono.yaml and the certificate of the listeners, wherever a
// reload finds that.
std::vector<std::unique_ptr<FileWatch>> watch_files(const Proxy& proxy, Server& server,
                                                    ProxyControl& control) {
  std::vector<std::unique_ptr<FileWatch>> watches;
  if (!proxy.plan.file.reload_on_change) return watches;
  const auto watch = [&](const std::string& path, const char* why) {
    watches.push_back(std::make_unique<FileWatch>(server.executor(), absolute(path, proxy.user),
                                                  [&control, why] { control.reload(why); }));
    return watches.back().get();
  };
  if (proxy.options.config) watch(*proxy.options.config, "the file has changed");
  if (proxy.plan.tls_cert.empty()) return watches;
  FileWatch* const cert = watch(proxy.plan.tls_cert, "the listeners' certificate has changed");
  FileWatch* const key = watch(proxy.plan.tls_key, "the listeners' key has changed");
  control.on_certificate(
      [cert, key, &proxy](const std::string& cert_path, const std::string& key_path) {
        cert->follow(absolute(cert_path, proxy.user));
        key->follow(absolute(key_path, proxy.user));
      });
  return watches;
}

// Serves until told to stop.
int run_server(Proxy& proxy, Server& server) {
  ProxyControl control(server, proxy.options, proxy.user, proxy.log, proxy.plan.file,
                       place_of(proxy), std::move(proxy.keepsakes), proxy.open);
  auto beside = std::make_unique<admin::AdminThread>();
  Result<std::optional<admin::AdminSocket>> socket = open_admin(proxy, control, *beside);
  if (!socket) return complain(socket.error());
  int stops = 0;
  server.on_readable(proxy.signals.fd(), [&] { on_signal(proxy, server, control, stops); });
  std::vector<std::unique_ptr<FileWatch>> watches = watch_files(proxy, server, control);
  if (Result<void> opened = open_status(proxy, server); !opened) return complain(opened.error());
  beside->start();
  if (Result<void> written = control.write_env_files(proxy.envs); !written) {
    return complain(written.error());
  }
  if (Result<void> said = announce(proxy); !said) return complain(said.error());
  server.on_end([&] {
    // A key store that does not answer cannot be made to; all that is ours is on disk by now.
    const bool finished = control.finish(control_time_max);
    remove_session_sockets(server);
    if (!finished) {
      remove_sockets(proxy);
      std::_Exit(0);
    }
    watches.clear();  // no job is left that would have them follow
    beside.reset();
  });
  server.run();
  return 0;
}

int serve(Proxy& proxy) {
  ServerOptions server;
  server.threads = proxy.options.threads.value_or(proxy.plan.file.threads.value_or(1));
  if (Result<void> loaded = load_sessions(proxy, server); !loaded) return complain(loaded.error());
  if (needs_authority(proxy.plan)) {
    auto authority = make_authority(proxy);
    if (!authority) return complain(authority.error());
    server.ca = *authority;
  }
  if (Result<void> done = listen(proxy, server.threads > 1); !done) return complain(done.error());
  server.listeners = std::move(proxy.listening.sockets);
  server.tls_cert = proxy.plan.tls_cert;
  server.tls_key = proxy.plan.tls_key;
  for (ListenerSetup& listener : server.listeners) listener.tls = !server.tls_cert.empty();
  if (Result<void> done = listen_for_dns(proxy, server); !done) return complain(done.error());
  server.limits = proxy.plan.limits;
  server.no_auth = proxy.plan.no_auth;
  server.socks5 = proxy.plan.socks5;
  server.via = proxy.plan.via;
  if (Result<void> planned = plan_audit(proxy, server); !planned) return complain(planned.error());
  if (proxy.log.says(LogLevel::debug)) {
    server.on_record = [log = proxy.log](const audit::Record& record) { say_decision(log, record); };
  }
  server.version = NONO_VERSION;
  auto envs = session_envs(proxy.plan.file.sessions, server.sessions, place_of(proxy));
  if (!envs) return complain(envs.error());
  proxy.envs = std::move(*envs);
  say_at_start(proxy);
  Result<std::unique_ptr<Server>> made = Server::make(std::move(server));
  if (!made) return complain(made.error());
  const OnExit removed([&] { remove_sockets(proxy); });
  return run_server(proxy, **made);
}

LogLevel level_of(const ProxyOptions& options, const ProxyConfig& file) {
  if (options.log_level) return *options.log_level;
  if (options.common.silent) return LogLevel::error;
  return file.log_level.value_or(LogLevel::info);
}

}  // namespace

int proxy_command(const ProxyOptions& options, const UserContext& user) {
  // Before any thread, so that none of them is where a signal ends the process.
  const Result<Signals> signals = Signals::take({SIGINT, SIGTERM, SIGHUP, SIGQUIT});
  if (!signals) return complain(signals.error());
  harden_process();
  Keepsakes keepsakes;
  Step<ProxyPlan> plan = make_plan(options, user, keepsakes);
  if (!plan) return complain(plan.error().error, plan.error().exit_code);
  const Logger log(level_of(options, plan->file));
  Proxy proxy{options, user, *signals, log, std::move(*plan), std::move(keepsakes), {}, {},
              {},      {},   {},       {}};
  return serve(proxy);
}

}  // namespace nono::cli
