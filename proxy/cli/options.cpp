#include "proxy/cli/options.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <memory>
#include <sstream>

#include "config/suggest.hpp"
#include "proxy/cli/help.hpp"
#include "proxy/cli/policy_flags.hpp"

namespace nono::cli {

namespace {

// CLI11's help in our own form: the usage line as written, "--flag VALUE", texts wrapped.
class HelpFormatter final : public CLI::Formatter {
 public:
  explicit HelpFormatter(std::string usage) : usage_(std::move(usage)) {}
  std::string make_usage(const CLI::App*, std::string) const override { return usage_ + "\n"; }
  std::string make_option(const CLI::Option* option, bool) const override;

 private:
  std::string usage_;
};

// A help text that begins with "VALUE: " names the value there.
std::string HelpFormatter::make_option(const CLI::Option* option, bool) const {
  constexpr std::size_t indent = 30, width = 98;
  std::string text = option->get_description();
  std::string left = "  " + option->get_name(false, true);
  if (option->get_items_expected_max() > 0) {
    const std::size_t colon = text.find(": ");
    const bool named =
        colon != std::string::npos && text.find_first_of("abcdefghijklmnopqrstuvwxyz") > colon;
    left += " " + (named ? text.substr(0, colon) : "VALUE");
    if (named) text.erase(0, colon + 2);
  }
  std::string help = left;
  std::size_t column = left.size();
  if (column + 2 > indent) {
    help += "\n";
    column = 0;
  }
  help.append(indent - column, ' ');
  column = indent;
  std::istringstream words(text);
  for (std::string word; words >> word; column += word.size() + 1) {
    if (column + word.size() > width) {
      help += "\n" + std::string(indent, ' ');
      column = indent;
    }
    help += (column > indent ? " " : "") + word;
  }
  return help + "\n";
}

// One command's parser. CLI11's own subcommands are not used: the first word picks the command, so
// that only its flags are built.
std::unique_ptr<CLI::App> make_app(const std::string& name, const std::string& usage,
                                   const std::string& description, std::string_view examples) {
  auto app = std::make_unique<CLI::App>(description, "nono " + name);
  app->allow_extras();  // what is left over is judged by unknown_word()
  app->set_help_flag("-h,--help", "This text");
  app->formatter(std::make_shared<HelpFormatter>("Usage: nono " + name + " " + usage));
  app->footer(std::string(examples));
  return app;
}

void add_common(CLI::App& app, CommonOptions& common) {
  app.add_flag("-s,--silent", common.silent,
               "No banner, footer, warnings or questions; errors only");
  app.add_flag("-v,--verbose", common.verbose, "More of what was decided");
}

// CLI11 would take the following argument as the value of `--flag=`.
std::optional<UsageError> empty_value(const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    if (argument == "--") break;
    if (argument.starts_with("--") && argument.size() > 3 && argument.ends_with('=') &&
        argument.find('=') + 1 == argument.size()) {
      return UsageError{argument.substr(0, argument.size() - 1) + " needs a value"};
    }
  }
  return std::nullopt;
}

std::vector<std::string> long_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// What to say about a word that is neither a flag nor allowed here.
UsageError unknown_word(const CLI::App& app, const std::string& word) {
  if (!word.starts_with('-')) {
    return UsageError{"unexpected argument '" + word + "'; see " + app.get_name() + " --help"};
  }
  const std::string flag = word.substr(0, word.find('='));
  const std::optional<std::string> near = nearest(flag, long_names(app));
  return UsageError{
      "unknown flag " + flag +
      (near ? "; did you mean " + *near + "?" : "; see " + app.get_name() + " --help")};
}

// Runs CLI11. Leaves leftover words in `rest`; nothing returned means that parsing went well.
std::optional<CommandLine> parse(CLI::App& app, const std::vector<std::string>& arguments,
                                 std::vector<std::string>& rest) {
  if (std::optional<UsageError> empty = empty_value(arguments)) return *empty;
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    return Information{app.help()};
  } catch (const CLI::ParseError& error) {
    return UsageError{std::string(error.what()) + "; see " + app.get_name() + " --help"};
  }
  rest = app.remaining();
  return std::nullopt;
}

CommandLine parse_run(const std::vector<std::string>& arguments, const EnvLookup& env) {
  RunOptions options;
  PolicyFlags flags;
  const auto app =
      make_app("run", "[FLAGS] -- COMMAND [ARGUMENTS]",
               "Runs a command in a sandbox whose only way out is the proxy.", run_examples());
  app->prefix_command();
  flags.add_files(*app);
  app->add_flag(
         "--allow-cwd", options.allow_cwd,
         "Grant the current directory without asking, as the profile's workdir says (else read "
         "and write)")
      ->group("Files");
  flags.add_network(*app);
  flags.add_block_net(*app);
  app->add_option("--proxy-port", flags.proxy_port, "PORT: of the proxy inside the sandbox")
      ->group("Network");
  flags.add_credentials(*app);
  flags.add_environment(*app);
  flags.add_profile(*app);
  flags.add_audit(*app);
  app->add_flag("--dry-run", options.dry_run, "Print what would be applied and run nothing")
      ->group("Other");
  add_common(*app, options.common);

  std::vector<std::string> rest;
  if (auto ended = parse(*app, arguments, rest)) return *ended;
  if (!rest.empty() && rest.front() == "--") {
    rest.erase(rest.begin());
  } else if (!rest.empty() && rest.front().starts_with('-')) {
    return unknown_word(*app, rest.front());
  }
  if (rest.empty()) return UsageError{"no command given; nono run [FLAGS] -- COMMAND"};
  options.command = std::move(rest);
  flags.read_environment(env, true);
  Result<PolicyOptions> policy = flags.finish(options.common.notes);
  if (!policy) return UsageError{policy.error().what};
  options.policy = std::move(*policy);
  return options;
}

// The flags of `proxy` that `run` does not have.
struct ProxyFlags {
  std::string token, config, ca_cert, ca_key, env_file, env_format;
  std::uint16_t port = 0;
  std::size_t connections_max = 0;
  unsigned threads = 0;

  void add(CLI::App& app, ProxyOptions& options);
  std::optional<UsageError> finish(CLI::App& app, const EnvLookup& env,
                                   ProxyOptions& options) const;
};

void ProxyFlags::add(CLI::App& app, ProxyOptions& options) {
  const std::string group = "Listening";
  app.add_option("--listen", options.listen,
                 "WHERE: ADDR, ADDR:PORT, [V6]:PORT or unix:PATH (repeatable; default 127.0.0.1)")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--port", port, "PORT: for --listen without one; default: any free one")
      ->group(group);
  app.add_flag("--insecure-listen", options.insecure_listen,
               "Listen off loopback although tokens and requests then cross the network in clear")
      ->group(group);
  app.add_option("--max-connections", connections_max,
                 "N: clients at once, 0 for no bound (default 256)")
      ->group(group);
  app.add_option("--threads", threads, "N: threads that serve (default 1)")
      ->check(CLI::Range(1, 256))
      ->group(group);
  app.add_option("--config", config, "FILE: a nono.yaml; flags come on top of it")->group(group);

  const std::string access = "Access";
  app.add_flag("--no-auth", options.no_auth, "Ask no token, on loopback only")->group(access);
  app.add_option("--pass", token,
                 "TOKEN: instead of a random one (better: the variable NONO_PROXY_TOKEN)")
      ->group(access);
  app.add_flag("--print-token", options.print_token, "Print the token on stdout")->group(access);
  app.add_option("--env-file", env_file, "FILE: write the variables that clients need to it")
      ->group(access);
  app.add_option("--env-format", env_format, "FORMAT: shell (default), github or json")
      ->check(CLI::IsMember({"shell", "github", "json"}))
      ->group(access);
}

std::optional<UsageError> ProxyFlags::finish(CLI::App& app, const EnvLookup& env,
                                             ProxyOptions& options) const {
  const auto given = [&](const char* name) { return app.get_option(name)->count() > 0; };
  if (given("--port")) options.port = port;
  if (given("--max-connections")) options.connections_max = connections_max;
  if (given("--threads")) options.threads = threads;
  if (given("--config")) options.config = config;
  if (given("--proxy-ca-cert")) options.ca_cert = ca_cert;
  if (given("--proxy-ca-key")) options.ca_key = ca_key;
  if (given("--env-file")) options.env_file = env_file;
  if (env_format == "shell") options.env_format = EnvFileFormat::shell;
  if (env_format == "github") options.env_format = EnvFileFormat::github;
  if (env_format == "json") options.env_format = EnvFileFormat::json;
  if (options.ca_cert.has_value() != options.ca_key.has_value()) {
    return UsageError{"--proxy-ca-cert and --proxy-ca-key go together"};
  }
  if (options.env_format && !options.env_file && !options.config) {
    return UsageError{"--env-format says how --env-file is written; give --env-file FILE"};
  }
  if (given("--pass")) options.token = token;
  for (const char* name : {"NONO_PROXY_TOKEN", "NONO_PROXY_PASS"}) {
    if (options.token) break;
    std::optional<std::string> value = env(name);
    if (value && !value->empty()) options.token = std::move(*value);
  }
  if (options.no_auth && given("--pass"))
    return UsageError{"--no-auth and --pass are contradictory"};
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
  app->add_option("--proxy-ca-cert", own.ca_cert,
                  "FILE: PEM certificate of the CA that signs for intercepted hosts")
      ->group("Credentials");
  app->add_option("--proxy-ca-key", own.ca_key, "FILE: its PEM key")->group("Credentials");
  flags.add_profile(*app);
  flags.add_audit(*app);
  add_common(*app, options.common);

  std::vector<std::string> rest;
  if (auto ended = parse(*app, arguments, rest)) return *ended;
  if (!rest.empty()) return unknown_word(*app, rest.front());
  if (std::optional<UsageError> wrong = own.finish(*app, env, options)) return *wrong;
  flags.read_environment(env, false);
  Result<PolicyOptions> policy = flags.finish(options.common.notes);
  if (!policy) return UsageError{policy.error().what};
  options.policy = std::move(*policy);
  return options;
}

CommandLine parse_key(const std::vector<std::string>& arguments) {
  KeyOptions options;
  const auto app =
      make_app("key", "set NAME [--stdin] | list | remove NAME",
               "Stores, lists and removes keys in the system keyring.", key_examples());
  app->add_flag("--stdin", options.from_stdin,
                "set: read the key from standard input without asking");
  add_common(*app, options.common);
  std::vector<std::string> rest;
  if (auto ended = parse(*app, arguments, rest)) return *ended;
  rest.erase(std::remove(rest.begin(), rest.end(), "--"), rest.end());
  for (const std::string& word : rest) {
    if (word.starts_with('-')) return unknown_word(*app, word);
  }
  const std::vector<std::string> actions{"set", "list", "remove"};
  if (rest.empty()) return UsageError{"nono key needs one of: set NAME, list, remove NAME"};
  const auto found = std::find(actions.begin(), actions.end(), rest.front());
  if (found == actions.end()) {
    return UsageError{"unknown action 'key " + rest.front() + "'" +
                      suggestion(rest.front(), actions)};
  }
  options.action = static_cast<KeyOptions::Action>(found - actions.begin());
  const bool named = options.action != KeyOptions::Action::list;
  if (rest.size() != (named ? 2U : 1U)) {
    return UsageError{named ? "nono key " + *found + " takes one NAME, as in: nono key " + *found +
                                  " openai"
                            : "nono key list takes no arguments"};
  }
  if (options.from_stdin && options.action != KeyOptions::Action::set) {
    return UsageError{"--stdin belongs to nono key set"};
  }
  if (named) options.name = rest[1];
  return options;
}

CommandLine parse_setup(const std::vector<std::string>& arguments) {
  SetupOptions options;
  bool check_only = false;
  const auto app =
      make_app("setup", "--check-only [--json]", "Tries out what this machine can enforce.", "");
  app->add_flag("--check-only", check_only,
                "Do the real thing in a child process and say what holds");
  app->add_flag("--json", options.json, "The result as JSON");
  add_common(*app, options.common);
  std::vector<std::string> rest;
  if (auto ended = parse(*app, arguments, rest)) return *ended;
  if (!rest.empty()) return unknown_word(*app, rest.front());
  if (!check_only) return UsageError{"nono setup changes nothing yet; use nono setup --check-only"};
  return options;
}

}  // namespace

CommandLine parse_command_line(const std::vector<std::string>& arguments, const EnvLookup& env) {
  // Flags in front of the command belong to it.
  std::size_t at = 0;
  std::vector<std::string> own;
  for (; at < arguments.size() && arguments[at].starts_with('-'); ++at) {
    const std::string& word = arguments[at];
    if (word == "--version" || word == "-V") return Information{"nono " NONO_VERSION "\n"};
    if (word == "--help" || word == "-h") return Information{overview_text()};
    if (word != "-s" && word != "--silent" && word != "-v" && word != "--verbose") {
      const std::vector<std::string> known{"--silent", "--verbose", "--version", "--help"};
      const std::optional<std::string> near = nearest(word, known);
      return UsageError{"unknown flag " + word + (near ? "; did you mean " + *near + "?" : "") +
                        " (flags of a command come after it: nono run " + word + ")"};
    }
    own.push_back(word);
  }
  if (at == arguments.size()) return UsageError{"no command given; see nono --help"};
  const std::string& command = arguments[at];
  own.insert(own.end(), arguments.begin() + static_cast<std::ptrdiff_t>(at) + 1, arguments.end());
  if (command == "run") return parse_run(own, env);
  if (command == "proxy") return parse_proxy(own, env);
  if (command == "key") return parse_key(own);
  if (command == "setup") return parse_setup(own);
  if (command == "help") return Information{overview_text()};
  return UsageError{"unknown command '" + command + "'" +
                    suggestion(command, {"run", "proxy", "key", "setup"})};
}

}  // namespace nono::cli
