// nono.yaml and the keys read again while the proxy runs: by SIGHUP and because the file changed.

#include <filesystem>
#include <fstream>

#include "tests/e2e/session_scene.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

constexpr const char* token_a = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
constexpr const char* token_b = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const std::map<std::string, std::string> both_tokens = {{"TOKEN_A", token_a}, {"TOKEN_B", token_b}};
constexpr const char* main_host = "http://example.com/hello";
constexpr const char* host_a = "http://plain.test/hello";
constexpr const char* host_b = "http://index.test/hello";

std::string entry(const Stage& stage, const std::string& name, const std::string& token,
                  const std::string& hosts, const std::string& more = {}) {
  return fmt::format("- {{name: {}, token: env://{}, network: {}{}}}\n", name, token,
                     network(stage, hosts), more);
}

TEST_CASE("a reload brings new rules and sessions and revokes what the file has no more") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string path = stage->dir() / "a.sock";
  const std::string listen = ", listen: [\"" + stage->address() + ":0\", \"unix:" + path + "\"]";
  SessionScene scene(*stage, "sessions:\n" + entry(*stage, "a", "TOKEN_A", "plain.test", listen),
                     both_tokens);
  const nlohmann::json made = scene.create("made", {"--allow-domain", "plain.test"});
  const std::string own = scene.own_place("a");
  CHECK(scene.status(scene.proxy().url(), host_b) == "403");
  CHECK(scene.status(scene.url(token_b), host_b) == "407");

  // Another rule for the main one and a, and b besides; a's listener goes on.
  scene.write("sessions:\n" + entry(*stage, "a", "TOKEN_A", "index.test", listen) +
                  entry(*stage, "b", "TOKEN_B", "index.test"),
              "index.test");
  REQUIRE(scene.reload());
  CHECK(scene.status(scene.proxy().url(), host_b) == "200");
  CHECK(scene.status(scene.proxy().url(), main_host) == "403");
  CHECK(scene.status(scene.url(token_b), host_b) == "200");
  CHECK(scene.status(scene.url(token_a), host_b) == "200");
  CHECK(scene.status(scene.url(token_a), host_a) == "403");
  CHECK(scene.status("http://" + own, host_b) == "200");
  CHECK(scene.status("http://" + own, host_a) == "403");
  CHECK(scene.status(scene.url(made["token"]), host_a) == "200");
  CHECK(::access(path.c_str(), F_OK) == 0);

  // a is gone from the file: so are its token, its listener and its socket.
  scene.write("sessions:\n" + entry(*stage, "b", "TOKEN_B", "index.test"));
  REQUIRE(scene.reload());
  CHECK(scene.status(scene.url(token_a), host_b) == "407");
  CHECK(scene.status("http://" + own, host_b) == "000");
  CHECK(::access(path.c_str(), F_OK) != 0);
  CHECK(scene.status(scene.url(token_b), host_b) == "200");
  CHECK(scene.status(scene.url(made["token"]), host_a) == "200");
}

TEST_CASE("a file that is wrong changes nothing, whatever is wrong with it") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string good = "sessions:\n" + entry(*stage, "a", "TOKEN_A", "plain.test");
  SessionScene scene(*stage, good, both_tokens);
  scene.create("made", {"--allow-domain", "plain.test"});
  const std::string b = entry(*stage, "b", "TOKEN_B", "index.test");
  const std::vector<std::string> wrong = {
      "sessions: [\n",
      "sessions:\n" + b + "nonsense_key: 1\n",
      "sessions:\n" + b + entry(*stage, "c", "NOT_SET", "index.test"),
      "sessions:\n" + b + b,
      "sessions:\n" + b + entry(*stage, "made", "TOKEN_A", "index.test"),
      "sessions:\n" + b + entry(*stage, "c", "TOKEN_A", "index.test", ", listen: \"0.0.0.0:0\""),
      "sessions:\n" + b +
          "- {name: c, network: {allow_domain: [x.test], upstream_ca: [none.pem]}}\n",
  };
  for (const std::string& text : wrong) {
    INFO(text);
    scene.write(text, "index.test");
    CHECK_FALSE(scene.reload());
    CHECK(scene.status(scene.proxy().url(), main_host) == "200");
    CHECK(scene.status(scene.proxy().url(), host_b) == "403");
    CHECK(scene.status(scene.url(token_a), host_a) == "200");
    CHECK(scene.status(scene.url(token_b), host_b) == "407");
  }
  scene.write(good);
  CHECK(scene.reload());
  // The file gone altogether is wrong too.
  REQUIRE(::unlink(scene.config().c_str()) == 0);
  CHECK_FALSE(scene.reload());
  CHECK(scene.status(scene.url(token_a), host_a) == "200");
}

TEST_CASE("keep keeps what is open under its old rules, and revoking ends that too") {
  const auto stage = Stage::make();
  if (!stage) return;
  const EchoServer echo(*stage);
  const std::string target = echo.place();
  SessionScene scene(*stage, "sessions:\n" + entry(*stage, "a", "TOKEN_A", "'" + target + "'"),
                     both_tokens);
  HeldTunnel tunnel(*stage, scene.proxy().authority(), token_a, target);
  REQUIRE(tunnel.opened());
  CHECK(tunnel.echoes());
  scene.write("sessions:\n" + entry(*stage, "a", "TOKEN_A", "plain.test"));
  REQUIRE(scene.reload());
  CHECK(tunnel.echoes());
  HeldTunnel late(*stage, scene.proxy().authority(), token_a, target);
  CHECK_FALSE(late.opened());
  REQUIRE(scene.reload());
  CHECK(tunnel.echoes());
  REQUIRE(scene.session({"revoke", "a"}).code == 0);
  CHECK(tunnel.closed());
}

TEST_CASE("a session of the file that was revoked stays so until its token is another one") {
  const auto stage = Stage::make();
  if (!stage) return;
  SessionScene scene(*stage, "sessions:\n" + entry(*stage, "a", "TOKEN_A", "plain.test"),
                     both_tokens);
  const std::string url = "http://plain.test/hello";
  CHECK(scene.status(scene.url(token_a), url) == "200");
  REQUIRE(scene.session({"revoke", "a"}).code == 0);
  CHECK(scene.status(scene.url(token_a), url) == "407");
  scene.write("log_level: debug\nsessions:\n" + entry(*stage, "a", "TOKEN_A", "plain.test"));
  REQUIRE(scene.reload());
  CHECK(scene.status(scene.url(token_a), url) == "407");
  scene.write("sessions:\n" + entry(*stage, "a", "TOKEN_B", "plain.test"));
  REQUIRE(scene.reload());
  CHECK(scene.status(scene.url(token_a), url) == "407");
  CHECK(scene.status(scene.url(token_b), url) == "200");
}

TEST_CASE("cut ends what began under the old rules, but not sessions that are not the file's") {
  const auto stage = Stage::make();
  if (!stage) return;
  const EchoServer echo(*stage);
  const std::string target = echo.place();
  SessionScene scene(*stage,
                     "reload: cut\nsessions:\n" + entry(*stage, "a", "TOKEN_A", "'" + target + "'"),
                     both_tokens);
  const nlohmann::json made = scene.create("made", {"--allow-domain", target});
  HeldTunnel of_file(*stage, scene.proxy().authority(), token_a, target);
  HeldTunnel of_admin(*stage, scene.proxy().authority(), made["token"], target);
  REQUIRE(of_file.opened());
  REQUIRE(of_admin.opened());
  CHECK(of_file.echoes());
  scene.write("sessions: [\n");
  CHECK_FALSE(scene.reload());
  CHECK(of_file.echoes());  // a reload that fails cuts nothing
  scene.write("reload: cut\nsessions:\n" + entry(*stage, "a", "TOKEN_A", "plain.test"));
  REQUIRE(scene.reload());
  CHECK(of_file.closed());
  CHECK(of_admin.echoes());
  CHECK(scene.status(scene.url(token_a), host_a) == "200");
}

TEST_CASE("keys are read again, tokens and phantoms stay") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string key = stage->dir().write("key", "sk-the-first-key-0123456789\n", 0600);
  const std::string env = stage->dir() / "main.env";
  const std::string more = "credentials:\n- {name: openai, source: \"file://" + key + "\"}\n";
  SessionScene scene(*stage, more, {}, {"--env-file", env});
  const std::string variables = read_file(env);
  const auto ask = [&](const std::string& way) {
    const std::string script =
        ". " + env +
        "; curl -sS -o /dev/null -w '%{http_code}' -H \"Authorization: Bearer $OPENAI_API_KEY\" "
        "--noproxy '*' \"$OPENAI_BASE_URL/models?" +
        way + "\"";
    shell(*stage, script, stage->project());
    std::string arrived = "nothing arrived";
    for (const nlohmann::json& request : stage->requests()) {
      if (request["path"] == "/v1/models?" + way) {
        arrived = request["headers"].value("authorization", "no key");
      }
    }
    return arrived;
  };
  CHECK(ask("one") == "Bearer sk-the-first-key-0123456789");
  stage->dir().write("key", "sk-the-second-key-0123456789\n", 0600);
  CHECK(ask("two") == "Bearer sk-the-first-key-0123456789");
  REQUIRE(scene.reload());
  CHECK(ask("three") == "Bearer sk-the-second-key-0123456789");
  CHECK(read_file(env) == variables);
}

TEST_CASE("roots for upstreams are read again when their file has changed") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string roots = stage->dir() / "roots.pem";
  const Finished made =
      run({{"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", "/CN=another", "-keyout", stage->dir() / "another.key",
            "-out", roots},
           plain_environment(stage->home()),
           stage->project(),
           {},
           ""});
  REQUIRE(made.code == 0);
  SessionScene scene(*stage,
                     fmt::format("sessions:\n- {{name: a, token: env://TOKEN_A, network: "
                                 "{{allow_domain: [\"https://example.com/**\"], "
                                 "allow_private: [127.0.0.0/8], upstream_ca: [\"{}\"]}}}}\n",
                                 roots),
                     both_tokens);
  const auto ask = [&] {
    return scene.status(scene.url(token_a), "https://example.com/hello", {"-k"});
  };
  CHECK(ask() == "502");
  std::filesystem::copy_file(stage->ca_file(), roots,
                             std::filesystem::copy_options::overwrite_existing);
  REQUIRE(scene.reload());
  CHECK(ask() == "200");
}

TEST_CASE("a generated token is the same after a reload, and a time to live runs on") {
  const auto stage = Stage::make();
  if (!stage) return;
  SessionScene scene(*stage,
                     "sessions:\n" + entry(*stage, "brief", "TOKEN_A", "plain.test", ", ttl: 4s"),
                     both_tokens);
  const nlohmann::json made = scene.create("made", {"--allow-domain", "plain.test"});
  CHECK(scene.status(scene.url(token_a), host_a) == "200");
  REQUIRE(scene.reload());
  CHECK(eventually([&] { return scene.status(scene.url(token_a), host_a) == "407"; }, 10s));
  REQUIRE(scene.reload());
  CHECK(scene.status(scene.url(token_a), host_a) == "407");
  CHECK(scene.status(scene.url(made["token"]), host_a) == "200");
}

TEST_CASE(
    "sessions of the file get their variables at the start and with the reload that brings them") {
  const auto stage = Stage::make();
  if (!stage) return;
  const auto session = [&](const std::string& name, const std::string& hosts) {
    return fmt::format("- {{name: {0}, network: {1}, env_file: {{path: {0}.env}}}}\n", name,
                       network(*stage, hosts));
  };
  const auto job = [&](const std::string& name, const char* url) {
    return shell(*stage,
                 fmt::format(". {}; curl -s -o /dev/null -w '%{{http_code}}' {}",
                             (stage->dir() / (name + ".env")), url),
                 stage->project())
        .out;
  };
  SessionScene scene(*stage, "sessions:\n" + session("a", "plain.test"));
  CHECK(job("a", host_a) == "200");
  CHECK(job("a", host_b) == "403");
  CHECK_THAT(scene.proxy().process().err(), !Contains("nobody knows the token of session"));
  const std::string before = read_file(stage->dir() / "a.env");

  // A file that cannot be written: nothing is changed, and the session is not there.
  scene.write("sessions:\n" + session("a", "index.test") +
              fmt::format("- {{name: c, network: {}, env_file: {{path: none/c.env}}}}\n",
                          network(*stage, "index.test")));
  REQUIRE_FALSE(scene.reload());
  CHECK_THAT(scene.proxy().process().err(), Contains("the env_file of session c"));
  CHECK(job("a", host_b) == "403");

  scene.write("sessions:\n" + session("a", "index.test") + session("b", "plain.test"));
  REQUIRE(scene.reload());
  CHECK(read_file(stage->dir() / "a.env") == before);
  CHECK(job("a", host_b) == "200");
  CHECK(job("b", host_a) == "200");
  CHECK(job("b", host_b) == "403");
}

TEST_CASE("a changed file is noticed without a signal, and a wrong one changes nothing") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string config =
      stage->dir().write("watched.yaml", "network: {allow_domain: [example.com]}\n");
  Proxy proxy(*stage, {"--config", config});
  const auto status = [&](const char* url) {
    return curl(*stage, proxy.url(), {"-o", "/dev/null", "-w", "%{http_code}", url}).out;
  };
  CHECK(status(host_a) == "403");
  stage->dir().write("watched.yaml", "network: {allow_domain: [plain.test, nonsense: [}\n");
  REQUIRE(proxy.process().wait_for("nothing was changed"));
  CHECK(status(host_a) == "403");
  CHECK(status(main_host) == "200");
  stage->dir().write("watched.yaml", "network: {allow_domain: [plain.test]}\n");
  REQUIRE(proxy.process().wait_for("is in force"));
  CHECK(status(host_a) == "200");
  CHECK(status(main_host) == "403");
}

TEST_CASE("a reload does not lift the token where other machines reach a listener") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string rules = "network: {allow_domain: [example.com]}\nreload_on_change: false\n";
  const std::string config = stage->dir().write("off.yaml", rules + "listen: [\"0.0.0.0:0\"]\n");
  Process process(stage->nono({"proxy", "--config", config, "--insecure-listen"}));
  REQUIRE(process.wait_for("listening on "));
  // The listener of before stays open, whatever the file says of it now.
  stage->dir().write("off.yaml", rules + "listen: [127.0.0.1]\nauth: {required: false}\n");
  process.signal(SIGHUP);
  REQUIRE(process.wait_for("nothing was changed"));
  CHECK_THAT(process.err(), Contains("auth.required: false is for loopback only"));
}

TEST_CASE("what a reload cannot change is said") {
  const auto stage = Stage::make();
  if (!stage) return;
  SessionScene scene(*stage, "");
  scene.write(
      "threads: 2\ndrain_time: 3s\nmetrics: {listen: 127.0.0.1:0}\n"
      "dns: {cache_entries_max: 700, queries_per_second_max: 700}\n");
  REQUIRE(scene.reload());
  CHECK_THAT(scene.proxy().process().err(),
             Contains("threads has changed, which takes a restart") &&
                 Contains("drain_time has changed") && Contains("metrics.listen has changed") &&
                 Contains("dns.cache_entries_max has changed") &&
                 Contains("dns.queries_per_second_max has changed"));
}

}  // namespace
}  // namespace nono::testing
