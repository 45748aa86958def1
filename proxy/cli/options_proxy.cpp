// The command line of `nono proxy`.

#include "config/listen.hpp"
#include "config/units.hpp"
#include "proxy/cli/help.hpp"
#include "proxy/cli/options_parser.hpp"

namespace nono::cli {

namespace {

// The flags of `proxy` that `run` does not have.
struct ProxyFlags {
  std::string token, config, ca_cert, ca_key, tls_cert, tls_key;
  std::string metrics_listen, admin_socket, drain_time, log_level, audit_rotate;
  std::uint16_t port = 0;
  std::size_t connections_max = 0;
  unsigned threads = 0, audit_keep = 0, connects_per_second = 0;
  EnvFileFlags env_file;
  SessionLimitFlags limits{0, 0, "--max-connections-per-session",
                           "--max-connects-per-second-per-session"};

  void add(CLI::App& app, ProxyOptions& options);
  std::optional<UsageError> finish(CLI::App& app, const EnvLookup& env,
                                   ProxyOptions& options) const;

 private:
  void add_listening(CLI::App& app, ProxyOptions& options);
  void add_access(CLI::App& app, ProxyOptions& options);
  void add_limits(CLI::App& app);
  void add_life(CLI::App& app, ProxyOptions& options);
  void copy_given(const CLI::App& app, ProxyOptions& options) const;
  std::optional<UsageError> finish_token(const CLI::App& app, const EnvLookup& env,
                                         ProxyOptions& options) const;
  std::optional<UsageError> finish_life(const EnvLookup& env, ProxyOptions& options) const;
};

void ProxyFlags::add_listening(CLI::App& app, ProxyOptions& options) {
  const std::string group = "Listening";
  app.add_option("--listen", options.listen,
                 "WHERE: ADDR, ADDR:PORT, [V6]:PORT or unix:PATH (repeatable; default 127.0.0.1)")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--port", port, "PORT: for --listen without one; default: any free one")
      ->group(group);
  app.add_option("--tls-cert", tls_cert,
                 "FILE: PEM certificate chain; clients then speak TLS to the proxy")
      ->group(group);
  app.add_option("--tls-key", tls_key, "FILE: its PEM key")->group(group);
  app.add_flag("--insecure-listen", options.insecure_listen,
               "Listen off loopback although tokens and requests then cross the network in clear")
      ->group(group);
  app.add_flag("--no-socks5", options.no_socks5, "HTTP only: answer no SOCKS5 client")
      ->group(group);
  app.add_option("--dns-listen", options.dns_listen,
                 "ADDR[:PORT]: answer DNS queries for allowed names there, on UDP and TCP "
                 "(repeatable; port 53)")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--threads", threads, "N: threads that serve (default 1)")
      ->check(CLI::Range(1, 256))
      ->group(group);
  app.add_option("--config", config, "FILE: a nono.yaml; flags come on top of it")->group(group);
}

void ProxyFlags::add_access(CLI::App& app, ProxyOptions& options) {
  const std::string group = "Access";
  app.add_flag("--no-auth", options.no_auth, "Ask no token, on loopback only")->group(group);
  app.add_option("--pass", token,
                 "TOKEN: instead of a random one (better: the variable NONO_PROXY_TOKEN)")
      ->group(group);
  app.add_flag("--print-token", options.print_token, "Print the token on stdout")->group(group);
  env_file.add(app, group);
  app.add_option(
         "--admin-socket", admin_socket,
         "PATH: let nono session make, list and end sessions through this Unix socket (0600)")
      ->group(group);
  app.add_flag("--no-admin", options.no_admin, "No admin socket, whatever nono.yaml says")
      ->group(group);
}

void ProxyFlags::add_limits(CLI::App& app) {
  const std::string group = "Limits";
  app.add_option("--max-connections", connections_max,
                 "N: clients at once, 0 for no bound (default 256)")
      ->group(group);
  app.add_option("--max-connects-per-second", connects_per_second,
                 "N: new connections in a second, of all sessions together; 429 beyond")
      ->check(CLI::Range(1U, 1'000'000U))
      ->group(group);
  limits.add(app, group);
}

void ProxyFlags::add_life(CLI::App& app, ProxyOptions& options) {
  const std::string group = "Operation";
  app.add_option("--drain-time", drain_time,
                 "TIME: how long SIGTERM lets connections finish, such as 30s (default 10s)")
      ->group(group);
  app.add_flag("--reload-cut", options.reload_cut,
               "A reload also ends the connections that began under the old rules")
      ->group(group);
  app.add_option("--metrics-listen", metrics_listen,
                 "ADDR:PORT: serve /metrics, /healthz and /readyz there")
      ->group(group);
  app.add_option("--log-level", log_level, "LEVEL: error, warn, info or debug")
      ->check(CLI::IsMember({"error", "warn", "info", "debug"}))
      ->group(group);
  app.add_flag("--via", options.via, "Add a Via field to what is forwarded")->group(group);
}

void ProxyFlags::add(CLI::App& app, ProxyOptions& options) {
  add_listening(app, options);
  add_access(app, options);
  add_limits(app);
  add_life(app, options);
  app.add_option("--proxy-ca-cert", ca_cert,
                 "FILE: PEM certificate of the CA that signs for intercepted hosts")
      ->group("Credentials");
  app.add_option("--proxy-ca-key", ca_key, "FILE: its PEM key")->group("Credentials");
  app.add_option("--audit-rotate", audit_rotate, "SIZE: start a new file beyond it, such as 64M")
      ->group("Audit");
  app.add_option("--audit-keep", audit_keep, "N: how many full files stay")
      ->check(CLI::Range(1U, 10'000U))
      ->group("Audit");
}

void ProxyFlags::copy_given(const CLI::App& app, ProxyOptions& options) const {
  const auto given = [&](const char* name) { return app.get_option(name)->count() > 0; };
  if (given("--port")) options.port = port;
  if (given("--max-connections")) options.connections_max = connections_max;
  if (given("--threads")) options.threads = threads;
  if (given("--max-connects-per-second")) options.connects_per_second_max = connects_per_second;
  if (given("--audit-keep")) options.audit_keep = audit_keep;
  struct Text {
    const std::string& from;
    std::optional<std::string>& to;
  };
  const std::initializer_list<Text> texts{{config, options.config},
                                          {ca_cert, options.ca_cert},
                                          {ca_key, options.ca_key},
                                          {tls_cert, options.tls_cert},
                                          {tls_key, options.tls_key},
                                          {metrics_listen, options.metrics_listen},
                                          {admin_socket, options.admin_socket}};
  for (const Text& text : texts) {
    if (!text.from.empty()) text.to = text.from;
  }
  env_file.finish(options.env_file, options.env_format);
  options.session_limits = limits.finish(app);
}

std::optional<UsageError> ProxyFlags::finish_token(const CLI::App& app, const EnvLookup& env,
                                                   ProxyOptions& options) const {
  const bool given = app.get_option("--pass")->count() > 0;
  if (given) options.token = token;
  for (const char* name : {"NONO_PROXY_TOKEN", "NONO_PROXY_PASS"}) {
    if (options.token) break;
    std::optional<std::string> value = env(name);
    if (value && !value->empty()) options.token = std::move(*value);
  }
  if (options.no_auth && given) return UsageError{"--no-auth and --pass are contradictory"};
  return std::nullopt;
}

// --dns-listen and --metrics-listen: an address, and for metrics a port.
std::optional<UsageError> check_places(const ProxyOptions& options) {
  for (const std::string& text : options.dns_listen) {
    const Result<ListenAddress> place = parse_inet_listen(text, dns_port);
    if (!place) return UsageError{"--dns-listen " + place.error().what};
  }
  if (!options.metrics_listen) return std::nullopt;
  const Result<ListenAddress> place = parse_inet_listen(*options.metrics_listen);
  if (!place) return UsageError{"--metrics-listen " + place.error().what};
  if (!place->port_written) {
    return UsageError{"--metrics-listen " + *options.metrics_listen + ": write the port as well"};
  }
  return std::nullopt;
}

// Values of flags, or of the variables that stand in for them, that need reading.
std::optional<UsageError> ProxyFlags::finish_life(const EnvLookup& env,
                                                  ProxyOptions& options) const {
  const auto value_of = [&](const std::string& flag, const char* variable) {
    return flag.empty() ? env(variable).value_or("") : flag;
  };
  if (const std::string text = value_of(drain_time, "NONO_DRAIN_TIME"); !text.empty()) {
    options.drain_time = parse_duration(text, true);
    if (text == "0" || text == "0s") options.drain_time = std::chrono::milliseconds(0);
    if (!options.drain_time) return UsageError{"--drain-time takes seconds, or 10s, 5m: " + text};
  }
  if (const std::string text = value_of(log_level, "NONO_LOG_LEVEL"); !text.empty()) {
    options.log_level = parse_log_level(text);
    if (!options.log_level) {
      return UsageError{"NONO_LOG_LEVEL takes error, warn, info or debug, not '" + text + "'"};
    }
  }
  if (!audit_rotate.empty()) {
    options.audit_rotate_bytes = parse_size(audit_rotate);
    if (!options.audit_rotate_bytes || *options.audit_rotate_bytes < audit_rotate_bytes_min) {
      return UsageError{"--audit-rotate takes a size of at least 64K, such as 64M or 1G"};
    }
  }
  const auto take = [&](std::optional<std::string>& value, const char* variable) {
    std::optional<std::string> text = env(variable);
    if (!value && text && !text->empty()) value = std::move(text);
  };
  take(options.metrics_listen, "NONO_METRICS_LISTEN");
  if (options.no_admin && options.admin_socket) {
    return UsageError{"--no-admin and --admin-socket are contradictory"};
  }
  if (!options.no_admin) take(options.admin_socket, "NONO_ADMIN_SOCKET");
  return std::nullopt;
}

std::optional<UsageError> ProxyFlags::finish(CLI::App& app, const EnvLookup& env,
                                             ProxyOptions& options) const {
  copy_given(app, options);
  if (options.ca_cert.has_value() != options.ca_key.has_value()) {
    return UsageError{"--proxy-ca-cert and --proxy-ca-key go together"};
  }
  if (options.tls_cert.has_value() != options.tls_key.has_value()) {
    return UsageError{"--tls-cert and --tls-key go together"};
  }
  if (options.env_format && !options.env_file && !options.config) {
    return UsageError{"--env-format says how --env-file is written; give --env-file FILE"};
  }
  if (auto wrong = finish_token(app, env, options)) return wrong;
  if (auto wrong = finish_life(env, options)) return wrong;
  if (auto wrong = check_places(options)) return wrong;
  if (std::optional<std::string> text = env("NONO_PROXY_MAX_CONNECTIONS");
      text && !options.connections_max) {
    std::size_t value = 0;
    if (!CLI::detail::lexical_cast(*text, value)) {
      return UsageError{"NONO_PROXY_MAX_CONNECTIONS is no number"};
    }
    options.connections_max = value;
  }
  return std::nullopt;
}

}  // namespace

CommandLine parse_proxy(const std::vector<std::string>& arguments, const EnvLookup& env) {
  ProxyOptions options;
  PolicyFlags flags;
  ProxyFlags own;
  const auto app = make_app("proxy", "[FLAGS]",
                            "Runs the filtering and key-holding proxy on its own, until SIGTERM.",
                            proxy_examples());
  own.add(*app, options);
  flags.add_network(*app);
  flags.add_credentials(*app);
  flags.add_ca(*app);
  flags.add_profile(*app);
  flags.add_audit(*app);
  add_common(*app, options.common);

  std::vector<std::string> rest;
  if (auto ended = parse(*app, arguments, rest)) return *ended;
  if (!rest.empty()) return unknown_word(*app, rest.front());
  if (std::optional<UsageError> wrong = own.finish(*app, env, options)) return *wrong;
  flags.read_environment(env, PolicyFlags::For::proxy);
  Result<PolicyOptions> policy = flags.finish(options.common.notes);
  if (!policy) return UsageError{policy.error().what};
  options.policy = std::move(*policy);
  return options;
}

}  // namespace nono::cli
