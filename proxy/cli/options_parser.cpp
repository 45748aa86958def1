#include "proxy/cli/options_parser.hpp"

#include <algorithm>
#include <iterator>
#include <sstream>

#include "config/suggest.hpp"

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

}  // namespace

void CommandApp::set_aside() {
  std::move(options_.begin(), options_.end(), std::back_inserter(aside_));
  options_.clear();
}

void CommandApp::take_back() {
  set_aside();
  options_.swap(aside_);
  std::vector<std::string_view> names;
  for (const CLI::Option_p& option : options_) {
    names.insert(names.end(), option->get_lnames().begin(), option->get_lnames().end());
    names.insert(names.end(), option->get_snames().begin(), option->get_snames().end());
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) throw CLI::OptionAlreadyAdded(std::string(*twice));
}

std::unique_ptr<CommandApp> make_app(const std::string& name, const std::string& usage,
                                     const std::string& description, std::string_view examples) {
  auto app = std::make_unique<CommandApp>(description, "nono " + name);
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

std::optional<CommandLine> parse(CommandApp& app, const std::vector<std::string>& arguments,
                                 std::vector<std::string>& rest) {
  if (std::optional<UsageError> empty = empty_value(arguments)) return *empty;
  app.take_back();
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

std::optional<UsageError> take_action(const CLI::App& app, std::vector<std::string>& rest,
                                      const std::vector<std::string>& actions, std::size_t& index) {
  rest.erase(std::remove(rest.begin(), rest.end(), "--"), rest.end());
  for (const std::string& word : rest) {
    if (word.starts_with('-')) return unknown_word(app, word);
  }
  const std::string command = app.get_name().substr(std::string_view("nono ").size());
  if (rest.empty()) {
    std::string list;
    for (const std::string& action : actions) list += (list.empty() ? "" : ", ") + action;
    return UsageError{app.get_name() + " needs one of: " + list};
  }
  const auto found = std::find(actions.begin(), actions.end(), rest.front());
  if (found == actions.end()) {
    return UsageError{"unknown action '" + command + " " + rest.front() + "'" +
                      suggestion(rest.front(), actions)};
  }
  index = static_cast<std::size_t>(found - actions.begin());
  rest.erase(rest.begin());
  return std::nullopt;
}

void EnvFileFlags::add(CLI::App& app, const std::string& group) {
  app.add_option("--env-file", file, "FILE: write the variables that clients need to it")
      ->group(group);
  app.add_option("--env-format", format, "FORMAT: shell (default), github or json")
      ->check(CLI::IsMember({"shell", "github", "json"}))
      ->group(group);
}

void EnvFileFlags::finish(std::optional<std::string>& to_file,
                          std::optional<EnvFileFormat>& to_format) const {
  if (!file.empty()) to_file = file;
  if (format == "shell") to_format = EnvFileFormat::shell;
  if (format == "github") to_format = EnvFileFormat::github;
  if (format == "json") to_format = EnvFileFormat::json;
}

void SessionLimitFlags::add(CLI::App& app, const std::string& group) {
  app.add_option(connections_flag, connections, "N: clients of one session at once")
      ->check(CLI::Range(1U, 1'000'000U))
      ->group(group);
  app.add_option(connects_flag, connects,
                 "N: new connections of one session in a second; 429 beyond")
      ->check(CLI::Range(1U, 1'000'000U))
      ->group(group);
}

SessionLimits SessionLimitFlags::finish(const CLI::App& app) const {
  SessionLimits limits;
  if (app.get_option(connections_flag)->count() > 0) limits.connections_max = connections;
  if (app.get_option(connects_flag)->count() > 0) limits.connects_per_second_max = connects;
  return limits;
}

}  // namespace nono::cli
