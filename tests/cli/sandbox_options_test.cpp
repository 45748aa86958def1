// Flags of `run` that only the sandbox knows: Unix sockets, limits.

#include <catch2/catch.hpp>
#include <sstream>

#include "proxy/cli/options.hpp"

using namespace nono;
using namespace nono::cli;

namespace {

CommandLine parse(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> arguments{"run"};
  for (std::string word; stream >> word;) arguments.push_back(word);
  return parse_command_line(arguments, [](std::string_view) { return std::nullopt; });
}

RunOptions run(const std::string& text) {
  const CommandLine line = parse(text);
  if (const auto* wrong = std::get_if<UsageError>(&line)) FAIL(wrong->message);
  return std::get<RunOptions>(line);
}

std::string usage_error(const std::string& text) {
  const CommandLine line = parse(text);
  const auto* wrong = std::get_if<UsageError>(&line);
  return wrong == nullptr ? "no error" : wrong->message;
}

}  // namespace

TEST_CASE("Unix sockets are asked for by path, or for the command alone") {
  CHECK_FALSE(run("-- true").policy.settings.unix_inside);
  CHECK_FALSE(run("--unix-sockets none -- true").policy.settings.unix_inside);
  CHECK(run("--unix-sockets inside -- true").policy.settings.unix_inside);
  const RunOptions options = run("--allow-unix-socket /a --allow-unix-socket b -- true");
  REQUIRE(options.policy.settings.unix_sockets.size() == 2);
  CHECK(options.policy.settings.unix_sockets[0].path == "/a");
  CHECK(options.policy.settings.unix_sockets[1].origin.text == "--allow-unix-socket");
  CHECK(usage_error("--unix-sockets all -- true").find("all") != std::string::npos);
}

TEST_CASE("limits are sizes and counts, and neither nothing nor too little") {
  const sandbox::ResourceLimits none = run("-- true").limits;
  CHECK_FALSE(none.memory_bytes);
  CHECK_FALSE(none.processes);
  const sandbox::ResourceLimits both = run("--memory 64M --pids 20 -- true").limits;
  CHECK(both.memory_bytes == 64U * 1024 * 1024);
  CHECK(both.processes == 20U);
  CHECK(run("--max-processes 5 -- true").limits.processes == 5U);
  for (const char* wrong : {"--memory 0", "--memory 1000K", "--memory much", "--memory -1"}) {
    CHECK(usage_error(std::string(wrong) + " -- true").find("--memory") != std::string::npos);
  }
  for (const char* wrong : {"--pids 0", "--pids many", "--pids -3"}) {
    CHECK(usage_error(std::string(wrong) + " -- true").find("--pids") != std::string::npos);
  }
}

TEST_CASE("another user is named by a number or as the owner") {
  CHECK(run("-- true").user.empty());
  CHECK(run("--user owner -- true").user == "owner");
  CHECK(run("--user 1001 -- true").user == "1001");
}
