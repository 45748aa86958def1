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

namespace {

ProxyConfig parsed(const std::string& text) {
  Home home;
  Result<ProxyConfig> config = parse_proxy_config(text, "nono.yaml", home.user());
  INFO((config ? "" : config.error().what));
  REQUIRE(config);
  return *config;
}

}  // namespace

TEST_CASE("what a fleet's proxy is told: life, metrics, admin, audit, DNS and limits") {
  Home home;
  std::string file = home.file("etc/nono.yaml", R"(
listen: [127.0.0.1:8080, unix:run/proxy.sock]
mode: observe
tls: {cert: proxy.pem, key: /keys/proxy.key}
dns: {listen: ["127.0.0.1", "[::1]:5353"], cache_entries_max: 500, queries_per_second_max: 20}
audit: {rotate_bytes: 64M, keep: 3}
metrics: {listen: 127.0.0.1:0}
admin: {socket: admin.sock}
drain_time: 90s
reload: cut
reload_on_change: false
log_level: debug
via: true
socks5: false
limits:
  connections_per_session_max: 10
  connects_per_second_max: 20
  connects_per_second_per_session_max: 30
  request_line_bytes_max: 4096
  peek_bytes_max: 8192
  drain_bytes_max: 0
  upstream_pool_max: 7
  peek_time_max: 3s
  drain_time_max: 1s
  upstream_idle_time_max: 20s
)");
  Result<ProxyConfig> config = load_proxy_config(file, home.user());
  INFO((config ? "" : config.error().what));
  REQUIRE(config);
  CHECK(config->listen.at(1) == "unix:" + home.path("etc/run/proxy.sock"));
  CHECK(config->session.observe == true);
  CHECK(config->tls_cert == home.path("etc/proxy.pem"));
  CHECK(config->tls_key == std::string("/keys/proxy.key"));
  CHECK(config->dns.listen.size() == 2);
  CHECK(config->dns.cache_entries_max == std::size_t(500));
  CHECK(config->dns.queries_per_second_max == 20U);
  CHECK(config->audit_rotate_bytes == std::uint64_t(64) << 20);
  CHECK(config->audit_keep == 3U);
  CHECK(config->metrics_listen == std::string("127.0.0.1:0"));
  CHECK(config->admin_socket == home.path("etc/admin.sock"));
  CHECK(config->drain_time == std::chrono::seconds(90));
  CHECK(config->reload_cut);
  CHECK_FALSE(config->reload_on_change);
  CHECK(config->log_level == LogLevel::debug);
  CHECK(config->via);
  CHECK_FALSE(config->socks5);
  CHECK(config->limits.session.connections_max == std::size_t(10));
  CHECK(config->limits.connects_per_second_max == 20U);
  CHECK(config->limits.session.connects_per_second_max == 30U);
  CHECK(config->limits.request_line_bytes_max == std::size_t(4096));
  CHECK(config->limits.peek_bytes_max == std::size_t(8192));
  CHECK(config->limits.drain_bytes_max == std::size_t(0));
  CHECK(config->limits.upstream_pool_max == std::size_t(7));
  CHECK(config->limits.peek_time_max == std::chrono::seconds(3));
  CHECK(config->limits.drain_time_max == std::chrono::seconds(1));
  CHECK(config->limits.upstream_idle_time_max == std::chrono::seconds(20));
}

TEST_CASE("what a file does not say keeps its default") {
  ProxyConfig config = parsed("threads: 1\n");
  CHECK_FALSE(config.admin_enabled.has_value());
  CHECK(config.socks5);
  CHECK(config.reload_on_change);
  CHECK_FALSE(config.reload_cut);
  CHECK_FALSE(config.via);
  CHECK_FALSE(config.session.observe);
  CHECK_FALSE(config.drain_time);
  CHECK_FALSE(config.log_level);
  CHECK(config.sessions.empty());
}

TEST_CASE("audit is a word or a map") {
  CHECK(parsed("audit: required\n").audit_required);
  CHECK_FALSE(parsed("audit: best-effort\n").audit_required);
  CHECK(parsed("audit: {required: true}\n").audit_required);
  CHECK_THAT(error_of("audit: maybe\n"),
             Contains("nono.yaml:1:8: audit: expected required or best-effort, found maybe"));
  CHECK_THAT(error_of("audit: [required]\n"), Contains("expected a string, found a list"));
  CHECK_THAT(error_of("audit: {keep: 3}\n"), Contains("audit.keep without audit.rotate_bytes"));
  CHECK_THAT(error_of("audit: {rotate_bytes: 1K}\n"), Contains("at least 64K"));
  CHECK_THAT(error_of("audit: {rotate_bytes: much}\n"), Contains("audit.rotate_bytes: expected"));
}

TEST_CASE("sessions of a file, each with rules, keys and limits of its own") {
  Home home;
  std::string file = home.file("etc/nono.yaml", R"(
listen: 127.0.0.1:8080
network: {allow_domain: [example.com]}
sessions:
  - name: team-a
    profile: profiles/a.yaml
    network: {allow_domain: [a.example], upstream_ca: [a.pem]}
    credentials: [{name: openai, source: "env://TEAM_A_KEY"}]
    custom_credentials:
      mine: {upstream: https://api.example, credential_key: mine_key}
    token: env://A_TOKEN
    listen: unix:a.sock
    ttl: 8h
    limits: {connections_max: 5, connects_per_second_max: 6}
    env_file: {path: a.env, format: json}
  - {name: b.2_x, profile: default, listen: ["127.0.0.1:0", "127.0.0.1:0"]}
  - {name: c, network: {mode: observe}}
)");
  Result<ProxyConfig> config = load_proxy_config(file, home.user());
  INFO((config ? "" : config.error().what));
  REQUIRE(config);
  REQUIRE(config->sessions.size() == 3);
  const SessionEntry& a = config->sessions[0];
  CHECK(a.name == "team-a");
  CHECK(a.settings.name == "team-a");
  CHECK(a.profile == home.path("etc/profiles/a.yaml"));
  CHECK(a.settings.allow_hosts.at(0).text == "a.example");
  CHECK(a.settings.upstream_ca_files.at(0) == home.path("etc/a.pem"));
  CHECK(a.settings.credentials.at(0).source == std::string("env://TEAM_A_KEY"));
  CHECK(a.settings.custom_credentials.count("mine") == 1);
  CHECK(a.settings.policy_files == std::vector<std::string>{file});
  CHECK(a.token == std::string("env://A_TOKEN"));
  CHECK(a.listen == std::vector<std::string>{"unix:" + home.path("etc/a.sock")});
  CHECK(a.ttl == std::chrono::hours(8));
  CHECK(a.limits.connections_max == std::size_t(5));
  CHECK(a.limits.connects_per_second_max == 6U);
  CHECK(a.env_file == home.path("etc/a.env"));
  CHECK(a.env_format == std::string("json"));
  CHECK(a.origin.text == file + ":5:5");
  const SessionEntry& b = config->sessions[1];
  CHECK(b.profile == std::string("default"));
  CHECK(b.listen.size() == 2);
  CHECK_FALSE(b.token);
  CHECK_FALSE(b.ttl);
  CHECK(b.settings.allow_hosts.empty());  // nothing of the top of the file, nor of its neighbour
  CHECK(config->sessions[2].settings.observe == true);
  CHECK_FALSE(config->session.observe);
}

TEST_CASE("sessions that are wrong say which and why") {
  const auto entry = [](const std::string& keys) {
    return error_of("sessions:\n  - {profile: default, " + keys + "}\n");
  };
  CHECK_THAT(entry("name: a b"), Contains("nono.yaml:2:30: name: 'a b' is no session's name"));
  CHECK_THAT(entry("name: ../x"), Contains("is no session's name"));
  CHECK_THAT(entry("name: a/b"), Contains("is no session's name"));
  CHECK_THAT(entry("name: '" + std::string(65, 'a') + "'"), Contains("is no session's name"));
  CHECK_THAT(entry("name: default"), Contains("default is the session that the top"));
  CHECK_THAT(entry("ttl: 1h"), Contains("nono.yaml:2:5: sessions: a session without a name"));
  CHECK_THAT(entry("name: a, ttl: 500ms"), Contains("ttl: from 1s to 366d"));
  CHECK_THAT(entry("name: a, ttl: 367d"), Contains("ttl: from 1s to 366d"));
  CHECK_THAT(entry("name: a, ttl: for ever"), Contains("expected a duration"));
  CHECK_THAT(entry("name: a, listen: [nowhere.example]"), Contains("an address is needed"));
  CHECK_THAT(entry("name: a, listen: []"), Contains("listen: at least one address"));
  CHECK_THAT(entry("name: a, limits: {connections_max: 0}"), Contains("from 1 to 1000000"));
  CHECK_THAT(entry("name: a, limits: {head_bytes_max: 9000}"), Contains("unknown key"));
  CHECK_THAT(entry("name: a, nets: {}"), Contains("unknown key nets"));
  CHECK_THAT(error_of("sessions: {a: {}}\n"), Contains("sessions: expected a list"));
  CHECK_THAT(error_of("sessions: [a]\n"), Contains("sessions: expected a map"));
  CHECK_THAT(error_of("sessions: [{name: a}]\n"), Contains("nothing says what a may reach"));
  CHECK_THAT(error_of("sessions: [{name: a, profile: default}, {name: a, profile: python-dev}]\n"),
             Contains("name a is that of the session at nono.yaml:1:12 as well"));
}

TEST_CASE("a session's variables file is its own") {
  const auto entries = [](const std::string& one, const std::string& other) {
    return error_of("env_file: {path: main.env}\nsessions:\n- {name: a, profile: default, " + one +
                    "}\n- {name: b, profile: default, " + other + "}\n");
  };
  CHECK_THAT(entries("env_file: {path: x.env}", "env_file: {path: x.env, format: json}"),
             Contains("env_file x.env is that of the session at nono.yaml:3:3 as well"));
  CHECK_THAT(entries("env_file: {path: main.env}", "env_file: {path: b.env}"),
             Contains("session a has the file of env_file.path"));
  CHECK_THAT(entries("env_file: {format: json}", "env_file: {path: b.env}"),
             Contains("env_file.format without env_file.path"));
  CHECK_THAT(entries("env_file: {path: a.env, format: yaml}", "env_file: {path: b.env}"),
             Contains("env_file.format: expected shell or github or json"));
  CHECK_THAT(entries("env_file: a.env", "env_file: {path: b.env}"), Contains("expected a map"));
}

TEST_CASE("a token of a session is never in the file, nor in an error, nor in two sessions") {
  std::string what = error_of("sessions: [{name: a, profile: default, token: abcdef0123456789}]\n");
  CHECK_THAT(what, Contains("never the token itself") && !Contains("abcdef"));
  CHECK_THAT(error_of("sessions: [{name: a, profile: default, token: 'env://'}]\n"),
             Contains("write where the token is"));
  CHECK_THAT(error_of("sessions: [{name: a, profile: default, token: env://T}, "
                      "{name: b, profile: default, token: env://T}]\n"),
             Contains("token env://T is that of the session at"));
  CHECK_THAT(
      error_of("auth: {token: env://T}\nsessions: [{name: a, profile: default, token: env://T}]\n"),
      Contains("session a has the token of auth.token"));
}

TEST_CASE("keys that belong to the whole proxy are told so in a session") {
  for (const char* key :
       {"tls: {cert: x, key: y}", "audit: required", "threads: 2", "metrics: {listen: x}",
        "admin: {}", "log_level: info", "socks5: false", "drain_time: 1s", "sessions: []"}) {
    INFO(key);
    CHECK_THAT(error_of("sessions: [{name: a, profile: default, " + std::string(key) + "}]\n"),
               Contains("belongs to the whole proxy"));
  }
  CHECK_THAT(error_of("sessions: [{name: a, profile: default, dns: {servers: [127.0.0.1]}}]\n"),
             Contains("its profile's network.dns_servers"));
}

TEST_CASE("two listeners in one place are told with both places") {
  CHECK_THAT(
      error_of("listen: [127.0.0.1:80, '127.0.0.1:80']\n"),
      Contains("nono.yaml:1:24: 127.0.0.1:80 of listen is that of listen at nono.yaml:1:10"));
  CHECK_THAT(error_of("sessions: [{name: a, profile: default, listen: localhost:80},\n"
                      "  {name: b, profile: default, listen: 127.0.0.1:80}]\n"),
             Contains("127.0.0.1:80 of session b is that of session a at nono.yaml:1:48"));
  CHECK_THAT(
      error_of("listen: unix:/x\nsessions: [{name: a, profile: default, listen: unix:/x}]\n"),
      Contains("unix:/x of session a is that of listen"));
  CHECK_THAT(error_of("listen: 127.0.0.1:9\nmetrics: {listen: '127.0.0.1:9'}\n"),
             Contains("of metrics.listen is that of listen"));
  CHECK_NOTHROW(
      parsed("listen: ['127.0.0.1:0', '127.0.0.1:0', 127.0.0.1, '[::1]:80', '127.0.0.1:80']\n"));
}

TEST_CASE("host rules carry what a tunnel's ClientHello may do") {
  ProxyConfig config = parsed(
      "network: {allow_domain: [{domain: a.example, sni: any}, {domain: b.example, ech: refuse}, "
      "c.example]}\n");
  REQUIRE(config.session.allow_hosts.size() == 3);
  CHECK(config.session.allow_hosts[0].any_sni);
  CHECK_FALSE(config.session.allow_hosts[0].refuse_ech);
  CHECK(config.session.allow_hosts[1].refuse_ech);
  CHECK_FALSE(config.session.allow_hosts[2].any_sni);
  const auto rule = [](const std::string& keys, const std::string& list = "allow_domain") {
    return error_of("network: {" + list + ": [{domain: a.example, " + keys + "}]}\n");
  };
  CHECK_THAT(rule("sni: none"), Contains("network.allow_domain.sni: expected any, found none"));
  CHECK_THAT(rule("ech: true"), Contains("network.allow_domain.ech: expected"));
  CHECK_THAT(rule("sny: any"), Contains("did you mean sni?"));
  CHECK_THAT(rule("sni: any", "deny_domain"), Contains("unknown key network.deny_domain.sni"));
  CHECK_THAT(rule("sni: any, endpoints: [{path: /a}]"), Contains("is intercepted"));
  CHECK_THAT(error_of("network: {allow_domain: [{domain: 'https://a.example/x', ech: refuse}]}\n"),
             Contains("is intercepted"));
}

TEST_CASE("values that are no such thing are told with their place") {
  CHECK_THAT(error_of("mode: watch\n"),
             Contains("nono.yaml:1:7: mode: expected enforce or observe, found watch"));
  CHECK_THAT(error_of("mode: observe\nnetwork: {mode: enforce}\n"),
             Contains("network.mode: observe was said already"));
  CHECK_THAT(error_of("reload: always\n"), Contains("expected keep or cut"));
  CHECK_THAT(error_of("log_level: warning\n"),
             Contains("expected error or warn or info or debug, found warning"));
  CHECK_THAT(error_of("drain_time: 10\n"), Contains("expected a duration"));
  CHECK(parsed("drain_time: 0s\n").drain_time == std::chrono::seconds(0));
  CHECK_THAT(error_of("via: yes\n"), Contains("expected true or false"));
  CHECK_THAT(error_of("metrics: {listen: 127.0.0.1}\n"), Contains("write the port as well"));
  CHECK_THAT(error_of("metrics: {listen: 'unix:/x'}\n"), Contains("no Unix socket"));
  CHECK_THAT(error_of("metrics: {listen: 'metrics.example:90'}\n"),
             Contains("an address is needed"));
  CHECK_THAT(error_of("dns: {listen: [dns.example]}\n"),
             Contains("dns.listen: dns.example: an address"));
  CHECK_THAT(error_of("tls: {cert: a.pem}\n"), Contains("tls.cert and tls.key go together"));
  CHECK_THAT(error_of("tls: {key: a.pem}\n"), Contains("tls.cert and tls.key go together"));
  CHECK_THAT(error_of("admin: {enabled: false, socket: /x}\n"), Contains("contradictory"));
  CHECK_THAT(error_of("auth: {required: false, token: env://T}\n"), Contains("contradictory"));
  CHECK_THAT(error_of("listen: []\n"), Contains("at least one address"));
  CHECK_THAT(error_of("listen: 127.0.0.1:99999\n"),
             Contains("nono.yaml:1:9: listen: 127.0.0.1:99999"));
  CHECK_THAT(error_of("listen: unix:/" + std::string(110, 'x') + "\n"), Contains("at most 107"));
  CHECK_THAT(error_of("limits: {peek_bytes_max: 10}\n"), Contains("from 1024"));
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
  CHECK_THAT(error_of("network: {allow_http2: true}\n"), Contains("is not supported yet"));
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
