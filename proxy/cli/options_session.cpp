// The command lines of `nono session` and `nono audit`.

#include "config/listen.hpp"
#include "config/units.hpp"
#include "proxy/cli/help.hpp"
#include "proxy/cli/options_parser.hpp"

namespace nono::cli {

namespace {

// Flags of `session`; all but --admin-socket and --json belong to `create`.
struct SessionFlags {
  std::string name, ttl, admin_socket;
  EnvFileFlags env_file;
  SessionLimitFlags limits{0, 0, "--max-connections", "--max-connects-per-second"};

  void add(CLI::App& app, SessionOptions& options);
  std::optional<UsageError> finish(const CLI::App& app, const EnvLookup& env,
                                   const std::vector<std::string>& words,
                                   SessionOptions& options) const;

 private:
  std::optional<UsageError> finish_create(const CLI::App& app,
                                          const std::vector<std::string>& words,
                                          SessionOptions& options) const;
};

void SessionFlags::add(CLI::App& app, SessionOptions& options) {
  const std::string group = "Session";
  app.add_option("--admin-socket", admin_socket, "PATH: of the proxy (default: the usual place)")
      ->group(group);
  app.add_flag("--json", options.json, "Answer as JSON")->group(group);
  app.add_option("--name", name, "NAME: in lists and audit lines (default: made up)")->group(group);
  app.add_option("--ttl", ttl, "TIME: it ends after that, such as 8h (default: never)")
      ->group(group);
  app.add_option("--listen", options.listen,
                 "WHERE: a listener of its own that asks no token: ADDR, ADDR:PORT or unix:PATH "
                 "(repeatable)")
      ->allow_extra_args(false)
      ->group(group);
  app.add_flag("--print-token", options.print_token, "Print the token on stdout")->group(group);
  env_file.add(app, group);
  limits.add(app, "Limits");
}

std::optional<UsageError> SessionFlags::finish_create(const CLI::App& app,
                                                      const std::vector<std::string>& words,
                                                      SessionOptions& options) const {
  if (!words.empty()) {
    return UsageError{"unexpected argument '" + words.front() + "'; write --name " + words.front()};
  }
  if (!name.empty() && !is_session_name(name)) {
    return UsageError{"--name takes 1 to 64 letters, digits, '-', '_' and '.', not '" + name + "'"};
  }
  options.name = name;
  if (!ttl.empty()) {
    options.ttl = parse_duration(ttl);
    if (!options.ttl || *options.ttl < session_ttl_min || *options.ttl > session_ttl_max) {
      return UsageError{"--ttl takes 1s to 366d, such as 8h, not '" + ttl + "'"};
    }
  }
  for (const std::string& text : options.listen) {
    const Result<ListenAddress> place = parse_listen_address(text);
    if (!place) return UsageError{"--listen " + place.error().what};
  }
  env_file.finish(options.env_file, options.env_format);
  if (options.env_format && !options.env_file) {
    return UsageError{"--env-format says how --env-file is written; give --env-file FILE"};
  }
  options.limits = limits.finish(app);
  return std::nullopt;
}

std::optional<UsageError> SessionFlags::finish(const CLI::App& app, const EnvLookup& env,
                                               const std::vector<std::string>& words,
                                               SessionOptions& options) const {
  if (!admin_socket.empty()) options.admin_socket = admin_socket;
  if (std::optional<std::string> value = env("NONO_ADMIN_SOCKET");
      value && !value->empty() && !options.admin_socket) {
    options.admin_socket = std::move(value);
  }
  if (options.action == SessionOptions::Action::create) return finish_create(app, words, options);

  for (const CLI::Option* option : app.get_options()) {
    const std::string flag = option->get_name();
    const bool common =
        flag == "--admin-socket" || flag == "--json" || flag == "--silent" || flag == "--verbose";
    if (option->count() > 0 && !common) return UsageError{flag + " belongs to nono session create"};
  }
  const bool revoke = options.action == SessionOptions::Action::revoke;
  if (words.size() != (revoke ? 1U : 0U)) {
    return UsageError{revoke ? "nono session revoke takes one NAME, as in: nono session revoke ci-7"
                             : "nono session list takes no arguments"};
  }
  if (revoke && !is_session_name(words.front())) {
    return UsageError{"'" + words.front() + "' is no session's name"};
  }
  if (revoke) options.name = words.front();
  return std::nullopt;
}

}  // namespace

CommandLine parse_session(const std::vector<std::string>& arguments, const EnvLookup& env) {
  SessionOptions options;
  PolicyFlags policy_flags;
  SessionFlags own;
  const auto app = make_app("session", "create [FLAGS] | list | revoke NAME",
                            "Makes, lists and ends sessions of a running proxy: each has a token, "
                            "rules and keys of its own.",
                            session_examples());
  own.add(*app, options);
  policy_flags.add_network(*app);
  policy_flags.add_credentials(*app);
  policy_flags.add_profile(*app);
  add_common(*app, options.common);

  std::vector<std::string> words;
  if (auto ended = parse(*app, arguments, words)) return *ended;
  std::size_t action = 0;
  if (auto wrong = take_action(*app, words, {"create", "list", "revoke"}, action)) return *wrong;
  options.action = static_cast<SessionOptions::Action>(action);
  if (auto wrong = own.finish(*app, env, words, options)) return *wrong;
  if (options.action != SessionOptions::Action::create) return options;
  policy_flags.read_environment(env, PolicyFlags::For::session);
  Result<PolicyOptions> policy = policy_flags.finish(options.common.notes);
  if (!policy) return UsageError{policy.error().what};
  options.policy = std::move(*policy);
  return options;
}

CommandLine parse_audit(const std::vector<std::string>& arguments) {
  AuditOptions options;
  std::string format;
  const auto app =
      make_app("audit", "verify FILE... | hosts FILE...",
               "Checks audit logs, and reads from them what a job needed.", audit_examples());
  app->add_flag("--json", options.json, "verify: the result as JSON");
  app->add_option("--format", format, "FORMAT: hosts: flags (default), yaml or json")
      ->check(CLI::IsMember({"flags", "yaml", "json"}));
  app->add_flag("--refused", options.refused, "hosts: show what was refused as well");
  add_common(*app, options.common);

  std::vector<std::string> words;
  if (auto ended = parse(*app, arguments, words)) return *ended;
  std::size_t action = 0;
  if (auto wrong = take_action(*app, words, {"verify", "hosts"}, action)) return *wrong;
  options.action = static_cast<AuditOptions::Action>(action);
  const bool verify = options.action == AuditOptions::Action::verify;
  if (verify && !format.empty()) return UsageError{"--format belongs to nono audit hosts"};
  if (verify && options.refused) return UsageError{"--refused belongs to nono audit hosts"};
  if (!verify && options.json) return UsageError{"nono audit hosts takes --format json"};
  if (words.empty()) {
    return UsageError{verify ? "nono audit verify takes the files to check, oldest first"
                             : "nono audit hosts takes the files to read"};
  }
  options.files = std::move(words);
  if (format == "yaml") options.format = AuditOptions::Format::yaml;
  if (format == "json") options.format = AuditOptions::Format::json;
  return options;
}

}  // namespace nono::cli
