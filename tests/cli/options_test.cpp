// The command line: what each flag becomes, what stands in for it, and what is a usage error.

#include "proxy/cli/options.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <sstream>

using namespace nono;
using namespace nono::cli;

namespace {

using Variables = std::map<std::string, std::string>;

CommandLine parse(const std::vector<std::string>& arguments, const Variables& variables = {}) {
  return parse_command_line(arguments, [&](std::string_view name) -> std::optional<std::string> {
    const auto found = variables.find(std::string(name));
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> parts;
  for (std::string word; stream >> word;) parts.push_back(word);
  return parts;
}

RunOptions run(const std::string& text, const Variables& variables = {}) {
  const CommandLine line = parse(words("run " + text), variables);
  if (const auto* wrong = std::get_if<UsageError>(&line)) FAIL(wrong->message);
  return std::get<RunOptions>(line);
}

ProxyOptions proxy(const std::string& text, const Variables& variables = {}) {
  const CommandLine line = parse(words("proxy " + text), variables);
  if (const auto* wrong = std::get_if<UsageError>(&line)) FAIL(wrong->message);
  return std::get<ProxyOptions>(line);
}

std::string usage_error(const std::string& text, const Variables& variables = {}) {
  const CommandLine line = parse(words(text), variables);
  const auto* wrong = std::get_if<UsageError>(&line);
  return wrong == nullptr ? "no error" : wrong->message;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("everything after -- is the command, flags of its own included") {
  const RunOptions options = run("--allow-cwd -- python3 -c --silent -- x");
  CHECK(options.allow_cwd);
  CHECK(options.command == words("python3 -c --silent -- x"));
  CHECK_FALSE(options.common.silent);
}

TEST_CASE("a command without -- works when its first word is no flag") {
  const RunOptions options =
      run("--allow-cwd --network-profile minimal python3 -v --allow-domain x");
  CHECK(options.command == words("python3 -v --allow-domain x"));
  CHECK(options.policy.settings.allow_hosts.empty());
  CHECK(options.common.verbose == 0);
}

TEST_CASE("a repeatable flag takes one value each time and never swallows the command") {
  const RunOptions options = run("--allow-domain a.example --allow-domain b.example:8443 ls /");
  REQUIRE(options.policy.settings.allow_hosts.size() == 2);
  CHECK(options.policy.settings.allow_hosts[1].text == "b.example:8443");
  CHECK(options.command == words("ls /"));
}

TEST_CASE("flags become settings that name their flag") {
  const RunOptions options =
      run("-a rw -r ro -w wo --allow-file f1 --read-file f2 --write-file f3 --bypass-protection p "
          "--deny-domain evil.example --allow-private 10.0.0.0/8 --dns-server [::1]:5353 "
          "--dns-server 127.0.0.1 "
          "--credential openai --proxy-credential github=env://MY_TOKEN --allow-endpoint "
          "openai:GET:/v1/models "
          "--upstream-ca ca.pem --proxy-port 4000 --allow-env A_TOKEN --set-env B=c=d "
          "--proxy-ca-validity 7 -- true");
  const Settings& settings = options.policy.settings;
  REQUIRE(settings.paths.size() == 6);
  CHECK(settings.paths[0].access == Access::read_write);
  CHECK(settings.paths[1].access == Access::read);
  CHECK(settings.paths[2].access == Access::write);
  CHECK(settings.paths[5].file);
  CHECK(settings.paths[5].origin.text == "--write-file");
  CHECK(settings.bypass_protection == words("p"));
  CHECK(settings.deny_hosts.at(0).text == "evil.example");
  CHECK(settings.allow_private.at(0).to_string() == "10.0.0.0/8");
  CHECK(settings.dns_servers.at(0).to_string() == "[::1]:5353");
  CHECK(settings.dns_servers.at(1).to_string() == "127.0.0.1:53");
  CHECK_FALSE(settings.credentials.at(0).source);
  CHECK(settings.credentials.at(1).source == "env://MY_TOKEN");
  CHECK(settings.allow_endpoints == words("openai:GET:/v1/models"));
  CHECK(settings.upstream_ca_files == words("ca.pem"));
  CHECK(settings.proxy_port == 4000);
  CHECK(settings.pass_env == words("A_TOKEN"));
  CHECK(settings.set_env.at("B") == "c=d");
  CHECK(options.policy.ca_validity_days == 7U);
}

TEST_CASE("values that look like lists or sets are taken as they are written") {
  const RunOptions options = run("--allow-domain [::1]:80 --set-env X={} --set-env Y=[a,b] true");
  CHECK(options.policy.settings.allow_hosts.at(0).text == "[::1]:80");
  CHECK(options.policy.settings.set_env.at("X") == "{}");
  CHECK(options.policy.settings.set_env.at("Y") == "[a,b]");
}

TEST_CASE("variables stand in for flags, and a flag replaces its variable") {
  const Variables variables{{"NONO_ALLOW", "/a, /b"},
                            {"NONO_NETWORK_PROFILE", "minimal"},
                            {"NONO_ALLOW_DOMAIN", "x.example,y.example"},
                            {"NONO_CREDENTIAL", "openai"},
                            {"NONO_PROFILE", "p.json"}};
  const RunOptions options = run("-- true", variables);
  CHECK(options.policy.settings.paths.size() == 2);
  CHECK(options.policy.settings.paths.at(1).path == "/b");
  CHECK(options.policy.settings.network_profile == "minimal");
  CHECK(options.policy.settings.allow_hosts.size() == 2);
  CHECK(options.policy.settings.credentials.at(0).name == "openai");
  CHECK(options.policy.profile == "p.json");

  const RunOptions over = run("--allow-domain z.example --profile q.json -- true", variables);
  REQUIRE(over.policy.settings.allow_hosts.size() == 1);
  CHECK(over.policy.settings.allow_hosts[0].text == "z.example");
  CHECK(over.policy.profile == "q.json");
}

TEST_CASE("legacy variables work and new ones win over them") {
  CHECK(run("true", {{"NONO_NET_BLOCK", "1"}}).policy.settings.block_network);
  CHECK(run("true", {{"NONO_PROXY_ALLOW", "a.example"}}).policy.settings.allow_hosts.size() == 1);
  CHECK(run("true", {{"NONO_PROXY_CREDENTIAL", "github"}}).policy.settings.credentials.size() == 1);
  CHECK_FALSE(run("true", {{"NONO_BLOCK_NET", "no"}, {"NONO_NET_BLOCK", "1"}})
                  .policy.settings.block_network);
  CHECK(has(usage_error("run true", {{"NONO_BLOCK_NET", "maybe"}}), "NONO_BLOCK_NET"));
}

TEST_CASE("deprecated spellings work and are noted; those of the guide are not") {
  const RunOptions old = run("--proxy-allow a.example --override-deny /x true");
  CHECK(old.policy.settings.allow_hosts.at(0).text == "a.example");
  CHECK(old.policy.settings.bypass_protection == words("/x"));
  CHECK(old.common.notes.size() == 2);
  CHECK(run("--proxy-credential openai --net-block true").common.notes.empty());
}

TEST_CASE("mistyped words get the nearest one that exists") {
  CHECK(has(usage_error("run --allow-cdw -- true"), "--allow-cwd"));
  CHECK(has(usage_error("run --allow-domian x true"), "--allow-domain"));
  CHECK(has(usage_error("rum -- true"), "run"));
  CHECK(has(usage_error("key lst"), "list"));
  CHECK(has(usage_error("proxy --lisen 127.0.0.1"), "--listen"));
}

TEST_CASE("usage errors name what is wrong") {
  CHECK(has(usage_error("run"), "no command"));
  CHECK(has(usage_error("run --allow-cwd --"), "no command"));
  CHECK(has(usage_error("run --allow-private 10.0.0.1/8 true"), "--allow-private"));
  CHECK(has(usage_error("run --dns-server dns.example true"), "--dns-server"));
  CHECK(has(usage_error("run --proxy-ca-validity 0 true"), "--proxy-ca-validity"));
  CHECK(has(usage_error("run --proxy-ca-validity 366 true"), "--proxy-ca-validity"));
  CHECK(has(usage_error("run --set-env NOVALUE true"), "--set-env"));
  CHECK(has(usage_error("run --set-env 1A=b true"), "--set-env"));
  CHECK(has(usage_error("run --allow-env A-B true"), "--allow-env"));
  CHECK(has(usage_error("run --credential =x true"), "--credential"));
  CHECK(has(usage_error("run --credential openai= -- true"), "--credential"));
  CHECK(has(usage_error("run --allow-domain= -- true"), "--allow-domain"));
  CHECK(has(usage_error("run --extends base true"), "--profile"));
  CHECK(has(usage_error("run --audit maybe true"), "--audit"));
  CHECK(has(usage_error("run --audit-log"), "--audit-log"));
  CHECK(has(usage_error("setup"), "--check-only"));
  CHECK(has(usage_error(""), "no command"));
  CHECK(has(usage_error("proxy extra"), "extra"));
}

TEST_CASE("flags of one command are unknown to the other") {
  CHECK(has(usage_error("proxy --allow-cwd"), "--allow-cwd"));
  CHECK(has(usage_error("proxy --block-net"), "--block-net"));
  CHECK(has(usage_error("run --listen 127.0.0.1 true"), "--listen"));
}

TEST_CASE("silent and verbose are understood before and after the command") {
  CHECK(run("-s true").common.silent);
  const CommandLine line = parse(words("-s -v run -v -- true"));
  CHECK(std::get<RunOptions>(line).common.silent);
  CHECK(std::get<RunOptions>(line).common.verbose == 2);
}

TEST_CASE("version and help are for stdout") {
  CHECK(std::get<Information>(parse({"--version"})).text == "nono " NONO_VERSION "\n");
  CHECK(std::get<Information>(parse({"-V"})).text == "nono " NONO_VERSION "\n");
  CHECK(has(std::get<Information>(parse({"--help"})).text, "Examples"));
  const std::string help = std::get<Information>(parse({"run", "--help"})).text;
  for (const char* part :
       {"Files", "Network", "Credentials", "--allow-cwd", "Examples:", "nono run [FLAGS]"}) {
    INFO(part);
    CHECK(has(help, part));
  }
  CHECK_FALSE(has(help, "override-deny"));
  // After the command's own name it belongs to the command.
  CHECK(std::holds_alternative<RunOptions>(parse(words("run ls --help"))));
}

TEST_CASE("proxy flags become options") {
  const ProxyOptions options = proxy(
      "--listen 127.0.0.1 --listen unix:/run/x --port 0 --no-auth --max-connections 0 --threads 2 "
      "--config nono.yaml --env-file e --env-format json --print-token --allow-domain example.com");
  CHECK(options.listen == words("127.0.0.1 unix:/run/x"));
  CHECK(options.port == 0);
  CHECK(options.no_auth);
  CHECK(options.connections_max == 0U);
  CHECK(options.threads == 2U);
  CHECK(options.config == "nono.yaml");
  CHECK(options.env_format == EnvFileFormat::json);
  CHECK(options.print_token);
  CHECK(options.policy.settings.allow_hosts.size() == 1);
}

TEST_CASE("the token comes from the flag, then from its variables") {
  CHECK(proxy("--pass abc", {{"NONO_PROXY_TOKEN", "def"}}).token == "abc");
  CHECK(proxy("", {{"NONO_PROXY_TOKEN", "def"}, {"NONO_PROXY_PASS", "ghi"}}).token == "def");
  CHECK(proxy("", {{"NONO_PROXY_PASS", "ghi"}}).token == "ghi");
  CHECK_FALSE(proxy("", {{"NONO_PROXY_TOKEN", ""}}).token);
}

TEST_CASE("contradictory proxy flags are usage errors") {
  CHECK(has(usage_error("proxy --proxy-ca-cert a.pem"), "go together"));
  CHECK(has(usage_error("proxy --env-format json"), "--env-file"));
  CHECK(has(usage_error("proxy --no-auth --pass x"), "contradictory"));
  CHECK(has(usage_error("proxy --threads 0"), "--threads"));
  CHECK(has(usage_error("proxy --port 70000"), "--port"));
  CHECK(has(usage_error("proxy", {{"NONO_PROXY_MAX_CONNECTIONS", "many"}}),
            "NONO_PROXY_MAX_CONNECTIONS"));
}

TEST_CASE("key actions take exactly one name") {
  const auto key = [](const std::string& text) {
    return std::get<KeyOptions>(parse(words("key " + text)));
  };
  CHECK(key("set openai").action == KeyOptions::Action::set);
  CHECK(key("set openai --stdin").from_stdin);
  CHECK(key("remove openai").name == "openai");
  CHECK(key("list").action == KeyOptions::Action::list);
  CHECK(has(usage_error("key set"), "one NAME"));
  CHECK(has(usage_error("key set a b"), "one NAME"));
  CHECK(has(usage_error("key list x"), "no arguments"));
  CHECK(has(usage_error("key"), "set NAME"));
  CHECK(has(usage_error("key list --stdin"), "--stdin"));
}

TEST_CASE("what a fleet's proxy is told by flags") {
  const ProxyOptions options = proxy(
      "--observe --drain-time 90 --log-level debug --metrics-listen 127.0.0.1:9464 --admin-socket "
      "/run/a.sock --tls-cert c.pem --tls-key k.pem --dns-listen 127.0.0.1 --dns-listen [::1]:5353 "
      "--max-connections-per-session 5 --max-connects-per-second 6 "
      "--max-connects-per-second-per-session 7 --reload-cut --no-socks5 --via --audit required "
      "--audit-rotate 64M --audit-keep 3");
  CHECK(options.policy.settings.observe == true);
  CHECK(options.drain_time == std::chrono::seconds(90));
  CHECK(options.log_level == LogLevel::debug);
  CHECK(options.metrics_listen == "127.0.0.1:9464");
  CHECK(options.admin_socket == "/run/a.sock");
  CHECK_FALSE(options.no_admin);
  CHECK(options.tls_cert == "c.pem");
  CHECK(options.tls_key == "k.pem");
  CHECK(options.dns_listen == words("127.0.0.1 [::1]:5353"));
  CHECK(options.session_limits.connections_max == 5U);
  CHECK(options.connects_per_second_max == 6U);
  CHECK(options.session_limits.connects_per_second_max == 7U);
  CHECK(options.reload_cut);
  CHECK(options.no_socks5);
  CHECK(options.via);
  CHECK(options.policy.audit_required);
  CHECK(options.audit_rotate_bytes == std::uint64_t(64) << 20);
  CHECK(options.audit_keep == 3U);
}

TEST_CASE("without flags nothing is said, so that nono.yaml is heard") {
  const ProxyOptions options = proxy("");
  CHECK_FALSE(options.policy.settings.observe);
  CHECK_FALSE(options.drain_time);
  CHECK_FALSE(options.log_level);
  CHECK_FALSE(options.metrics_listen);
  CHECK_FALSE(options.admin_socket);
  CHECK_FALSE(options.tls_cert);
  CHECK(options.dns_listen.empty());
  CHECK_FALSE(options.session_limits.connections_max);
  CHECK_FALSE(options.session_limits.connects_per_second_max);
  CHECK_FALSE(options.connects_per_second_max);
  CHECK_FALSE(options.audit_rotate_bytes);
  CHECK_FALSE(options.audit_keep);
}

TEST_CASE("drain time takes seconds, units, and nothing at all") {
  CHECK(proxy("--drain-time 10s").drain_time == std::chrono::seconds(10));
  CHECK(proxy("--drain-time 5m").drain_time == std::chrono::minutes(5));
  CHECK(proxy("--drain-time 0").drain_time == std::chrono::seconds(0));
  CHECK(has(usage_error("proxy --drain-time soon"), "--drain-time"));
  CHECK(has(usage_error("proxy --drain-time -1"), "--drain-time"));
}

TEST_CASE("variables of the proxy stand in for its flags, and a flag replaces its variable") {
  const Variables variables{{"NONO_OBSERVE", "1"},
                            {"NONO_DRAIN_TIME", "20s"},
                            {"NONO_LOG_LEVEL", "warn"},
                            {"NONO_METRICS_LISTEN", "127.0.0.1:1"},
                            {"NONO_ADMIN_SOCKET", "/v.sock"}};
  const ProxyOptions options = proxy("", variables);
  CHECK(options.policy.settings.observe == true);
  CHECK(options.drain_time == std::chrono::seconds(20));
  CHECK(options.log_level == LogLevel::warn);
  CHECK(options.metrics_listen == "127.0.0.1:1");
  CHECK(options.admin_socket == "/v.sock");
  const ProxyOptions over =
      proxy("--drain-time 1 --log-level error --metrics-listen 127.0.0.1:2 --admin-socket /f.sock",
            variables);
  CHECK(over.drain_time == std::chrono::seconds(1));
  CHECK(over.log_level == LogLevel::error);
  CHECK(over.metrics_listen == "127.0.0.1:2");
  CHECK(over.admin_socket == "/f.sock");
  CHECK_FALSE(proxy("--no-admin", variables).admin_socket);
  CHECK_FALSE(proxy("", {{"NONO_OBSERVE", "no"}}).policy.settings.observe);
  CHECK(run("true", {{"NONO_OBSERVE", "yes"}}).policy.settings.observe == true);
  CHECK(has(usage_error("proxy", {{"NONO_OBSERVE", "maybe"}}), "NONO_OBSERVE"));
  CHECK(has(usage_error("proxy", {{"NONO_LOG_LEVEL", "loud"}}), "NONO_LOG_LEVEL"));
  CHECK(has(usage_error("proxy", {{"NONO_DRAIN_TIME", "soon"}}), "--drain-time"));
  CHECK(has(usage_error("proxy", {{"NONO_METRICS_LISTEN", "here"}}), "--metrics-listen"));
}

TEST_CASE("proxy flags that cannot be meant are usage errors") {
  CHECK(has(usage_error("proxy --tls-cert a.pem"), "go together"));
  CHECK(has(usage_error("proxy --tls-key a.pem"), "go together"));
  CHECK(has(usage_error("proxy --no-admin --admin-socket /x"), "contradictory"));
  CHECK(has(usage_error("proxy --log-level loud"), "--log-level"));
  CHECK(has(usage_error("proxy --dns-listen dns.example"), "--dns-listen"));
  CHECK(has(usage_error("proxy --dns-listen unix:/x"), "--dns-listen"));
  CHECK(has(usage_error("proxy --metrics-listen 127.0.0.1"), "write the port"));
  CHECK(has(usage_error("proxy --metrics-listen unix:/x"), "--metrics-listen"));
  CHECK(has(usage_error("proxy --audit-rotate 1K"), "--audit-rotate"));
  CHECK(has(usage_error("proxy --audit-rotate lots"), "--audit-rotate"));
  CHECK(has(usage_error("proxy --audit-keep 0"), "--audit-keep"));
  CHECK(has(usage_error("proxy --max-connections-per-session 0"), "--max-connections-per-session"));
  CHECK(has(usage_error("proxy --ttl 8h"), "--ttl"));
  CHECK(has(usage_error("run --drain-time 1 true"), "--drain-time"));
}

TEST_CASE("ports and how they are captured come from their flags") {
  const RunOptions none = run("-- true");
  CHECK(none.capture_all_ports == sandbox::AllPorts::automatic);
  CHECK(none.policy.settings.open_ports.empty());
  const RunOptions options =
      run("--open-port 8000 --allow-port 8001 --listen-port 3000 --allow-bind 3001 "
          "--capture-all-ports -- true");
  CHECK(options.capture_all_ports == sandbox::AllPorts::required);
  REQUIRE(options.policy.settings.open_ports.size() == 2);
  CHECK(options.policy.settings.open_ports[1].port == Port(8001));
  REQUIRE(options.policy.settings.listen_ports.size() == 2);
  CHECK(options.policy.settings.listen_ports[0].port == Port(3000));
  CHECK(run("--capture-all-ports=off -- true").capture_all_ports == sandbox::AllPorts::off);
  CHECK(run("--capture-all-ports=auto -- true").capture_all_ports == sandbox::AllPorts::automatic);
  for (const char* wrong :
       {"--open-port 0", "--listen-port 65536", "--open-port x", "--capture-all-ports=some"}) {
    INFO(wrong);
    CHECK(std::holds_alternative<UsageError>(parse(words(std::string("run ") + wrong + " true"))));
  }
}
