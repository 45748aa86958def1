// nono proxy: the proxy on its own, until SIGTERM.

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <limits>

#include "config/base/on_exit.hpp"
#include "config/proxy_config.hpp"
#include "config/resolve.hpp"
#include "keystore/sources.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/console.hpp"
#include "proxy/cli/credentials.hpp"
#include "proxy/cli/env_file.hpp"
#include "proxy/cli/listen_address.hpp"
#include "proxy/cli/notify.hpp"
#include "proxy/cli/private_directory.hpp"
#include "proxy/cli/process.hpp"
#include "proxy/cli/session_settings.hpp"
#include "proxy/cli/signals.hpp"
#include "proxy/intercept/bundle.hpp"
#include "proxy/intercept/ca.hpp"

namespace nono::cli {

namespace {

constexpr std::size_t connections_default = 256;
constexpr std::chrono::milliseconds drain_time(10'000);

// A failure with its exit code; what every step of start-up returns.
struct Failure {
  Error error;
  int exit_code = exit_error;
};
template <class T>
using Step = tl::expected<T, Failure>;
tl::unexpected<Failure> failed(Error error) {
  return tl::unexpected<Failure>(Failure{std::move(error), exit_error});
}
tl::unexpected<Failure> misused(std::string what) {
  return tl::unexpected<Failure>(
      Failure{Error{Side::self, ErrorCode::bad_input, std::move(what), {}}, exit_usage});
}

// nono.yaml and the flags put together: what is written on the command line wins.
struct ProxyPlan {
  ProxyConfig file;
  SessionConfig session;
  std::vector<ListenAddress> listen;
  bool no_auth = false;
  std::string token;
  bool token_preset = false;
  std::vector<PlannedCredential> credentials;
  std::optional<PrivateDirectory> directory;
  std::string bundle_path;
};

Step<SessionConfig> decide_session(const ProxyOptions& options, const UserContext& user,
                                   const ProxyConfig& file) {
  Settings settings;
  if (file.profile) {
    Result<Settings> profile = load_profile(*file.profile, user);
    if (!profile) return failed(profile.error());
    merge(settings, std::move(*profile));
  }
  merge(settings, file.session);
  Result<Settings> flags = load_settings(options.policy, user);
  if (!flags) return failed(flags.error());
  merge(settings, std::move(*flags));
  ResolveOptions how;
  how.for_run = false;
  Result<SessionConfig> session = resolve(settings, user, how);
  if (!session) return failed(session.error());
  if (session->network.mode == NetworkMode::open) {
    return misused(
        "nono proxy needs to be told what to allow: --network-profile, --allow-domain, "
        "--credential, "
        "--profile or --config");
  }
  if (Result<void> checked = check_proxy_flags(options.policy, *session); !checked) {
    return failed(checked.error());
  }
  return std::move(*session);
}

Step<std::vector<ListenAddress>> decide_listen(const ProxyOptions& options, const ProxyConfig& file,
                                               bool no_auth) {
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
    if (!address->on_loopback() && !options.insecure_listen) {
      return misused(
          "--listen " + text +
          " is off loopback, where token and requests would cross the network in clear; the "
          "proxy has no TLS of its own yet, so this needs --insecure-listen");
    }
    addresses.push_back(std::move(*address));
  }
  if (options.port && !port_used)
    return misused("--port and only unix: listeners are contradictory");
  return addresses;
}

// The preset token, or a new one. Only characters that need no escaping in a URL.
Step<std::string> decide_token(const ProxyOptions& options, const UserContext& user,
                               const ProxyConfig& file, bool& preset) {
  preset = true;
  std::string token;
  if (options.token) {
    token = *options.token;
  } else if (file.token) {
    Result<std::unique_ptr<keystore::Keystore>> keyring = open_keyring(user.env);
    if (!keyring) return failed(keyring.error());
    Result<keystore::FoundSecret> found = keystore::read_first({*file.token}, **keyring, user.env);
    if (!found) return failed(found.error());
    token = found->secret.expose();
  } else {
    preset = false;
    return make_token();
  }
  const auto plain = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
  };
  if (token.empty() || token.size() > 512 || !std::all_of(token.begin(), token.end(), plain)) {
    return misused("a token is 1 to 512 letters, digits, '-', '.', '_' and '~'");
  }
  return token;
}

Limits limits_of(const ProxyOptions& options, const ProxyLimits& file) {
  Limits limits;
  const auto take = [](auto& limit, const auto& given) {
    if (given) limit = *given;
  };
  take(limits.head_bytes_max, file.head_bytes_max);
  take(limits.fields_max, file.fields_max);
  take(limits.head_time_max, file.head_time_max);
  take(limits.keep_alive_time_max, file.keep_alive_time_max);
  take(limits.resolve_time_max, file.resolve_time_max);
  take(limits.connect_time_max, file.connect_time_max);
  take(limits.tls_time_max, file.tls_time_max);
  take(limits.first_byte_time_max, file.first_byte_time_max);
  take(limits.idle_time_max, file.idle_time_max);
  limits.connections_max = connections_default;
  take(limits.connections_max, file.connections_max);
  take(limits.connections_max, options.connections_max);
  if (limits.connections_max == 0) {
    limits.connections_max = std::numeric_limits<std::size_t>::max();
  }
  return limits;
}

Result<std::shared_ptr<intercept::CertificateAuthority>> make_authority(const ProxyOptions& options,
                                                                        const UserContext& user,
                                                                        ProxyPlan& plan) {
  const std::optional<std::string>& cert = options.ca_cert ? options.ca_cert : plan.file.ca_cert;
  const std::optional<std::string>& key = options.ca_key ? options.ca_key : plan.file.ca_key;
  const unsigned days =
      options.policy.ca_validity_days.value_or(plan.file.ca_validity_days.value_or(1));
  auto authority = cert && key
                       ? intercept::CertificateAuthority::from_pem_files(*cert, *key)
                       : intercept::CertificateAuthority::generate(std::chrono::hours(24) * days);
  if (!authority) return authority;
  Result<PrivateDirectory> directory = PrivateDirectory::make(user.env, user.uid);
  if (!directory) return fail(directory.error());
  plan.directory.emplace(std::move(*directory));
  Result<UniqueFd> file = plan.directory->create("ca-bundle.pem");
  if (!file) return fail(file.error());
  Result<void> written = intercept::write_bundle(*file, **authority, user.env("SSL_CERT_FILE"));
  if (!written) return fail(written.error());
  plan.bundle_path = plan.directory->path() + "/ca-bundle.pem";
  return authority;
}

Step<ProxyPlan> make_plan(const ProxyOptions& options, const UserContext& user) {
  ProxyPlan plan;
  if (options.config) {
    Result<ProxyConfig> file = load_proxy_config(*options.config, user);
    if (!file) return failed(file.error());
    plan.file = std::move(*file);
  }
  plan.no_auth = options.no_auth || (plan.file.no_auth && !options.token);
  Step<SessionConfig> session = decide_session(options, user, plan.file);
  if (!session) return tl::unexpected<Failure>(session.error());
  plan.session = std::move(*session);
  Step<std::vector<ListenAddress>> listen = decide_listen(options, plan.file, plan.no_auth);
  if (!listen) return tl::unexpected<Failure>(listen.error());
  plan.listen = std::move(*listen);
  Step<std::string> token = decide_token(options, user, plan.file, plan.token_preset);
  if (!token) return tl::unexpected<Failure>(token.error());
  plan.token = std::move(*token);
  plan.credentials = plan_credentials(plan.session);
  if (options.policy.ca_validity_days && (options.ca_cert || plan.file.ca_cert)) {
    return misused("--proxy-ca-validity is for a CA made here, not for --proxy-ca-cert");
  }
  if ((options.ca_cert || plan.file.ca_cert) && !needs_interception(plan.session)) {
    return failed(Error{Side::self, ErrorCode::bad_input,
                        "a CA for interception needs something to intercept",
                        "add --credential or a rule https://host/path/**"});
  }
  return plan;
}

void say_at_start(const ProxyOptions& options, const ProxyPlan& plan,
                  const LoadedCredentials& loaded) {
  const CommonOptions& common = options.common;
  for (const std::string& note : plan.file.notes) warn(common, note);
  for (const std::string& warning : plan.session.warnings) warn(common, warning);
  for (const std::string& warning : loaded.warnings) warn(common, warning);
  for (const LoadedCredential& credential : loaded.credentials) {
    if (!credential.secret) warn(common, credential.missing + " (until then its requests get 503)");
  }
  if (plan.no_auth) {
    warn(common,
         "no token is asked for: every program on this machine can use this proxy and its keys");
  }
  const bool handed_out = options.print_token || options.env_file || plan.file.env_file;
  if (!plan.no_auth && !plan.token_preset && !handed_out) {
    warn(common,
         "nobody knows the token: use --env-file or --print-token, or preset it in "
         "NONO_PROXY_TOKEN");
  }
  if (plan.token_preset && plan.token.size() < 16) {
    warn(common,
         "the preset token is short enough to be guessed; openssl rand -hex 32 makes a better one");
  }
  if (common.silent) return;
  print_err("nono: the proxy confines nobody: only programs that use it are filtered\n");
  if (common.verbose > 0 && !plan.bundle_path.empty()) {
    print_err("nono: clients of intercepted hosts need the CA in " + plan.bundle_path + "\n");
  }
}

// The variables file, the token if it was asked for, and the lines that say where.
Result<void> announce(const ProxyOptions& options, const UserContext& user, const ProxyPlan& plan,
                      const Listening& listening) {
  const std::optional<std::string>& file = options.env_file ? options.env_file : plan.file.env_file;
  if (file) {
    if (!listening.authority) {
      return fail(ErrorCode::bad_input,
                  "--env-file needs a TCP listener: no variable names a Unix socket");
    }
    EnvFileFormat format = EnvFileFormat::shell;
    if (plan.file.env_format == "github") format = EnvFileFormat::github;
    if (plan.file.env_format == "json") format = EnvFileFormat::json;
    format = options.env_format.value_or(format);
    ProxyAccess access;
    access.authority = *listening.authority;
    if (!plan.no_auth) access.token = plan.token;
    if (!plan.bundle_path.empty()) access.ca_bundle = plan.bundle_path;
    const Variables variables = proxy_variables(access, plan.credentials);
    if (format == EnvFileFormat::github) {
      // Before the file is written, so that no later line of the job can show them.
      std::string masks = "::add-mask::" + plan.token + "\n";
      for (const PlannedCredential& credential : plan.credentials) {
        masks += "::add-mask::" + credential.phantom + "\n";
      }
      print_out(masks);
    }
    Result<void> written = write_env_file(absolute(*file, user), format, variables);
    if (!written) return written;
  }
  std::string lines;
  if (options.print_token && !plan.no_auth) lines += "token " + plan.token + "\n";
  for (const std::string& place : listening.places)
    lines += "listening on " + printable(place) + "\n";
  print_out(lines);
  notify_systemd("READY=1", user.env);
  return {};
}

void on_signal(const ProxyOptions& options, const Signals& signals, Server& server, int& stops) {
  while (const std::optional<ReceivedSignal> signal = signals.next()) {
    // A terminal that goes away ends us; a HUP that someone sends asks for what is not there yet.
    if (signal->number == SIGHUP && signal->from_process) {
      warn(options.common, "SIGHUP: reloading is not supported yet; restart the proxy instead");
      continue;
    }
    server.stop(stops++ == 0 ? drain_time : std::chrono::milliseconds(0));
  }
}

// A Unix socket's file goes with the proxy.
void remove_sockets(const std::vector<ListenAddress>& addresses) {
  for (const ListenAddress& address : addresses) {
    if (!address.unix_path.empty()) ::unlink(address.unix_path.c_str());
  }
}

int serve(const ProxyOptions& options, const UserContext& user, ProxyPlan& plan,
          const Signals& signals) {
  Result<std::unique_ptr<keystore::Keystore>> keyring = open_keyring(user.env);
  if (!keyring) return complain(keyring.error());
  Result<LoadedCredentials> loaded =
      load_interruptibly(plan.credentials, **keyring, user.env, signals, [] {});
  if (!loaded) return complain(loaded.error());

  ServerOptions server;
  if (needs_interception(plan.session)) {
    auto authority = make_authority(options, user, plan);
    if (!authority) return complain(authority.error());
    server.ca = *authority;
  }
  server.threads = options.threads.value_or(plan.file.threads.value_or(1));
  Result<Listening> listening = open_listeners(plan.listen, server.threads > 1);
  if (!listening) return complain(listening.error());
  const OnExit removed([&] { remove_sockets(plan.listen); });
  say_at_start(options, plan, *loaded);
  SessionSetup& session = server.main.emplace();
  session.config = plan.session;
  session.credentials = std::move(loaded->credentials);
  session.token = Secret(plan.token);
  session.limits = limits_of(options, plan.file.limits);
  server.listeners = std::move(listening->sockets);
  server.limits = session.limits;
  server.no_auth = plan.no_auth;
  const std::optional<std::string>& log =
      options.policy.audit_log ? options.policy.audit_log : plan.file.audit_log;
  server.audit_log = audit_log_path(log, user);
  server.audit_required = options.policy.audit_required || plan.file.audit_required;
  server.audit_rotate_bytes =
      options.audit_rotate_bytes.value_or(plan.file.audit_rotate_bytes.value_or(0));
  server.audit_keep = options.audit_keep.value_or(plan.file.audit_keep.value_or(0));
  if (Result<void> prepared = prepare_audit_log(server.audit_log); !prepared) {
    if (log || server.audit_required) return complain(prepared.error());
    warn(options.common, "nothing is recorded: " + prepared.error().what);
    server.audit_log.clear();
  }

  Result<std::unique_ptr<Server>> made = Server::make(std::move(server));
  if (!made) return complain(made.error());
  int stops = 0;
  (*made)->on_readable(signals.fd(), [&] { on_signal(options, signals, **made, stops); });
  if (Result<void> said = announce(options, user, plan, *listening); !said) {
    return complain(said.error());
  }
  (*made)->run();
  notify_systemd("STOPPING=1", user.env);
  return 0;
}

}  // namespace

int proxy_command(const ProxyOptions& options, const UserContext& user) {
  // Before any thread, so that none of them is where a signal ends the process.
  const Result<Signals> signals = Signals::take({SIGINT, SIGTERM, SIGHUP, SIGQUIT});
  if (!signals) return complain(signals.error());
  harden_process();
  Step<ProxyPlan> plan = make_plan(options, user);
  if (!plan) return complain(plan.error().error, plan.error().exit_code);
  return serve(options, user, *plan, *signals);
}

}  // namespace nono::cli
