#include "proxy/cli/proxy_plan.hpp"

#include <catch2/catch.hpp>
#include <sstream>

#include "tests/config/fixture.hpp"

using namespace nono;
using namespace nono::cli;

namespace {

ProxyOptions options_of(const std::string& flags, const UserContext& user) {
  std::istringstream stream("proxy " + flags);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  const CommandLine line = parse_command_line(words, user.env);
  if (const auto* wrong = std::get_if<UsageError>(&line)) FAIL(wrong->message);
  return std::get<ProxyOptions>(line);
}

// A configuration file and the plans made of it, one after the other as reloads do.
struct Planned {
  test::Home home;
  Keepsakes keepsakes;

  Step<ProxyPlan> plan(const std::string& yaml, const std::string& flags = {}) {
    const std::string path = home.file("nono.yaml", yaml);
    const UserContext user = home.user();
    return make_plan(options_of("--config " + path + " " + flags, user), user, keepsakes);
  }
  ProxyPlan good(const std::string& yaml, const std::string& flags = {}) {
    Step<ProxyPlan> made = plan(yaml, flags);
    if (!made) FAIL(made.error().error.what);
    return std::move(*made);
  }
  std::string refusal(const std::string& yaml, const std::string& flags = {}) {
    const Step<ProxyPlan> made = plan(yaml, flags);
    return made ? "it was taken" : made.error().error.what;
  }
};

const std::string one_host = "network: {allow_domain: [a.test]}\n";

}  // namespace

TEST_CASE("generated tokens and phantoms are the same in the next plan, and differ by session") {
  Planned proxy;
  const std::string yaml = one_host +
                           "sessions:\n- {name: a, credentials: [openai]}\n"
                           "- {name: b, credentials: [openai]}\n";
  const ProxyPlan first = proxy.good(yaml), second = proxy.good(yaml);
  REQUIRE(first.sessions.size() == 2);
  CHECK(first.main->token == second.main->token);
  CHECK(first.main->token.size() == 64);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(first.sessions.at(i).token == second.sessions.at(i).token);
    CHECK(first.sessions.at(i).credentials[0].phantom ==
          second.sessions.at(i).credentials[0].phantom);
    CHECK(first.sessions.at(i).token != first.main->token);
  }
  CHECK(first.sessions[0].token != first.sessions[1].token);
  CHECK(first.sessions[0].credentials[0].phantom != first.sessions[1].credentials[0].phantom);
  proxy.keepsakes.forget("a");
  const ProxyPlan third = proxy.good(yaml);
  CHECK(third.sessions[0].token != first.sessions[0].token);
  CHECK(third.sessions[0].credentials[0].phantom != first.sessions[0].credentials[0].phantom);
  CHECK(third.sessions[1].token == first.sessions[1].token);
}

TEST_CASE("a token comes from where the file says, anew in each plan") {
  Planned proxy;
  proxy.home.variables["A_TOKEN"] = "0123456789abcdef";
  const std::string file = proxy.home.file("token", "first-token-0123\n", 0600);
  const std::string yaml =
      "sessions:\n- {name: a, token: env://A_TOKEN, network: {allow_domain: [a.test]}}\n"
      "- {name: b, token: \"file://" +
      file + "\", network: {allow_domain: [a.test]}}\n";
  ProxyPlan plan = proxy.good(yaml);
  CHECK(plan.sessions[0].token == "0123456789abcdef");
  CHECK(plan.sessions[1].token == "first-token-0123");
  CHECK(plan.sessions[0].token_preset);
  proxy.home.file("token", "second-token-0123\n", 0600);
  plan = proxy.good(yaml);
  CHECK(plan.sessions[1].token == "second-token-0123");
  proxy.home.file("token", "not a token\n", 0600);
  CHECK(proxy.refusal(yaml).find("a token is") != std::string::npos);
  proxy.home.variables.erase("A_TOKEN");
  CHECK(proxy.refusal(yaml).find("session a") != std::string::npos);
}

TEST_CASE("limits of an entry go before those of all sessions, flags before the file") {
  Planned proxy;
  const std::string yaml = one_host +
                           "limits: {connections_per_session_max: 5, connections_max: 50}\n"
                           "sessions:\n"
                           "- {name: a, network: {allow_domain: [a.test]}}\n"
                           "- {name: b, network: {allow_domain: [a.test]}, limits: "
                           "{connections_max: 9, connects_per_second_max: 4}}\n";
  const ProxyPlan plan = proxy.good(yaml, "--max-connections 70");
  CHECK(plan.limits.connections_max == 70);
  CHECK(plan.main->limits.session_connections_max == 5);
  CHECK(plan.sessions[0].limits.session_connections_max == 5);
  CHECK(plan.sessions[0].limits.session_connects_per_second_max == 0);
  CHECK(plan.sessions[1].limits.session_connections_max == 9);
  CHECK(plan.sessions[1].limits.session_connects_per_second_max == 4);
}

TEST_CASE("sessions take the proxy's resolvers unless they say otherwise") {
  Planned proxy;
  const std::string yaml =
      "dns: {servers: [192.0.2.1]}\nsessions:\n- {name: a, network: {allow_domain: [a.test]}}\n";
  const auto first_of = [](const ProxyPlan& plan) {
    return plan.sessions[0].config.dns_servers.at(0).to_string();
  };
  CHECK(first_of(proxy.good(yaml)) == "192.0.2.1:53");
  CHECK(first_of(proxy.good(yaml, "--dns-server 192.0.2.9:5300")) == "192.0.2.9:5300");
}

TEST_CASE("what a session may not be is said with its name") {
  Planned proxy;
  const auto with = [&](const std::string& entry) {
    return proxy.refusal(one_host + "sessions:\n- {name: odd, " + entry + "}\n");
  };
  CHECK(with("ttl: 1h").find("odd") != std::string::npos);
  CHECK(with("network: {allow_domain: [a.test]}, listen: \"0.0.0.0:1\"").find("loopback") !=
        std::string::npos);
  CHECK(with("network: {allow_domain: [a.test]}, token: literal") != "it was taken");
  CHECK(proxy.refusal(one_host + "sessions:\n- {name: a, network: {allow_domain: [a.test]}}\n"
                                 "- {name: a, network: {allow_domain: [a.test]}}\n") !=
        "it was taken");
}

TEST_CASE("no rules of its own make a plan without a main session, only where there are others") {
  Planned proxy;
  CHECK(proxy.refusal("log_level: info\n").find("needs to be told") != std::string::npos);
  const ProxyPlan plan = proxy.good("sessions:\n- {name: a, network: {allow_domain: [a.test]}}\n");
  CHECK_FALSE(plan.main.has_value());
  CHECK(plan.sessions.size() == 1);
  CHECK(proxy.refusal("auth: {required: false}\nsessions:\n"
                      "- {name: a, network: {allow_domain: [a.test]}}\n") != "it was taken");
}

TEST_CASE("the admin socket is planned only where it is asked for") {
  Planned proxy;
  CHECK_FALSE(proxy.good(one_host).admin);
  CHECK(proxy.good(one_host, "--admin-socket a.sock").admin);
  CHECK(proxy.good(one_host + "admin: {enabled: true}\n").admin);
  CHECK_FALSE(proxy.good(one_host + "admin: {enabled: true}\n", "--no-admin").admin);
  CHECK_FALSE(proxy.good(one_host + "admin: {enabled: false}\n").admin);
  CHECK(proxy.refusal(one_host + "admin: {enabled: false, socket: a.sock}\n") != "it was taken");
}

TEST_CASE("a time to live runs on from plan to plan, and what is over is planned no more") {
  Planned proxy;
  const std::string yaml =
      one_host + "sessions:\n- {name: a, ttl: 1h, network: {allow_domain: [a.test]}}\n";
  const auto since = proxy.keepsakes.since("a");
  CHECK(proxy.good(yaml).sessions[0].ttl <= std::chrono::hours(1));
  CHECK(proxy.keepsakes.since("a") == since);
  proxy.keepsakes.forget("a");
  CHECK(proxy.keepsakes.since("a") > since);
}

TEST_CASE("listeners off loopback want TLS or to be told, with a token") {
  Planned proxy;
  CHECK(proxy.refusal(one_host, "--listen 0.0.0.0").find("off loopback") != std::string::npos);
  CHECK(proxy.refusal(one_host, "--listen 0.0.0.0 --insecure-listen") == "it was taken");
  CHECK(proxy.refusal(one_host, "--listen 0.0.0.0 --insecure-listen --no-auth")
            .find("loopback only") != std::string::npos);
  CHECK(proxy.refusal(one_host, "--listen 0.0.0.0 --tls-cert c.pem --tls-key k.pem") ==
        "it was taken");
}
