// Banner, footer, environment variables, variables file and listen addresses: text in, text out.

#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "proxy/cli/banner.hpp"
#include "proxy/cli/child_environment.hpp"
#include "proxy/cli/console.hpp"
#include "proxy/cli/diagnosis.hpp"
#include "proxy/cli/env_file.hpp"
#include "proxy/cli/footer.hpp"
#include "proxy/cli/listen_address.hpp"

using namespace nono;
using namespace nono::cli;

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string read_file(const std::string& path) {
  std::ifstream stream(path);
  std::stringstream content;
  content << stream.rdbuf();
  return content.str();
}

mode_t mode_of(const std::string& path) {
  struct stat status = {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 0777;
}

class Directory {
 public:
  Directory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "nono-cli-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

audit::Record refused(const std::string& host, std::uint16_t port, Reason reason) {
  audit::Record record;
  record.host = host;
  record.port = port;
  record.because.reason = reason;
  return record;
}

SessionConfig filtered(const std::vector<std::string>& hosts) {
  SessionConfig config;
  config.network.mode = NetworkMode::filtered;
  for (const std::string& host : hosts) {
    config.network.allow.push_back(HostRule{host, {}, Origin{"--allow-domain"}});
  }
  return config;
}

std::size_t lines_of(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("the footer names each refused host once, with the flag that allows it") {
  const std::string text = footer_text({refused("evil.example", 443, Reason::no_rule),
                                        refused("evil.example", 80, Reason::no_rule),
                                        refused("db.example", 5432, Reason::no_rule)});
  CHECK(text ==
        "nono: refused 2 hosts:\n"
        "  evil.example:443  allow it with --allow-domain evil.example\n"
        "  db.example:5432  allow it with --allow-domain db.example:5432\n");
}

TEST_CASE("the footer offers no flag where none helps") {
  const std::string text = footer_text({refused("169.254.169.254", 80, Reason::always_denied),
                                        refused("bad.example", 443, Reason::rule_denies),
                                        refused("other.example", 443, Reason::phantom_elsewhere)});
  CHECK_FALSE(has(text, "--allow"));
  CHECK(has(text, "169.254.169.254:80"));
}

TEST_CASE("the footer says of captured connections what leads further") {
  audit::Record loopback = refused("127.0.0.1", 5432, Reason::no_rule);
  loopback.way = audit::Way::captured;
  CHECK_THAT(footer_text({loopback}),
             Catch::Contains("--open-port 5432 leads to this machine's own"));
  CHECK_THAT(footer_text({refused("10.1.2.3", 5432, Reason::private_address)}),
             Catch::Contains("allow it with --allow-domain 10.1.2.3:5432"));
}

TEST_CASE("after a run each file that was not granted is named once, with the flag for it") {
  using Access = sandbox::DeniedPath::Access;
  RunFacts facts;
  facts.exit_code = 1;
  facts.files_were_watched = true;
  facts.paths = {{"/no/such/file", Access::read, "", false},
                 {"/usr", Access::read, "", false},
                 {"/data/a b", Access::write, "", false},
                 {"/data/new", Access::make, "", false},
                 {"/home/me/new", Access::make, "", true},
                 {"/home/me/.ssh/id", Access::read, "deny_credentials", false}};
  const std::string text = diagnostics_text(facts);
  CHECK_THAT(text, Catch::Contains("kept 6 files"));
  CHECK_THAT(text,
             Catch::Contains("--read-file /no/such/file\n") && Catch::Contains("--read /usr\n"));
  CHECK_THAT(text,
             Catch::Contains("--allow-file '/data/a b'\n") && Catch::Contains("--allow /data\n"));
  CHECK_THAT(text,
             Catch::Contains("--allow /home/me/new\n") && !Catch::Contains("--allow /home/me\n"));
  CHECK_THAT(text, Catch::Contains("/home/me/.ssh/id  always denied (deny_credentials)\n"));
  CHECK_THAT(text, !Catch::Contains("--diagnose"));
}

TEST_CASE("diagnosis is offered where something was refused and the command failed, once") {
  RunFacts facts;
  facts.exit_code = 3;
  CHECK(diagnostics_text(facts).empty());  // it may have failed by itself
  facts.refusals = {refused("evil.example", 443, Reason::no_rule)};
  CHECK_THAT(diagnostics_text(facts), Catch::Contains("--diagnose"));
  facts.exit_code = 0;
  CHECK_THAT(diagnostics_text(facts), !Catch::Contains("--diagnose"));
}

TEST_CASE("diagnostics as JSON are one line, also when nothing was refused") {
  RunFacts facts;
  const nlohmann::json none = nlohmann::json::parse(diagnostics_json(facts));
  CHECK(none ==
        nlohmann::json::parse(R"({"exit_code": 0, "files_watched": false, "denials": []})"));
  facts.exit_code = 7;
  facts.files_were_watched = true;
  facts.refusals = {refused("evil.example", 443, Reason::no_rule)};
  facts.paths = {{"/data/\xff\n", sandbox::DeniedPath::Access::write, "", false},
                 {"/k", sandbox::DeniedPath::Access::read, "group", false}};
  const std::string text = diagnostics_json(facts);
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
  const nlohmann::json all = nlohmann::json::parse(text);
  REQUIRE(all["denials"].size() == 3);
  CHECK(all["exit_code"] == 7);
  CHECK(all["denials"][0]["host"] == "evil.example");
  CHECK(all["denials"][0]["fix"] == "allow it with --allow-domain evil.example");
  CHECK(all["denials"][1]["access"] == "write");
  CHECK(all["denials"][2]["fix"] == "");
  CHECK(all["denials"][2]["rule"] == "group");
}

TEST_CASE("the footer is empty after failures that were no refusals") {
  CHECK(footer_text({}).empty());
  CHECK(footer_text({refused("down.example", 443, Reason::upstream_failed)}).empty());
  CHECK(footer_text({refused("", 0, Reason::malformed)}).empty());
}

TEST_CASE("the footer is bounded and cannot write to the terminal") {
  std::vector<audit::Record> many;
  for (int i = 0; i < 500; ++i)
    many.push_back(refused("h" + std::to_string(i) + ".example", 443, Reason::no_rule));
  CHECK(lines_of(footer_text(many)) == 22);
  CHECK(has(footer_text(many), "and 480 more"));
  CHECK_FALSE(has(footer_text({refused("a\x1b[2Jb", 443, Reason::no_rule)}), "\x1b"));
}

TEST_CASE("the banner has at most five lines however much there is to say") {
  SessionConfig config = filtered({"a.example", "b.example", "c.example", "d.example", "e.example",
                                   "f.example", "g.example", "h.example"});
  for (int i = 0; i < 30; ++i) {
    config.grants.push_back(
        PathGrant{"/data/" + std::to_string(i), Access::read, false, false, "--read"});
  }
  config.grants.push_back(PathGrant{"/usr", Access::read, false, true, "default"});
  config.runtimes = {"pyenv 3.11.4"};
  std::vector<LoadedCredential> credentials(1);
  credentials[0].route.name = "openai";
  credentials[0].route.phantom_vars = {"OPENAI_API_KEY"};
  credentials[0].source = "keyring://nono/openai";
  credentials[0].phantom = "sk-nono_phantom";
  credentials[0].secret = Secret("sk-real-key");
  const std::vector<std::string> withheld{"AWS_SECRET_ACCESS_KEY"};
  const std::string text = banner_text(BannerFacts{config, credentials, withheld});
  CHECK(lines_of(text) <= 5);
  for (const char* part :
       {"pyenv 3.11.4", "1 system paths", "and 24 more", "a.example", "and 2 more",
        "openai from keyring://nono/openai", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY"}) {
    INFO(part);
    CHECK(has(text, part));
  }
  for (const std::string& shown : {text, full_text(BannerFacts{config, credentials, withheld})}) {
    CHECK_FALSE(has(shown, "sk-real-key"));
    CHECK_FALSE(has(shown, "sk-nono_phantom"));
  }
}

TEST_CASE("the banner says when the network is open") {
  const SessionConfig config;
  CHECK(has(banner_text(BannerFacts{config, {}, {}}), "open"));
}

TEST_CASE(
    "a program gets proxy variables in both cases, the CA only where something is intercepted") {
  ProxyAccess access;
  access.authority = "127.0.0.1:3128";
  access.token = "abc";
  auto variables = proxy_variables(access, {});
  for (const char* name : {"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"}) {
    CHECK(variables.at(name) == "http://nono:abc@127.0.0.1:3128");
  }
  CHECK(variables.at("NO_PROXY") == "localhost,127.0.0.1,::1");
  CHECK(variables.at("NONO_PROXY_TOKEN") == "abc");
  CHECK(variables.at("NODE_USE_ENV_PROXY") == "1");
  CHECK(variables.count("SSL_CERT_FILE") == 0);
  access.ca_bundle = "/run/nono/ca-bundle.pem";
  variables = proxy_variables(access, {});
  for (const char* name : {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
                           "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"}) {
    CHECK(variables.at(name) == "/run/nono/ca-bundle.pem");
  }
}

TEST_CASE("credentials give phantoms and base URLs, and the first one keeps a shared variable") {
  PlannedCredential gemini;
  gemini.route.name = "gemini";
  gemini.route.phantom_vars = {"GEMINI_API_KEY", "GOOGLE_API_KEY"};
  gemini.route.base_url_vars = {"GEMINI_BASE_URL"};
  gemini.phantom = "one";
  PlannedCredential google = gemini;
  google.route.name = "google-ai";
  google.route.phantom_vars = {"GOOGLE_API_KEY"};
  google.phantom = "two";
  ProxyAccess access;
  access.authority = "127.0.0.1:3128";
  const auto variables = proxy_variables(access, {gemini, google});
  CHECK(variables.at("GOOGLE_API_KEY") == "one");
  CHECK(variables.at("GEMINI_BASE_URL") == "http://127.0.0.1:3128/gemini");
  CHECK(variables.at("HTTP_PROXY") == "http://127.0.0.1:3128");
  CHECK(variables.count("NONO_PROXY_TOKEN") == 0);
}

TEST_CASE("other programs' CA variables follow only where our bundle holds what theirs did") {
  const EnvLookup parent = [](std::string_view name) -> std::optional<std::string> {
    if (name == "PIP_CERT") return "/etc/ssl/certs/ca-certificates.crt";
    if (name == "SSL_CERT_FILE" || name == "UV_SSL_CERT_FILE") return "/corp/roots.pem";
    if (name == "AWS_CA_BUNDLE") return "/somewhere/else.pem";
    return std::nullopt;
  };
  const auto variables = redirected_ca_variables(parent, "/run/ours.pem");
  CHECK(variables.at("PIP_CERT") == "/run/ours.pem");
  CHECK(variables.at("UV_SSL_CERT_FILE") == "/run/ours.pem");
  CHECK(variables.count("AWS_CA_BUNDLE") == 0);
  CHECK(variables.count("DENO_CERT") == 0);
}

TEST_CASE("interception is needed for credentials and rules about paths, and not for hosts") {
  CHECK_FALSE(needs_interception(filtered({"example.com"})));
  CHECK(needs_interception(filtered({"https://example.com/a/**"})));
  SessionConfig config = filtered({});
  config.credentials.emplace_back();
  CHECK(needs_interception(config));
  SessionConfig endpoints = filtered({"example.com"});
  endpoints.network.allow[0].endpoints.push_back(EndpointRule{"GET", "/", {}});
  CHECK(needs_interception(endpoints));
}

TEST_CASE("shell variables survive any value a shell could misread") {
  CHECK(format_env_file({{"A", "x'y $(z) \"w\""}}, EnvFileFormat::shell) ==
        "export A='x'\\''y $(z) \"w\"'\n");
}

TEST_CASE("github and json formats") {
  CHECK(format_env_file({{"A", "b"}, {"C", "d"}}, EnvFileFormat::github) == "A=b\nC=d\n");
  const auto json = nlohmann::json::parse(format_env_file({{"A", "b\"c"}}, EnvFileFormat::json));
  CHECK(json.at("A") == "b\"c");
}

TEST_CASE(
    "a shell or json file is replaced at once, with mode 0600, and nothing is left beside it") {
  const Directory directory;
  const std::string path = directory.file("env");
  std::ofstream(path) << "old";
  ::chmod(path.c_str(), 0644);
  REQUIRE(write_env_file(path, EnvFileFormat::shell, {{"A", "b"}}));
  CHECK(read_file(path) == "export A='b'\n");
  CHECK(mode_of(path) == 0600);
  const auto entries = std::filesystem::directory_iterator(directory.path());
  CHECK(std::distance(begin(entries), end(entries)) == 1);
}

TEST_CASE("a symbolic link in the way is replaced, not followed") {
  const Directory directory;
  const std::string victim = directory.file("victim"), path = directory.file("env");
  std::ofstream(victim) << "precious";
  std::filesystem::create_symlink(victim, path);
  REQUIRE(write_env_file(path, EnvFileFormat::json, {{"A", "b"}}));
  CHECK(read_file(victim) == "precious");
}

TEST_CASE("the github file is appended to and keeps its mode") {
  const Directory directory;
  const std::string path = directory.file("env");
  std::ofstream(path) << "OLD=1\n";
  ::chmod(path.c_str(), 0640);
  REQUIRE(write_env_file(path, EnvFileFormat::github, {{"A", "b"}}));
  CHECK(read_file(path) == "OLD=1\nA=b\n");
  CHECK(mode_of(path) == 0640);
}

TEST_CASE("a variables file that cannot be written is an error that names it") {
  const Directory directory;
  const Result<void> written =
      write_env_file(directory.file("none/env"), EnvFileFormat::shell, {{"A", "b"}});
  REQUIRE_FALSE(written);
  CHECK(has(written.error().what, "none/env"));
  CHECK_FALSE(write_env_file(directory.file("env"), EnvFileFormat::github, {{"A", "b\nEVIL=1"}}));
}

TEST_CASE("listen addresses in every form") {
  const auto listen = [](std::string_view text, std::optional<std::uint16_t> port = {}) {
    const Result<ListenAddress> parsed = parse_listen(text, port);
    if (!parsed) return "error: " + parsed.error().what;
    if (!parsed->unix_path.empty()) return "unix " + parsed->unix_path;
    return parsed->address.to_string() + " " + std::to_string(parsed->port);
  };
  CHECK(listen("127.0.0.1") == "127.0.0.1 0");
  CHECK(listen("127.0.0.1", 8080) == "127.0.0.1 8080");
  CHECK(listen("127.0.0.1:8080") == "127.0.0.1 8080");
  CHECK(listen("127.0.0.1:0") == "127.0.0.1 0");
  CHECK(listen("localhost:81") == "127.0.0.1 81");
  CHECK(listen("::1") == "::1 0");
  CHECK(listen("[::1]") == "::1 0");
  CHECK(listen("[::1]:443") == "::1 443");
  CHECK(listen("unix:/run/nono.sock") == "unix /run/nono.sock");
  for (const char* text : {"", "example.com", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
                           "[::1", "[::1]x", "unix:", "0x7f000001", ":8080"}) {
    INFO(text);
    CHECK(has(listen(text), "error"));
  }
  CHECK(has(listen("127.0.0.1:80", 8080), "--port with a port already written"));
}

TEST_CASE("only loopback addresses and Unix sockets count as loopback") {
  CHECK(parse_listen("127.3.2.1", {})->on_loopback());
  CHECK(parse_listen("[::1]", {})->on_loopback());
  CHECK(parse_listen("unix:/x", {})->on_loopback());
  CHECK_FALSE(parse_listen("0.0.0.0", {})->on_loopback());
  CHECK_FALSE(parse_listen("[::]", {})->on_loopback());
  CHECK_FALSE(parse_listen("10.0.0.1", {})->on_loopback());
}

TEST_CASE("control characters are shown, not sent to the terminal") {
  CHECK(printable("a\x1b[31m\r\nb\x7f") == "a\\x1b[31m\\x0d\\x0ab\\x7f");
}
