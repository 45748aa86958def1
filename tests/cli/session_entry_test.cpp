#include "proxy/cli/session_entry.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/config/fixture.hpp"

using namespace nono;
using namespace nono::cli;

namespace {

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> parts;
  for (std::string word; stream >> word;) parts.push_back(word);
  return parts;
}

Result<std::string> body_of(const std::string& flags, test::Home& home) {
  const UserContext user = home.user();
  const CommandLine line = parse_command_line(words("session create " + flags), user.env);
  if (const auto* wrong = std::get_if<UsageError>(&line)) FAIL(wrong->message);
  return session_request_body(std::get<SessionOptions>(line), user);
}

nlohmann::json json_of(const std::string& flags, test::Home& home) {
  const Result<std::string> body = body_of(flags, home);
  REQUIRE(body);
  return nlohmann::json::parse(*body);
}

}  // namespace

TEST_CASE("flags of session create become the request's keys, and what is not said is not sent") {
  test::Home home;
  const nlohmann::json body = json_of(
      "--name ci --ttl 90m --allow-domain example.com --deny-domain bad.test --allow-private "
      "10.0.0.0/8 --max-connections 7 --max-connects-per-second 3 --listen 127.0.0.1:0",
      home);
  CHECK(body["name"] == "ci");
  CHECK(body["ttl_seconds"] == 5400);
  CHECK(body["network"]["allow_domain"] == nlohmann::json::array({"example.com"}));
  CHECK(body["network"]["deny_domain"] == nlohmann::json::array({"bad.test"}));
  CHECK(body["network"]["allow_private"] == nlohmann::json::array({"10.0.0.0/8"}));
  CHECK(body["limits"]["connections_max"] == 7);
  CHECK(body["limits"]["connects_per_second_max"] == 3);
  CHECK(body["listen"] == nlohmann::json::array({"127.0.0.1:0"}));
  const nlohmann::json least = json_of("--allow-domain a.test", home);
  CHECK(least.size() == 1);
}

TEST_CASE("variables of env:// sources are sent from the creator's environment, and no others") {
  test::Home home;
  home.variables["TEAM_A_KEY"] = "sk-team-a";
  home.variables["OTHER_SECRET"] = "do-not-send";
  const nlohmann::json body =
      json_of("--credential openai=env://TEAM_A_KEY --credential github=env://NOT_SET", home);
  CHECK(body["environment"] == nlohmann::json{{"TEAM_A_KEY", "sk-team-a"}});
  CHECK(body["credentials"][0] ==
        nlohmann::json{{"name", "openai"}, {"source", "env://TEAM_A_KEY"}});
  CHECK(body.dump().find("do-not-send") == std::string::npos);
}

TEST_CASE("paths are made absolute, since the proxy runs elsewhere") {
  test::Home home;
  const nlohmann::json body =
      json_of("--allow-domain a.test --upstream-ca ca.pem --listen unix:own.sock", home);
  CHECK(body["network"]["upstream_ca"][0] == home.path("project/ca.pem"));
  CHECK(body["listen"][0] == "unix:" + home.path("project/own.sock"));
}

TEST_CASE("flags that belong to the proxy are refused for a session") {
  test::Home home;
  for (const char* flag : {"--audit-log x", "--dns-server 127.0.0.1:53"}) {
    const CommandLine line = parse_command_line(
        words(std::string("session create --allow-domain a.test ") + flag), home.user().env);
    if (std::holds_alternative<UsageError>(line)) continue;
    const auto body = session_request_body(std::get<SessionOptions>(line), home.user());
    INFO(flag);
    REQUIRE_FALSE(body);
    CHECK(body.error().what.find("not for a session") != std::string::npos);
  }
}
