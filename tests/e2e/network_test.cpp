// Where the command can go: through the proxy to what a rule names, and nowhere else.

#include <catch2/catch.hpp>

#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

// One decision line of the audit log for this host, or null.
nlohmann::json decision_for(const Stage& stage, const std::string& host) {
  for (const nlohmann::json& line : stage.audit()) {
    if (line.value("kind", "") == "decision" && line.value("host", "") == host) return line;
  }
  return nullptr;
}

TEST_CASE("an allowed host is reached and everything else is refused with the remedy") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("fetch.py");
  const Finished ended = run(stage->nono_run(
      {"--allow-domain", "example.com", "--", "python3", "fetch.py", "http://example.com/hello",
       "http://evil.example/hello", "https://evil.example/hello"}));
  INFO(ended.err);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out, Contains("http://example.com/hello 200 hello"));
  CHECK_THAT(ended.out, Contains("http://evil.example/hello refused 403"));
  CHECK_THAT(ended.out, Contains("--allow-domain evil.example"));
  CHECK_THAT(ended.out, Contains("https://evil.example/hello failed") && Contains("403"));
}

TEST_CASE("a host that no rule names is never looked up") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("fetch.py");
  const Finished ended = run(stage->nono_run(
      {"--allow-domain", "example.com", "--", "python3", "fetch.py", "http://example.com/hello",
       "http://evil.example/", "https://evil.example/", "http://example.net/"}));
  INFO(ended.err);
  CHECK(stage->asked_for("example.com"));
  CHECK_FALSE(stage->asked_for("evil.example"));
  CHECK_FALSE(stage->asked_for("example.net"));
}

TEST_CASE("every decision is an audit line with its reason") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("fetch.py");
  run(stage->nono_run({"--allow-domain", "example.com", "--", "python3", "fetch.py",
                       "http://example.com/hello?q=1", "http://evil.example/"}));
  const nlohmann::json yes = decision_for(*stage, "example.com");
  REQUIRE(yes.is_object());
  CHECK(yes["decision"] == "allow");
  CHECK(yes["port"] == 80);
  const nlohmann::json no = decision_for(*stage, "evil.example");
  REQUIRE(no.is_object());
  CHECK(no["decision"] == "refuse");
  CHECK(no.value("reason", "") != "");
  // A path is recorded without its query.
  CHECK_THAT(stage->audit_text(), !Contains("q=1"));
}

TEST_CASE("the end of a connection is an audit line with its bytes") {
  const auto stage = Stage::make();
  if (!stage) return;
  run(stage->nono_run({"--allow-domain", "example.com", "--", "curl", "-sS", "--cacert", "ca.pem",
                       "https://example.com/big", "-o", "big"}));
  bool ended = false;
  for (const nlohmann::json& line : stage->audit()) {
    if (line.value("kind", "") != "end") continue;
    ended = true;
    CHECK(line.value("bytes_to_client", 0) > 1'000'000);
    CHECK(line.value("duration_us", 0) > 0);
  }
  CHECK(ended);
}

TEST_CASE("the footer names each refused host once with the flag that allows it") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("fetch.py");
  const std::vector<std::string> arguments = {
      "--allow-domain",        "example.com",          "--", "python3", "fetch.py",
      "http://evil.example/a", "http://evil.example/b"};
  const Finished ended = run(stage->nono_run(arguments));
  const std::size_t first = ended.err.find("--allow-domain evil.example");
  REQUIRE(first != std::string::npos);
  CHECK(ended.err.find("--allow-domain evil.example", first + 1) == std::string::npos);
  std::vector<std::string> silent = arguments;
  silent.insert(silent.begin(), "--silent");
  CHECK(run(stage->nono_run(silent)).err == "");
}

TEST_CASE("with the network blocked curl is refused") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(stage->nono({"run", "--block-net", "--allow-cwd", "--", "curl", "-sS",
                                          "--max-time", "10", "https://example.com"}));
  CHECK(ended.code != 0);
  CHECK(ended.code < 125);
  CHECK(stage->questions().find("query") == std::string::npos);
}

TEST_CASE("with the network blocked the command is started without any proxy") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("direct.py");
  const Finished ended = run(stage->nono(
      {"run", "--block-net", "--allow-cwd", "--", "python3", "direct.py", stage->address(), "80"}));
  INFO(ended.out << ended.err);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out, !Contains("WENT OUT"));
}

TEST_CASE("programs that ignore the proxy get nowhere") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("direct.py");
  const Finished ended = run(stage->nono_run(
      {"--allow-domain", "example.com", "--", "python3", "direct.py", stage->address(), "80"}));
  INFO(ended.out << ended.err);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out, !Contains("WENT OUT"));
  CHECK(stage->requests().empty());
  CHECK_FALSE(stage->asked_for("example.net"));
}

TEST_CASE("without a network flag the network is open and the banner says so") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(stage->nono(
      {"run", "--allow-cwd", "-v", "--", "curl", "-sS", "http://" + stage->address() + "/hello"}));
  INFO(ended.err);
  CHECK(ended.out == "hello\n");
  CHECK_THAT(ended.err, Contains("open"));
}

TEST_CASE("an inherited proxy setting does not survive") {
  const auto stage = Stage::make();
  if (!stage) return;
  Command command = stage->nono_run({"--allow-domain", "example.com", "--", "env"});
  command.env["HTTPS_PROXY"] = "http://corporate.example:3128";
  command.env["NO_PROXY"] = "evil.example";
  const Finished ended = run(command);
  INFO(ended.err);
  CHECK_THAT(ended.out, !Contains("corporate.example") && !Contains("evil.example"));
  CHECK_THAT(ended.out, Contains("HTTPS_PROXY=http://") && Contains("NODE_USE_ENV_PROXY=1"));
}

TEST_CASE("private addresses are refused unless a flag names their range") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("fetch.py");
  std::vector<std::string> arguments = {"run",
                                        "--allow-cwd",
                                        "--dns-server",
                                        stage->address() + ":5300",
                                        "--allow-domain",
                                        "example.com",
                                        "--",
                                        "python3",
                                        "fetch.py",
                                        "http://example.com/hello"};
  const Finished ended = run(stage->nono(arguments));
  INFO(ended.err);
  CHECK_THAT(ended.out, Contains("refused 403") && Contains("--allow-private"));
  CHECK(stage->requests().empty());
}

TEST_CASE("the metadata address is refused whatever is allowed") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("fetch.py");
  for (const char* host :
       {"169.254.169.254", "[::ffff:169.254.169.254]", "0xa9fea9fe", "2852039166"}) {
    const Finished ended =
        run(stage->nono_run({"--allow-private", "169.254.0.0/16", "--allow-domain", "example.com",
                             "--", "python3", "fetch.py", std::string("http://") + host + "/"}));
    INFO(host << ended.out << ended.err);
    CHECK_THAT(ended.out, !Contains(" 200 "));
  }
}

TEST_CASE("a tunnel passes TLS to the origin unopened") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended =
      run(stage->nono_run({"--network-profile", "minimal", "--allow-domain", "huggingface.co", "--",
                           "curl", "-sS", "--cacert", "ca.pem", "https://huggingface.co/hello"}));
  INFO(ended.err);
  CHECK(ended.code == 0);
  CHECK(ended.out == "hello\n");
  REQUIRE(stage->requests().size() == 1);
  CHECK(stage->requests()[0]["sni"] == "huggingface.co");
}

TEST_CASE("the session's token and proxy fields never reach the origin") {
  const auto stage = Stage::make();
  if (!stage) return;
  run(stage->nono_run({"--allow-domain", "example.com", "--", "curl", "-sS",
                       "http://example.com/hello", "-H", "Proxy-Connection: keep-alive", "-H",
                       "Connection: X-Private", "-H", "X-Private: 1"}));
  REQUIRE(stage->requests().size() == 1);
  const nlohmann::json headers = stage->requests()[0]["headers"];
  CHECK_FALSE(headers.contains("proxy-authorization"));
  CHECK_FALSE(headers.contains("proxy-connection"));
  CHECK_FALSE(headers.contains("x-private"));
}

TEST_CASE("a wrong token is refused even inside the sandbox where none is needed") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_file(
      "go.sh",
      "hostport=${HTTP_PROXY##*@}\nhostport=${hostport#http://}\nhostport=${hostport%/}\n"
      "unset http_proxy HTTP_PROXY https_proxy HTTPS_PROXY no_proxy NO_PROXY\n"
      "curl -s -o /dev/null -w '%{http_code}\\n' -x http://$hostport http://example.com/hello\n"
      "curl -s -o /dev/null -w '%{http_code}\\n' -x http://nono:wrong@$hostport "
      "http://example.com/hello\n");
  const Finished ended =
      run(stage->nono_run({"--allow-domain", "example.com", "--", "sh", "go.sh"}));
  INFO(ended.err);
  CHECK(ended.out == "200\n407\n");
}

}  // namespace
}  // namespace nono::testing
