#pragma once
// What the parsers of all commands share. Internal to options*.cpp: only they see CLI11.

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/cli/options.hpp"
#include "proxy/cli/policy_flags.hpp"

namespace nono::cli {

// One command's parser. CLI11's own subcommands are not used: the first word picks the command, so
// that only its flags are built.
class CommandApp final : public CLI::App {
 public:
  using CLI::App::App;
  // CLI11 compares the names of each new option with those of all before it, and copies both for
  // that. The options so far are left out of it from here on.
  void set_aside();
  // All are there again, in their order. Throws, as CLI11 does, where a name was given twice.
  void take_back();

 private:
  std::vector<CLI::Option_p> aside_;
};
std::unique_ptr<CommandApp> make_app(const std::string& name, const std::string& usage,
                                     const std::string& description, std::string_view examples);

// --silent and --verbose.
void add_common(CLI::App& app, CommonOptions& common);

// What to say about a word that is neither a flag nor allowed here.
UsageError unknown_word(const CLI::App& app, const std::string& word);

// Runs CLI11. Leaves leftover words in `rest`; nothing returned means that parsing went well.
std::optional<CommandLine> parse(CommandApp& app, const std::vector<std::string>& arguments,
                                 std::vector<std::string>& rest);

// The words behind a command that has actions: the first names one of `actions`, the others follow
// it. Fills `index`; an error names what is there.
std::optional<UsageError> take_action(const CLI::App& app, std::vector<std::string>& rest,
                                      const std::vector<std::string>& actions, std::size_t& index);

// --env-file and --env-format, for proxy and session create.
struct EnvFileFlags {
  std::string file, format;
  void add(CLI::App& app, const std::string& group);
  void finish(std::optional<std::string>& to_file, std::optional<EnvFileFormat>& to_format) const;
};

// The bounds of one session; the flags' names differ between proxy and session create.
struct SessionLimitFlags {
  std::size_t connections = 0;
  unsigned connects = 0;
  const char* connections_flag;
  const char* connects_flag;
  void add(CLI::App& app, const std::string& group);
  SessionLimits finish(const CLI::App& app) const;
};

// Each parses what stands behind its command.
CommandLine parse_proxy(const std::vector<std::string>& arguments, const EnvLookup& env);
CommandLine parse_session(const std::vector<std::string>& arguments, const EnvLookup& env);
CommandLine parse_audit(const std::vector<std::string>& arguments);

}  // namespace nono::cli
