#include "config/proxy_config.hpp"

#include <catch2/catch.hpp>

#include "fixture.hpp"

using namespace nono;
using Catch::Matchers::Contains;
using test::Home;

namespace {

std::string error_of(const std::string& text) {
  Home home;
  Result<ProxyConfig> config = parse_proxy_config(text, "nono.yaml", home.user());
  REQUIRE_FALSE(config);
  CHECK(config.error().code == ErrorCode::bad_input);
  return config.error().what;
}

}  // namespace

TEST_CASE("nono.yaml with every key that works") {
  Home home;
  std::string file = home.file("etc/nono.yaml", R"(
listen: [127.0.0.1:8080, "[::1]:8080"]
threads: 2
profile: default
network:
  network_profile: minimal
  allow_domain:
    - example.com
    - domain: api.example
      endpoints: [{method: GET, path: /v1/**}]
  deny_domain: [evil.example]
  allow_private: [10.1.0.0/16]
  upstream_ca: [ca.pem]
dns: {servers: [127.0.0.1:5353, "::1"]}
credentials: [openai, {name: mine, source: "env://MINE"}]
custom_credentials:
  mine: {upstream: https://api.example, credential_key: mine_key}
tls: {ca_cert: ca.pem, ca_key: ca.key, ca_validity: 2d}
auth: {token: env://TOKEN}
audit: {log: log/audit.jsonl, required: true}
env_file: {path: /run/nono.env, format: shell}
limits: {connections_max: 100, head_time_max: 5s, idle_time_max: 500ms}
)");
  Result<ProxyConfig> config = load_proxy_config(file, home.user());
  INFO((config ? "" : config.error().what));
  REQUIRE(config);
  CHECK(config->listen.size() == 2);
  CHECK(config->threads == 2U);
  CHECK(config->profile == std::string("default"));
  CHECK(config->session.allow_hosts.size() == 2);
  CHECK(config->session.allow_hosts[1].endpoints.at(0).path == "/v1/**");
  CHECK(config->session.dns_servers.at(0).to_string() == "127.0.0.1:5353");
  CHECK(config->session.dns_servers.at(1).to_string() == "[::1]:53");
  CHECK(config->session.credentials.at(1).source == std::string("env://MINE"));
  CHECK(config->session.upstream_ca_files.at(0) == home.path("etc/ca.pem"));
  CHECK(config->ca_cert == home.path("etc/ca.pem"));
  CHECK(config->ca_validity_days == 2U);
  CHECK(config->audit_log == home.path("etc/log/audit.jsonl"));
  CHECK(config->audit_required);
  CHECK_FALSE(config->no_auth);
  CHECK(config->env_file == std::string("/run/nono.env"));
  CHECK(config->limits.connections_max == std::size_t(100));
  CHECK(config->limits.idle_time_max == std::chrono::milliseconds(500));
  CHECK_FALSE(config->limits.head_bytes_max);
}

TEST_CASE("nono.yaml that is wrong says where and what") {
  CHECK_THAT(error_of("listn: [127.0.0.1:1]\n"),
             Contains("nono.yaml:1:1: unknown key listn; did you mean listen?"));
  CHECK_THAT(error_of("threads: many\n"), Contains("nono.yaml:1:10: threads: expected a number"));
  CHECK_THAT(error_of("threads: 0\n"), Contains("not a whole number from 1 to 256"));
  CHECK_THAT(error_of("limits: {idle_time_max: 5}\n"), Contains("expected a duration"));
  CHECK_THAT(error_of("limits: {idle_time_max: 0s}\n"), Contains("expected a duration"));
  CHECK_THAT(error_of("tls: {ca_cert: a.pem}\n"),
             Contains("tls.ca_cert and tls.ca_key go together"));
  CHECK_THAT(error_of("sessions: [{name: a}]\n"), Contains("sessions is not supported yet"));
  CHECK_THAT(error_of("env_file: {path: x, format: shel}\n"), Contains("did you mean shell?"));
  CHECK_THAT(error_of("threads: 1\nthreads: 2\n"),
             Contains("nono.yaml:2:1: duplicate key threads"));
  CHECK_THAT(error_of("[1, 2"), Contains("nono.yaml:1:"));
  std::string both = error_of("threads: 0\nlistn: 1\n");
  CHECK_THAT(both, Contains("nono.yaml:1:10") && Contains("nono.yaml:2:1"));
}

TEST_CASE("a token written into the file is refused and not repeated") {
  std::string what = error_of("auth: {token: abcdef0123456789}\n");
  CHECK_THAT(what, Contains("never the token itself"));
  CHECK_THAT(what, !Contains("abcdef"));
}
