// The command lines of `nono session` and `nono audit`.

#include <catch2/catch.hpp>
#include <map>
#include <sstream>

#include "proxy/cli/options.hpp"

using namespace nono;
using namespace nono::cli;

namespace {

using Variables = std::map<std::string, std::string>;

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> parts;
  for (std::string word; stream >> word;) parts.push_back(word);
  return parts;
}

CommandLine parse(const std::string& text, const Variables& variables = {}) {
  return parse_command_line(words(text), [&](std::string_view name) -> std::optional<std::string> {
    const auto found = variables.find(std::string(name));
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
}

SessionOptions session(const std::string& text, const Variables& variables = {}) {
  const CommandLine line = parse("session " + text, variables);
  if (const auto* wrong = std::get_if<UsageError>(&line)) FAIL(wrong->message);
  return std::get<SessionOptions>(line);
}

AuditOptions audit(const std::string& text) {
  const CommandLine line = parse("audit " + text);
  if (const auto* wrong = std::get_if<UsageError>(&line)) FAIL(wrong->message);
  return std::get<AuditOptions>(line);
}

std::string usage_error(const std::string& text) {
  const CommandLine line = parse(text);
  const auto* wrong = std::get_if<UsageError>(&line);
  return wrong == nullptr ? "no error" : wrong->message;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a session is made of policy, name, time and places") {
  const SessionOptions options = session(
      "create --profile ci --extends base --allow-domain a.example --network-profile minimal "
      "--credential openai=env://TEAM_A_KEY --name team-a --ttl 8h --env-file job.env --env-format "
      "github --listen 127.0.0.1:0 --listen unix:/run/a.sock --admin-socket /run/admin.sock "
      "--print-token --json --max-connections 10 --max-connects-per-second 5 --observe");
  CHECK(options.action == SessionOptions::Action::create);
  CHECK(options.policy.profile == "ci");
  CHECK(options.policy.extends == words("base"));
  CHECK(options.policy.settings.allow_hosts.at(0).text == "a.example");
  CHECK(options.policy.settings.network_profile == "minimal");
  CHECK(options.policy.settings.credentials.at(0).source == "env://TEAM_A_KEY");
  CHECK(options.policy.settings.observe == true);
  CHECK(options.name == "team-a");
  CHECK(options.ttl == std::chrono::hours(8));
  CHECK(options.env_file == "job.env");
  CHECK(options.env_format == EnvFileFormat::github);
  CHECK(options.listen == words("127.0.0.1:0 unix:/run/a.sock"));
  CHECK(options.admin_socket == "/run/admin.sock");
  CHECK(options.print_token);
  CHECK(options.json);
  CHECK(options.limits.connections_max == 10U);
  CHECK(options.limits.connects_per_second_max == 5U);
}

TEST_CASE("flags of a session may stand before its action") {
  const SessionOptions options = session("--name x create --allow-domain a.example");
  CHECK(options.action == SessionOptions::Action::create);
  CHECK(options.name == "x");
}

TEST_CASE("list and revoke take what they need") {
  CHECK(session("list").action == SessionOptions::Action::list);
  CHECK(session("list --json").json);
  const SessionOptions options = session("revoke team-a --admin-socket /x");
  CHECK(options.action == SessionOptions::Action::revoke);
  CHECK(options.name == "team-a");
  CHECK(options.admin_socket == "/x");
  CHECK(has(usage_error("session list x"), "no arguments"));
  CHECK(has(usage_error("session revoke"), "one NAME"));
  CHECK(has(usage_error("session revoke a b"), "one NAME"));
  CHECK(has(usage_error("session revoke ../x"), "no session's name"));
  CHECK(has(usage_error("session list --ttl 8h"), "--ttl belongs to nono session create"));
  CHECK(has(usage_error("session revoke a --allow-domain x"), "--allow-domain belongs to"));
}

TEST_CASE("session usage errors name what is wrong") {
  CHECK(has(usage_error("session"), "create, list, revoke"));
  CHECK(has(usage_error("session crate"), "create"));
  CHECK(has(usage_error("session create name"), "--name name"));
  CHECK(has(usage_error("session create --name a/b"), "--name"));
  CHECK(has(usage_error("session create --ttl 0s"), "--ttl"));
  CHECK(has(usage_error("session create --ttl 8"), "--ttl"));
  CHECK(has(usage_error("session create --ttl 400d"), "--ttl"));
  CHECK(has(usage_error("session create --listen nowhere.example"), "--listen"));
  CHECK(has(usage_error("session create --env-format json"), "--env-file"));
  CHECK(has(usage_error("session create --extends a"), "--profile"));
  CHECK(has(usage_error("session create --max-connections 0"), "--max-connections"));
  CHECK(has(usage_error("session create --allow-cwd"), "--allow-cwd"));
  // What belongs to the proxy that runs is no session's.
  CHECK(has(usage_error("session create --proxy-ca-validity 3"), "unknown flag"));
  CHECK(has(usage_error("session create --audit-log x"), "unknown flag"));
}

TEST_CASE("variables stand in for a session's flags, those of the whole proxy do not") {
  const Variables variables{{"NONO_ADMIN_SOCKET", "/v.sock"},
                            {"NONO_ALLOW_DOMAIN", "v.example"},
                            {"NONO_PROXY_CA_VALIDITY", "nonsense"},
                            {"NONO_BLOCK_NET", "1"}};
  const SessionOptions options = session("create", variables);
  CHECK(options.admin_socket == "/v.sock");
  CHECK(options.policy.settings.allow_hosts.at(0).text == "v.example");
  CHECK_FALSE(options.policy.settings.block_network);
  CHECK_FALSE(options.policy.ca_validity_days);
  CHECK(session("list", variables).admin_socket == "/v.sock");
  CHECK(session("list --admin-socket /f", variables).admin_socket == "/f");
}

TEST_CASE("audit logs are verified in their order, or read for hosts") {
  const AuditOptions verify = audit("verify a.1 a --json");
  CHECK(verify.action == AuditOptions::Action::verify);
  CHECK(verify.files == words("a.1 a"));
  CHECK(verify.json);
  const AuditOptions hosts = audit("hosts a.jsonl");
  CHECK(hosts.action == AuditOptions::Action::hosts);
  CHECK(hosts.format == AuditOptions::Format::flags);
  CHECK(audit("hosts --format yaml a").format == AuditOptions::Format::yaml);
  CHECK(audit("hosts a --format json").format == AuditOptions::Format::json);
  CHECK(has(usage_error("audit"), "verify, hosts"));
  CHECK(has(usage_error("audit verfy a"), "verify"));
  CHECK(has(usage_error("audit verify"), "oldest first"));
  CHECK(has(usage_error("audit hosts"), "files to read"));
  CHECK(audit("hosts --refused a b").refused);
  CHECK(audit("hosts a b").files.size() == 2);
  CHECK(has(usage_error("audit verify --refused a"), "--refused belongs to nono audit hosts"));
  CHECK(has(usage_error("audit hosts a --json"), "--format json"));
  CHECK(has(usage_error("audit hosts a --format xml"), "--format"));
  CHECK(has(usage_error("audit verify a --format json"), "belongs to nono audit hosts"));
}

TEST_CASE("each command has a help text with its flags and examples") {
  for (const char* command : {"session", "audit", "proxy", "run"}) {
    INFO(command);
    const std::string help = std::get<Information>(parse(command + std::string(" --help"))).text;
    CHECK(has(help, "Examples:"));
    CHECK(has(help, std::string("Usage: nono ") + command));
    std::istringstream lines(help);
    for (std::string line; std::getline(lines, line) && line != "Examples:";) {
      CHECK(line.size() <= 100);
    }
  }
  const std::string help = std::get<Information>(parse("session --help")).text;
  for (const char* part : {"--ttl TIME", "--admin-socket PATH", "--credential", "revoke NAME"}) {
    INFO(part);
    CHECK(has(help, part));
  }
  const std::string overview = std::get<Information>(parse("--help")).text;
  CHECK(has(overview, "session create"));
  CHECK(has(overview, "audit verify"));
}
