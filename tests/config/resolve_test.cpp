#include "config/resolve.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "config/credentials.hpp"
#include "config/host_groups.hpp"
#include "fixture.hpp"

using namespace nono;
using Catch::Matchers::Contains;
using test::Home;

namespace {

const ResolveOptions proxy_only{false, false, nullptr};

Result<SessionConfig> resolved(const Settings& settings) {
  Home home;
  return resolve(settings, home.user(), proxy_only);
}

std::string refusal(const Settings& settings) {
  Result<SessionConfig> session = resolved(settings);
  REQUIRE_FALSE(session);
  return session.error().what;
}

Settings hosts(std::vector<std::string> texts, const std::string& origin = "--allow-domain") {
  Settings settings;
  for (std::string& text : texts) settings.allow_hosts.push_back({std::move(text), {}, {origin}});
  return settings;
}

Settings credential(const std::string& name, std::optional<std::string> source = {}) {
  Settings settings;
  settings.credentials.push_back({name, std::move(source), {"--credential"}});
  return settings;
}

bool allows(const SessionConfig& session, const std::string& host) {
  return std::any_of(session.network.allow.begin(), session.network.allow.end(),
                     [&](const HostRule& rule) { return rule.text == host; });
}

}  // namespace

TEST_CASE("no network flag leaves the network open, any closes it") {
  CHECK(resolved({})->network.mode == NetworkMode::open);
  CHECK(resolved(hosts({"a.example"}))->network.mode == NetworkMode::filtered);
  CHECK(resolved(credential("openai"))->network.mode == NetworkMode::filtered);
  Settings profile;
  profile.network_profile = "minimal";
  CHECK(resolved(profile)->network.mode == NetworkMode::filtered);
  Settings deny;
  deny.deny_hosts.push_back({"evil.example", {}, {}});
  Result<SessionConfig> denied = resolved(deny);
  REQUIRE(denied);
  // Only a deny rule: closed, with nothing allowed, and never "everything but".
  CHECK(denied->network.mode == NetworkMode::filtered);
  CHECK(denied->network.allow.empty());
  CHECK_THAT(denied->warnings.at(0), Contains("nothing is allowed"));
}

TEST_CASE("the minimal profile is the model vendors' hosts and nothing else") {
  Settings settings;
  settings.network_profile = "minimal";
  Result<SessionConfig> session = resolved(settings);
  REQUIRE(session);
  CHECK(allows(*session, "api.openai.com"));
  CHECK(allows(*session, "generativelanguage.googleapis.com"));
  CHECK_FALSE(allows(*session, "github.com"));
  CHECK(session->network.allow.size() == host_group("llm_apis")->size());
  CHECK(session->network.groups == std::vector<std::string>{"minimal"});
  settings.allow_hosts = hosts({"huggingface.co"}).allow_hosts;
  CHECK(allows(*resolved(settings), "huggingface.co"));
}

TEST_CASE("a group's name among the hosts stands for its hosts, mistyped it is an error") {
  Result<SessionConfig> session = resolved(hosts({"github", "x.example"}));
  REQUIRE(session);
  CHECK(allows(*session, "api.github.com"));
  CHECK(allows(*session, "x.example"));
  CHECK_FALSE(allows(*session, "github"));
  CHECK(session->network.groups == std::vector<std::string>{"github"});
  CHECK_THAT(refusal(hosts({"llm_api"})),
             Contains("no host group is called llm_api; did you mean llm_apis?"));
  CHECK(resolved(hosts({"github.local", "intranet"})));
}

TEST_CASE("unknown names come with the nearest known one") {
  Settings settings;
  settings.network_profile = "minimla";
  CHECK(refusal(settings) ==
        "--network-profile: no network profile is called minimla; did you mean minimal?");
  CHECK(refusal(credential("opena")) ==
        "--credential: no credential is called opena; did you mean openai?");
}

TEST_CASE("block-net wins over a profile and contradicts flags") {
  Settings profile = hosts({"a.example"}, "p.json:1:1");
  profile.credentials.push_back({"openai", {}, {"p.json:2:1"}});
  Settings flags;
  flags.block_network = true;
  Settings both = profile;
  merge(both, flags);
  Result<SessionConfig> session = resolved(both);
  REQUIRE(session);
  CHECK(session->network.mode == NetworkMode::blocked);
  CHECK(session->network.allow.empty());
  CHECK(session->credentials.empty());

  flags.allow_hosts = hosts({"b.example"}).allow_hosts;
  CHECK(refusal(flags) == "--block-net and --allow-domain are contradictory");

  Settings blocked;
  blocked.block_network = true;
  blocked.block_origin = {"p.json:3:3"};
  CHECK(resolved(blocked)->network.mode == NetworkMode::blocked);
  merge(blocked, credential("openai"));
  CHECK_THAT(refusal(blocked),
             Contains("p.json:3:3: network.block and --credential are contradictory"));

  profile.block_network = true;
  profile.block_origin = {"p.json:3:3"};
  CHECK(resolved(profile)->network.mode == NetworkMode::filtered);
  // The flag is the stronger of the two, whichever came first.
  Settings flag;
  flag.block_network = true;
  merge(profile, flag);
  CHECK(resolved(profile)->network.mode == NetworkMode::blocked);
}

TEST_CASE("a credential is looked for in the keyring, then in the parent's variable") {
  Result<SessionConfig> session = resolved(credential("openai"));
  REQUIRE(session);
  const CredentialRoute& route = session->credentials.at(0);
  CHECK(route.sources == std::vector<std::string>{"keyring://nono/openai",
                                                  "keyring://nono/openai_api_key",
                                                  "env://OPENAI_API_KEY"});
  CHECK(route.phantom_vars == std::vector<std::string>{"OPENAI_API_KEY"});
  CHECK(route.upstream->to_string() == "api.openai.com:443");
  CHECK(route.base_path == "/v1");
  CHECK(resolved(credential("openai", "file:///k"))->credentials.at(0).sources ==
        std::vector<std::string>{"file:///k"});
  for (const CredentialRoute& builtin : builtin_credentials()) {
    INFO(builtin.name);
    REQUIRE(builtin.upstream);
    CHECK(builtin.upstream->host.is_name());
    CHECK_FALSE(builtin.phantom_vars.empty());
    CHECK(resolved(credential(builtin.name)));
  }
}

TEST_CASE("two credentials for one variable are refused") {
  Settings settings = credential("gemini");
  merge(settings, credential("google-ai"));
  CHECK_THAT(refusal(settings), Contains("credentials gemini and google-ai both set"));
}

TEST_CASE("the flag --allow-endpoint restricts a credential that is enabled") {
  Settings settings = credential("github");
  settings.allow_endpoints = {"github:GET:/repos/**"};
  Result<SessionConfig> session = resolved(settings);
  REQUIRE(session);
  REQUIRE(session->credentials.at(0).endpoints.size() == 1);
  CHECK(session->credentials[0].endpoints[0].method == "GET");
  CHECK(session->credentials[0].endpoints[0].path == "/repos/**");
  settings.allow_endpoints = {"openai:GET:/v1/models"};
  CHECK_THAT(refusal(settings), Contains("credential openai is not enabled"));
  for (const char* bad : {"github", "github:GET", "github:GET:repos", ":GET:/x", "github::/x"}) {
    settings.allow_endpoints = {bad};
    INFO(bad);
    CHECK_THAT(refusal(settings), Contains("expected SERVICE:METHOD:/PATH"));
  }
}

TEST_CASE("flags go on top of a profile") {
  Settings base = hosts({"a.example"}, "p.json:1:1");
  base.name = "p";
  base.workdir_access = Access::read;
  base.network_profile = "minimal";
  base.set_env = {{"A", "1"}, {"B", "1"}};
  base.allow_env = std::vector<std::string>{"A"};
  Settings over = hosts({"a.example", "b.example"});
  over.network_profile = "enterprise";
  over.set_env = {{"B", "2"}};
  over.pass_env = {"C"};
  over.credentials.push_back({"openai", {}, {"--credential"}});
  merge(base, over);
  CHECK(base.name == "p");
  CHECK(base.workdir_access == Access::read);
  CHECK(base.network_profile == std::string("enterprise"));
  CHECK(base.allow_hosts.size() == 2);
  CHECK(base.set_env.at("A") == "1");
  CHECK(base.set_env.at("B") == "2");
  CHECK(base.allow_env == std::vector<std::string>{"A"});
  Settings again = credential("openai", "env://OTHER");
  merge(base, again);
  CHECK(base.credentials.size() == 1);
  CHECK(base.credentials[0].source == std::string("env://OTHER"));
}

TEST_CASE("a rule restricted to paths survives a merge with the same host") {
  Settings base = hosts({"a.example"});
  Settings over = hosts({"a.example"});
  over.allow_hosts[0].endpoints.push_back({"GET", "/x", {}});
  merge(base, over);
  CHECK(base.allow_hosts.size() == 2);
}

TEST_CASE("an upstream CA file that is missing is an error") {
  Settings settings = hosts({"a.example"});
  settings.upstream_ca_files = {"/nonexistent/ca.pem"};
  CHECK_THAT(refusal(settings), Contains("--upstream-ca /nonexistent/ca.pem: No such file"));
}

TEST_CASE("names of variables to set are checked") {
  Settings settings;
  settings.set_env = {{"A B", "x"}, {"NONO_PROXY_TOKEN", "x"}};
  std::string what = refusal(settings);
  CHECK_THAT(what,
             Contains("'A B' is no variable name") && Contains("NONO_PROXY_TOKEN is nono's own"));
}

TEST_CASE("observing closes the network, so that the proxy sees it, and is said") {
  Settings settings;
  settings.observe = true;
  Result<SessionConfig> session = resolved(settings);
  REQUIRE(session);
  CHECK(session->network.mode == NetworkMode::filtered);
  CHECK(session->network.observe);
  REQUIRE(session->warnings.size() == 1);
  CHECK_THAT(session->warnings[0], Contains("observing"));

  settings.observe = false;
  session = resolved(settings);
  REQUIRE(session);
  CHECK(session->network.mode == NetworkMode::open);
  CHECK_FALSE(session->network.observe);
}

TEST_CASE("observing is no way around a blocked network") {
  Settings settings;
  settings.observe = true;
  settings.block_network = true;
  CHECK_THAT(refusal(settings), Contains("--block-net and observing are contradictory"));
  settings.block_origin = {"p.json:1:1"};
  CHECK_THAT(refusal(settings), Contains("p.json:1:1: network.block and observing"));
}

TEST_CASE("the mode of flags wins over the profile's, and what is not said changes nothing") {
  Settings base;
  base.observe = true;
  merge(base, Settings{});
  CHECK(base.observe == true);
  Settings over;
  over.observe = false;
  merge(base, over);
  CHECK(base.observe == false);
}

TEST_CASE("a rule with options is never dropped for the same host without them") {
  Settings base = hosts({"a.example"});
  Settings over = hosts({"a.example", "a.example"});
  over.allow_hosts[0].refuse_ech = true;
  over.allow_hosts[1].any_sni = true;
  merge(base, over);
  CHECK(base.allow_hosts.size() == 3);
  merge(base, hosts({"a.example"}));
  CHECK(base.allow_hosts.size() == 3);
}

TEST_CASE("options of a named set of hosts hold for each of its hosts") {
  Settings settings = hosts({"github"});
  settings.allow_hosts[0].refuse_ech = true;
  Result<SessionConfig> session = resolved(settings);
  REQUIRE(session);
  REQUIRE(session->network.allow.size() > 1);
  for (const HostRule& rule : session->network.allow) CHECK(rule.refuse_ech);
}

TEST_CASE("ports close the network, and cannot be open and listened on") {
  const ResolveOptions for_run{false, true, nullptr};
  Home home;
  Settings open;
  open.open_ports.push_back({Port(8000), {"--open-port"}});
  Result<SessionConfig> session = resolve(open, home.user(), for_run);
  REQUIRE(session);
  CHECK(session->network.mode == NetworkMode::filtered);
  CHECK(session->network.open_ports == std::vector<Port>{Port(8000)});
  CHECK(session->network.allow.empty());
  // What is not run has no sandbox whose ports these could be.
  CHECK(resolved(open)->network.mode == NetworkMode::open);
  CHECK(resolved(open)->network.open_ports.empty());
  Settings both = open;
  both.listen_ports.push_back({Port(8000), {"p.json:1:1"}});
  const Result<SessionConfig> contradiction = resolve(both, home.user(), for_run);
  REQUIRE_FALSE(contradiction);
  CHECK_THAT(contradiction.error().what,
             Contains("port 8000 is both an open port and a listen port"));
  Settings blocked = open;
  blocked.block_network = true;
  const Result<SessionConfig> shut = resolve(blocked, home.user(), for_run);
  REQUIRE_FALSE(shut);
  CHECK_THAT(shut.error().what, Contains("--block-net and --open-port are contradictory"));
  Settings merged = open;
  merge(merged, open);
  CHECK(merged.open_ports.size() == 1);
}
