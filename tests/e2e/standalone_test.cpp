// `nono proxy`: the same proxy without a sandbox, for clients that others start.

#include <signal.h>
#include <sys/stat.h>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

Finished curl(const Stage& stage, const std::string& proxy, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(),
                   {"curl", "-sS", "--max-time", "20", "--cacert", stage.ca_file(), "-x", proxy});
  return run({arguments, plain_environment(stage.home()), stage.project(), {}, ""});
}

std::string status_of(const Stage& stage, const std::string& proxy, const std::string& url) {
  return curl(stage, proxy, {"-o", "/dev/null", "-w", "%{http_code}", url}).out;
}

TEST_CASE("curl goes through a standalone proxy in the clear and through a tunnel") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  CHECK(curl(*stage, proxy.url(), {"http://example.com/hello"}).out == "hello\n");
  CHECK(curl(*stage, proxy.url(), {"https://example.com/hello"}).out == "hello\n");
  CHECK(curl(*stage, proxy.url(), {"http://example.com/chunked"}).out == "one two three");
  CHECK(curl(*stage, proxy.url(), {"http://example.com/until-close"}).out == "until the end");
  CHECK(curl(*stage, proxy.url(), {"-I", "http://example.com/hello"}).code == 0);
  CHECK(status_of(*stage, proxy.url(), "http://example.com/204") == "204");
  CHECK(status_of(*stage, proxy.url(), "http://example.com/304") == "304");
}

TEST_CASE("bodies go up by length and in chunks and after Expect") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string file = stage->project_file("body", std::string(300'000, 'x'));
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  const std::vector<std::vector<std::string>> ways = {
      {"--data-binary", "@" + file},
      {"--data-binary", "@" + file, "-H", "Transfer-Encoding: chunked"},
      {"--data-binary", "@" + file, "-H", "Expect: 100-continue"}};
  for (std::vector<std::string> way : ways) {
    way.push_back("http://example.com/upload");
    const Finished answer = curl(*stage, proxy.url(), way);
    INFO(answer.err);
    CHECK_THAT(answer.out, Contains("\"bytes\": 300000"));
  }
}

TEST_CASE("one connection carries many requests") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  const Finished answer = curl(*stage, proxy.url(),
                               {"-w", "%{num_connects} ", "http://example.com/hello",
                                "http://example.com/chunked", "http://example.com/hello"});
  INFO(answer.err);
  CHECK(answer.code == 0);
  CHECK(answer.out == "hello\n1 one two three0 hello\n0 ");
}

TEST_CASE("a request without the token is answered 407 and a wrong one too") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  CHECK(status_of(*stage, proxy.url_without_token(), "http://example.com/hello") == "407");
  CHECK(status_of(*stage, "http://nono:wrong@" + proxy.authority(), "http://example.com/hello") ==
        "407");
  CHECK_THAT(curl(*stage, proxy.url_without_token(), {"https://example.com/hello"}).err,
             Contains("407"));
  CHECK(stage->requests().empty());
  CHECK_FALSE(stage->asked_for("example.com"));
  // As a bearer token it is as good as by Basic.
  CHECK(curl(*stage, proxy.url_without_token(),
             {"--proxy-header", "Proxy-Authorization: Bearer " + proxy.token(),
              "http://example.com/hello"})
            .out == "hello\n");
}

TEST_CASE("the token is shown nowhere") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  status_of(*stage, proxy.url(), "http://example.com/hello");
  proxy.process().signal(SIGTERM);
  const Finished ended = proxy.process().wait(20s);
  CHECK_THAT(ended.out + ended.err + stage->audit_text(), !Contains(proxy.token()));
}

TEST_CASE("SIGTERM drains what is under way and exits 0") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  CHECK(status_of(*stage, proxy.url(), "http://example.com/hello") == "200");
  proxy.process().signal(SIGTERM);
  const Finished ended = proxy.process().wait(30s);
  INFO(ended.err);
  CHECK_FALSE(ended.timed_out);
  CHECK(ended.code == 0);
}

TEST_CASE("no authentication is possible on loopback only and warns") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--no-auth", "--allow-domain", "example.com"});
  CHECK(status_of(*stage, proxy.url_without_token(), "http://example.com/hello") == "200");
  CHECK_THAT(proxy.process().err() + proxy.process().out(), Contains("no token"));
  const Finished outside = run(
      stage->nono({"proxy", "--listen", "0.0.0.0:0", "--no-auth", "--allow-domain", "example.com"}),
      20s);
  CHECK_FALSE(outside.timed_out);
  CHECK(outside.code != 0);
}

TEST_CASE("a proxy without any policy exits 2 and names the flags") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(stage->nono({"proxy", "--listen", stage->address() + ":0"}), 20s);
  CHECK_FALSE(ended.timed_out);
  CHECK(ended.code == 2);
  CHECK_THAT(ended.err, Contains("--allow-domain"));
}

TEST_CASE("an occupied port is an error that names it") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  const Finished ended = run(
      stage->nono({"proxy", "--listen", proxy.authority(), "--allow-domain", "example.com"}), 20s);
  CHECK_FALSE(ended.timed_out);
  CHECK(ended.code == 1);
  CHECK_THAT(ended.err, Contains(proxy.authority()));
}

TEST_CASE("a configuration file does what the flags do") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string config = stage->project_file(
      "nono.yaml",
      fmt::format("network:\n  allow_domain: [example.com]\n  allow_private: [127.0.0.0/8]\n"
                  "dns:\n  servers: [\"{}:5300\"]\n",
                  stage->address()));
  Command command = stage->nono({"proxy", "--config", config, "--listen", stage->address() + ":0"});
  command.env["NONO_PROXY_TOKEN"] = "0123456789abcdef0123456789abcdef";
  Process process(command);
  INFO(process.err());
  REQUIRE(process.wait_for("listening on"));
  const std::string before = "listening on ";
  const std::string text = process.out() + process.err();
  const std::size_t at = text.find(before) + before.size();
  const std::string authority = text.substr(at, text.find_first_of(" \n", at) - at);
  CHECK(status_of(*stage, "http://nono:0123456789abcdef0123456789abcdef@" + authority,
                  "http://example.com/hello") == "200");
}

void check_env_file(const std::string& format, const std::string& expected) {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string file = stage->dir() / "job.env";
  Proxy proxy(*stage,
              {"--allow-domain", "example.com", "--env-file", file, "--env-format", format});
  const std::string text = read_file(file);
  INFO(text);
  CHECK_THAT(text, Contains(expected) && Contains(proxy.token()) && Contains(proxy.authority()));
  struct stat info {};
  REQUIRE(::stat(file.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  if (format != "shell") return;
  const Finished job = run({{"sh", "-c", ". " + file + "; curl -sS http://example.com/hello"},
                            plain_environment(stage->home()),
                            stage->project(),
                            {},
                            ""});
  INFO(job.err);
  CHECK(job.out == "hello\n");
}

TEST_CASE("the environment file of the shell format is sourced and used") {
  check_env_file("shell", "export HTTPS_PROXY=");
}

TEST_CASE("the environment file of the JSON format parses") {
  check_env_file("json", "\"HTTPS_PROXY\"");
}

TEST_CASE("the environment file of a CI job is appended to and the token masked") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string file = stage->dir().write("github.env", "EARLIER=1\n", 0644);
  Proxy proxy(*stage,
              {"--allow-domain", "example.com", "--env-file", file, "--env-format", "github"});
  const std::string text = read_file(file);
  CHECK_THAT(text,
             Catch::Matchers::StartsWith("EARLIER=1\n") && Contains("HTTPS_PROXY=" + proxy.url()));
  struct stat info {};
  REQUIRE(::stat(file.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0644);
  CHECK_THAT(proxy.process().out() + proxy.process().err(),
             Contains("::add-mask::" + proxy.token()));
}

TEST_CASE("a credential works through a standalone proxy by its reverse form") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string file = stage->dir() / "job.env";
  Proxy proxy(*stage, {"--credential", "openai", "--env-file", file, "--env-format", "shell"},
              {{"OPENAI_API_KEY", stage->real_key()}});
  stage->project_data("agent.py");
  const Finished job = run({{"sh", "-c", ". " + file + "; exec python3 agent.py"},
                            plain_environment(stage->home()),
                            stage->project(),
                            {},
                            ""});
  INFO(job.out << job.err);
  CHECK_THAT(job.out, Contains("base 200") && Contains("https 200"));
  CHECK_THAT(job.out + read_file(file), !Contains(stage->real_key()));
  REQUIRE(stage->requests().size() == 2);
  CHECK(stage->requests()[0]["headers"]["authorization"] == "Bearer " + stage->real_key());
}

TEST_CASE("several threads serve many clients at once") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com", "--threads", "2"});
  const Finished answer =
      curl(*stage, proxy.url(),
           {"--parallel", "--parallel-max", "50", "-o", "/dev/null", "-w", "%{http_code}\\n",
            "--fail-early", "http://example.com/hello?[1-200]"});
  INFO(answer.err);
  CHECK(answer.code == 0);
  CHECK(stage->requests().size() == 200);
}

TEST_CASE("connections over the limit do not stop those under it") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com", "--max-connections", "2"});
  for (int i = 0; i < 5; ++i) {
    CHECK(status_of(*stage, proxy.url(), "http://example.com/hello") == "200");
  }
}

}  // namespace
}  // namespace nono::testing
