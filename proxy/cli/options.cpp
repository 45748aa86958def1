#include "proxy/cli/options.hpp"

#include <algorithm>

#include "config/suggest.hpp"
#include "proxy/cli/help.hpp"
#include "proxy/cli/options_backend.hpp"
#include "proxy/cli/options_parser.hpp"
#include "proxy/cli/options_resources.hpp"

namespace nono::cli {

namespace {

std::optional<UsageError> read_all_ports(const std::string& word, sandbox::AllPorts& out) {
  if (word == "auto") out = sandbox::AllPorts::automatic;
  if (word == "on" || word == "true") out = sandbox::AllPorts::required;
  if (word == "off" || word == "false") out = sandbox::AllPorts::off;
  const bool known =
      word == "auto" || word == "on" || word == "off" || word == "true" || word == "false";
  if (known) return std::nullopt;
  return UsageError{"--capture-all-ports takes auto, on or off, not '" + word + "'"};
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
  app->set_aside();
  flags.add_network(*app);
  flags.add_block_net(*app);
  app->add_option("--proxy-port", flags.proxy_port, "PORT: of the proxy inside the sandbox")
      ->group("Network");
  app->set_aside();
  flags.add_ports(*app);
  std::string all_ports = "auto";
  app->add_flag("--capture-all-ports{on}", all_ports,
                "[=auto|on|off]: catch connections of programs without proxy settings on every "
                "port, or on those that rules name (default: on every port where the kernel can)")
      ->group("Network");
  app->set_aside();
  BackendFlags backend;
  backend.add(*app);
  ResourceFlags resources;
  resources.add(*app);
  app->set_aside();
  flags.add_credentials(*app);
  flags.add_ca(*app);
  app->set_aside();
  flags.add_environment(*app);
  app->set_aside();
  flags.add_profile(*app);
  flags.add_audit(*app);
  app->add_flag("--diagnose", options.diagnose,
                "Name after the run the files that were wanted and not granted; slower")
      ->group("Other");
  app->add_flag("--diagnostics-json", options.diagnostics_json,
                "What was refused as a line of JSON on stderr, also when nothing was")
      ->group("Other");
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
  if (auto wrong = read_all_ports(all_ports, options.capture_all_ports)) return *wrong;
  if (auto wrong = backend.finish(env, options)) return *wrong;
  if (auto wrong = resources.finish(options)) return *wrong;
  flags.read_environment(env, PolicyFlags::For::run);
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
  const std::vector<std::string> actions{"set", "list", "remove"};
  if (rest.empty()) return UsageError{"nono key needs one of: set NAME, list, remove NAME"};
  std::size_t action = 0;
  if (auto wrong = take_action(*app, rest, actions, action)) return *wrong;
  options.action = static_cast<KeyOptions::Action>(action);
  const bool named = options.action != KeyOptions::Action::list;
  if (rest.size() != (named ? 1U : 0U)) {
    return UsageError{named ? "nono key " + actions[action] + " takes one NAME, as in: nono key " +
                                  actions[action] + " openai"
                            : "nono key list takes no arguments"};
  }
  if (options.from_stdin && options.action != KeyOptions::Action::set) {
    return UsageError{"--stdin belongs to nono key set"};
  }
  if (named) options.name = rest[0];
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
  if (command == "session") return parse_session(own, env);
  if (command == "audit") return parse_audit(own);
  if (command == "help") return Information{overview_text()};
  return UsageError{"unknown command '" + command + "'" +
                    suggestion(command, {"run", "proxy", "key", "setup", "session", "audit"})};
}

}  // namespace nono::cli
