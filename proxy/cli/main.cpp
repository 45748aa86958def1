// nono: reads the command line and hands over to the command.

#include <cstdlib>
#include <exception>
#include <utility>

#include "proxy/cli/commands.hpp"
#include "proxy/cli/console.hpp"
#include "proxy/cli/foresight.hpp"

namespace nono::cli {

namespace {

// Calls what `command` asks for, with the user it needs.
template <class Command, class Options>
int with_user(const Command& command, const Options& options) {
  const Result<UserContext> user = current_user_context();
  if (!user) return complain(user.error());
  for (const std::string& note : options.common.notes) warn(options.common, note);
  return command(options, *user);
}

int dispatch(const CommandLine& line, sandbox::Ahead ahead) {
  if (const auto* wrong = std::get_if<UsageError>(&line))
    return complain(wrong->message, exit_usage);
  if (const auto* run = std::get_if<RunOptions>(&line)) {
    const auto command = [&](const RunOptions& options, const UserContext& user) {
      return run_command(options, user, std::move(ahead));
    };
    return with_user(command, *run);
  }
  if (const auto* proxy = std::get_if<ProxyOptions>(&line)) return with_user(proxy_command, *proxy);
  if (const auto* key = std::get_if<KeyOptions>(&line)) return with_user(key_command, *key);
  if (const auto* setup = std::get_if<SetupOptions>(&line)) return with_user(setup_command, *setup);
  if (const auto* session = std::get_if<SessionOptions>(&line))
    return with_user(session_command, *session);
  if (const auto* audit = std::get_if<AuditOptions>(&line)) return with_user(audit_command, *audit);
  print_out(std::get<Information>(line).text);
  return 0;
}

}  // namespace

}  // namespace nono::cli

int main(int argc, char** argv) {
  using namespace nono;
  const EnvLookup environment = [](std::string_view name) -> std::optional<std::string> {
    const char* value = std::getenv(std::string(name).c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
  try {
    const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
    sandbox::Ahead ahead;
    if (cli::looks_like_proxied_run(arguments)) ahead = sandbox::Ahead::begin();
    return cli::dispatch(cli::parse_command_line(arguments, environment), std::move(ahead));
  } catch (const std::exception& error) {  // start-up may throw: out of memory, a broken locale
    return cli::complain(error.what());
  }
}
