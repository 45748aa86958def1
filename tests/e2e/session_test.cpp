// One proxy, many users: `sessions:` of nono.yaml and `nono session`.

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

bool is_refused(const std::string& status) {
  return status == "403" || status == "407";
}

// The key behind "Bearer" of the last request that arrived, by path.
std::string key_that_arrived(const Stage& stage, const std::string& path) {
  std::string key = "nothing arrived";
  for (const nlohmann::json& request : stage.requests()) {
    if (request["path"] == path) key = request["headers"].value("authorization", "no key");
  }
  return key;
}

TEST_CASE("the token of one session opens neither the rules nor the listener of another") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string unix_path = stage->dir() / "a.sock";
  SessionScene scene(
      *stage,
      "sessions:\n- {name: a, token: env://TOKEN_A, network: " + network(*stage, "plain.test") +
          ", listen: [\"" + stage->address() + ":0\", \"unix:" + unix_path +
          "\"]}\n- {name: b, token: env://TOKEN_B, network: " + network(*stage, "index.test") +
          "}\n",
      both_tokens);
  const std::string main = scene.proxy().url(), a = scene.url(token_a), b = scene.url(token_b);
  CHECK(scene.status(main, main_host) == "200");
  CHECK(scene.status(a, host_a) == "200");
  CHECK(scene.status(b, host_b) == "200");
  CHECK(scene.status(main, host_a) == "403");
  CHECK(scene.status(main, host_b) == "403");
  CHECK(scene.status(a, main_host) == "403");
  CHECK(scene.status(a, host_b) == "403");
  CHECK(scene.status(b, main_host) == "403");
  CHECK(scene.status(b, host_a) == "403");
  CHECK(scene.status(scene.url("nobody's"), host_a) == "407");
  CHECK(scene.status(scene.url(std::string(token_a) + "a"), host_a) == "407");
  CHECK(scene.status(scene.url(std::string(token_a).substr(1)), host_a) == "407");
  CHECK(scene.status(scene.proxy().url_without_token(), host_a) == "407");

  const std::string own = scene.own_place("a");
  CHECK(scene.status("http://" + own, host_a) == "200");
  CHECK(scene.status("http://" + own, host_b) == "403");
  CHECK(scene.status("http://" + own, main_host) == "403");
  CHECK(scene.status(fmt::format("http://nono:{}@{}", token_a, own), host_a) == "200");
  CHECK(scene.status(fmt::format("http://nono:{}@{}", token_b, own), host_a) == "407");
  CHECK(scene.status(fmt::format("http://nono:{}@{}", token_b, own), host_b) == "407");
  CHECK(scene.status(fmt::format("http://nono:{}@{}", scene.proxy().token(), own), main_host) ==
        "407");
  struct stat info {};
  REQUIRE(::stat(unix_path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK_THAT(stage->audit_text(), !Contains(token_a) && !Contains(token_b));
}

TEST_CASE("two sessions with one vendor each send their own key, read where the creator says") {
  const auto stage = Stage::make();
  if (!stage) return;
  SessionScene scene(*stage, "");
  const std::string file = stage->dir().write("b.key", "sk-key-of-team-b-0123456789abcdef\n", 0600);
  const nlohmann::json a =
      scene.create("a", {"--credential", "openai=env://TEAM_A_KEY", "--allow-domain", "plain.test"},
                   {{"TEAM_A_KEY", "sk-key-of-team-a-0123456789abcdef"}});
  const nlohmann::json b =
      scene.create("b", {"--credential", "openai=file://" + file, "--allow-domain", "plain.test"});
  const std::string phantom_a = a["variables"]["OPENAI_API_KEY"];
  const std::string phantom_b = b["variables"]["OPENAI_API_KEY"];
  CHECK(phantom_a != phantom_b);
  const std::string ca = a["variables"]["SSL_CERT_FILE"];
  const auto ask = [&](const nlohmann::json& session, const std::string& phantom,
                       const std::string& way) {
    return scene.status(scene.url(session["token"]), "https://api.openai.com/v1/models?" + way,
                        {"--cacert", ca, "-H", "Authorization: Bearer " + phantom});
  };
  ask(a, phantom_a, "a");
  ask(b, phantom_b, "b");
  CHECK(key_that_arrived(*stage, "/v1/models?a") == "Bearer sk-key-of-team-a-0123456789abcdef");
  CHECK(key_that_arrived(*stage, "/v1/models?b") == "Bearer sk-key-of-team-b-0123456789abcdef");

  // By the reverse form the phantom alone says whose it is.
  const auto reverse = [&](const std::string& phantom, const std::string& way) {
    return run({{"curl", "-sS", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", "-H",
                 "Authorization: Bearer " + phantom,
                 "http://" + scene.proxy().authority() + "/openai/models?" + way},
                plain_environment(stage->home()),
                stage->project(),
                {},
                ""})
        .out;
  };
  reverse(phantom_a, "ra");
  reverse(phantom_b, "rb");
  CHECK(key_that_arrived(*stage, "/v1/models?ra") == "Bearer sk-key-of-team-a-0123456789abcdef");
  CHECK(key_that_arrived(*stage, "/v1/models?rb") == "Bearer sk-key-of-team-b-0123456789abcdef");

  // A phantom in another session's request goes nowhere, in no form and to no host.
  CHECK(ask(a, phantom_b, "ab") == "403");
  CHECK(ask(b, phantom_a, "ba") == "403");
  CHECK(scene.status(scene.url(a["token"]), host_a, {"-H", "X-Api-Key: " + phantom_b}) == "403");
  CHECK(scene.status(scene.url(b["token"]), host_a, {"-H", "X-Other: " + phantom_a}) == "403");
  const auto crossed = [&](const std::string& phantom, const std::string& token) {
    return run({{"curl", "-sS", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", "-H",
                 "Authorization: Bearer " + phantom, "-H",
                 "Proxy-Authorization: Basic " + base64("nono:" + token),
                 "http://" + scene.proxy().authority() + "/openai/models?crossed"},
                plain_environment(stage->home()),
                stage->project(),
                {},
                ""})
        .out;
  };
  CHECK(is_refused(crossed(phantom_b, a["token"])));
  CHECK(is_refused(crossed(phantom_a, b["token"])));
  for (const nlohmann::json& request : stage->requests()) {
    const std::string text = request.dump();
    CHECK_THAT(text, !Contains("?ab") && !Contains("?ba") && !Contains("?crossed"));
    CHECK_THAT(text, !Contains(phantom_a) && !Contains(phantom_b));
  }
  // A session that is gone takes its phantom with it.
  REQUIRE(scene.session({"revoke", "b"}).code == 0);
  CHECK(reverse(phantom_b, "late") != "200");
  CHECK(key_that_arrived(*stage, "/v1/models?late") == "nothing arrived");
  const std::string said = scene.proxy().process().err() + stage->audit_text();
  CHECK_THAT(said, !Contains("sk-key-of-team"));
}

TEST_CASE("a credential that the creator's environment lacks makes no session") {
  const auto stage = Stage::make();
  if (!stage) return;
  SessionScene scene(*stage, "");
  const std::string path = stage->dir() / "never.sock";
  const Finished made = scene.session({"create", "--name", "x", "--credential",
                                       "openai=env://NOT_THERE", "--listen", "unix:" + path});
  CHECK(made.code == 1);
  CHECK_THAT(made.err, Contains("NOT_THERE"));
  CHECK_THAT(scene.session({"list"}).out, !Contains("x  "));
  CHECK(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("revoking ends tunnels, keep-alive connections and listeners at once") {
  const auto stage = Stage::make();
  if (!stage) return;
  SessionScene scene(*stage, "");
  const EchoServer echo(*stage);
  const std::string target = echo.place();
  const std::string path = stage->dir() / "own.sock";
  const nlohmann::json a = scene.create("a", {"--allow-domain", target, "--listen",
                                              stage->address() + ":0", "--listen", "unix:" + path});
  const nlohmann::json b = scene.create("b", {"--allow-domain", target});
  const std::string own = a["listen"][0];
  HeldTunnel by_token(*stage, scene.proxy().authority(), a["token"], target);
  HeldTunnel by_listener(*stage, own, "", target);
  HeldTunnel of_another(*stage, scene.proxy().authority(), b["token"], target);
  REQUIRE(by_token.opened());
  REQUIRE(of_another.opened());
  CHECK(by_token.echoes());
  CHECK(of_another.echoes());
  CHECK(::access(path.c_str(), F_OK) == 0);
  REQUIRE(scene.session({"revoke", "a"}).code == 0);
  CHECK(by_token.closed());
  CHECK(by_listener.closed());
  CHECK(of_another.echoes());
  CHECK(::access(path.c_str(), F_OK) != 0);
  CHECK(scene.status("http://" + own, main_host) == "000");
  CHECK(scene.status(scene.url(a["token"]), "http://" + target + "/") == "407");
  const Finished again = scene.session({"revoke", "a"});
  CHECK(again.code == 1);
  CHECK_THAT(again.err, Contains("no session"));
}

TEST_CASE("a session whose time is over is gone with its tunnels, listeners and socket files") {
  const auto stage = Stage::make();
  if (!stage) return;
  SessionScene scene(*stage, "");
  const EchoServer echo(*stage);
  const std::string target = echo.place();
  const std::string path = stage->dir() / "own.sock";
  const nlohmann::json a = scene.create("a", {"--allow-domain", target, "--ttl", "3s", "--listen",
                                              stage->address() + ":0", "--listen", "unix:" + path});
  HeldTunnel tunnel(*stage, scene.proxy().authority(), a["token"], target);
  REQUIRE(tunnel.opened());
  CHECK(tunnel.echoes());
  CHECK(tunnel.closed(10s));
  CHECK(scene.status(scene.url(a["token"]), "http://" + target + "/") == "407");
  CHECK(scene.status("http://" + a["listen"][0].get<std::string>(), main_host) == "000");
  CHECK(eventually([&] { return ::access(path.c_str(), F_OK) != 0; }, 5s));
  CHECK_THAT(scene.session({"list"}).out, !Contains(target) && Contains("default"));
}

TEST_CASE("the Unix sockets of sessions go with the proxy") {
  const auto stage = Stage::make();
  if (!stage) return;
  SessionScene scene(*stage, "");
  const std::string path = stage->dir() / "own.sock";
  scene.create("a", {"--allow-domain", "plain.test", "--listen", "unix:" + path});
  REQUIRE(::access(path.c_str(), F_OK) == 0);
  scene.proxy().process().signal(SIGTERM);
  CHECK(scene.proxy().process().wait(20s).code == 0);
  CHECK(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("limits of a session answer 429 with Retry-After and do not touch others") {
  const auto stage = Stage::make();
  if (!stage) return;
  SessionScene scene(*stage, "");
  const EchoServer echo(*stage);
  const std::string target = echo.place();
  const nlohmann::json few = scene.create(
      "few", {"--allow-domain", target, "--allow-domain", "plain.test", "--max-connections", "1"});
  const nlohmann::json slow =
      scene.create("slow", {"--allow-domain", "plain.test", "--max-connects-per-second", "2"});
  HeldTunnel tunnel(*stage, scene.proxy().authority(), few["token"], target);
  REQUIRE(tunnel.opened());
  const Finished over = curl(*stage, scene.url(few["token"]), {"-i", host_a});
  CHECK_THAT(over.out, Contains("429") && Contains("Retry-After: "));
  CHECK(tunnel.echoes());
  // Many at once: more than a second's worth, whatever the machine's speed.
  const Finished all =
      curl(*stage, scene.url(slow["token"]),
           {"--parallel", "--parallel-immediate", "--parallel-max", "30", "-H", "Connection: close",
            "-o", "/dev/null", "-w", "%{http_code}\\n", std::string(host_a) + "?[1-30]"});
  CHECK_THAT(all.out, Contains("429") && Contains("200"));
  CHECK(scene.status(scene.proxy().url(), main_host) == "200");
}

TEST_CASE("connections per second of all together are bounded with 429 too") {
  const auto stage = Stage::make();
  if (!stage) return;
  SessionScene scene(*stage, "", {}, {"--max-connects-per-second", "3"});
  // Many at once: more than a second's worth, whatever the machine's speed.
  const Finished all =
      curl(*stage, scene.proxy().url(),
           {"--parallel", "--parallel-immediate", "--parallel-max", "40", "-H", "Connection: close",
            "-o", "/dev/null", "-w", "%{http_code}\\n", "http://example.com/hello?[1-40]"});
  CHECK_THAT(all.out, Contains("429") && Contains("200"));
  CHECK(eventually([&] { return scene.status(scene.proxy().url(), main_host) == "200"; }));
}

TEST_CASE("variables of a session are written as shell, github and json, its token only if asked") {
  const auto stage = Stage::make();
  if (!stage) return;
  SessionScene scene(*stage, "");
  const auto make = [&](const std::string& format) {
    return scene.session({"create", "--name", format, "--credential", "openai=env://KEY",
                          "--env-file", stage->dir() / format, "--env-format", format},
                         {{"KEY", "sk-a-key-0123456789abcdef"}});
  };
  for (const std::string format : {"shell", "github", "json"}) {
    const Finished made = make(format);
    INFO(made.err);
    REQUIRE(made.code == 0);
    const std::string text = read_file(stage->dir() / format);
    CHECK_THAT(text, Contains("OPENAI_API_KEY") && Contains("HTTPS_PROXY") &&
                         Contains(scene.proxy().authority()));
    CHECK_THAT(text + made.out + made.err, !Contains("sk-a-key"));
    const std::size_t at = text.find("http://nono:") + 12;
    const std::string token = text.substr(at, 64);
    CHECK(scene.status(scene.url(token), main_host) == "403");
    struct stat info {};
    REQUIRE(::stat((stage->dir() / format).c_str(), &info) == 0);
    CHECK((info.st_mode & 0077) == 0);
    if (format == "github") {
      CHECK_THAT(made.out, Contains("::add-mask::" + token + "\n"));
      CHECK_THAT(made.out, Contains("nono_"));
    } else {
      CHECK_THAT(made.out + made.err, !Contains(token) && !Contains("nono_"));
    }
    if (format == "json") CHECK(nlohmann::json::parse(text).is_object());
  }
  const Finished quiet = scene.session({"create", "--name", "q", "--allow-domain", "a.test"});
  CHECK(quiet.code == 0);
  CHECK_THAT(quiet.out, !Contains("token"));
  CHECK_THAT(quiet.err, Contains("nobody knows the token"));
  const Finished json =
      scene.session({"create", "--name", "j", "--allow-domain", "a.test", "--json"});
  CHECK(json.code == 0);
  const nlohmann::json object = nlohmann::json::parse(json.out);
  CHECK(object["name"] == "j");
  CHECK_FALSE(object.contains("token"));
  CHECK_FALSE(object.contains("variables"));
  const Finished both = scene.session({"create", "--name", "jf", "--allow-domain", "a.test",
                                       "--json", "--env-file", stage->dir() / "jf"});
  CHECK(nlohmann::json::parse(both.out)["name"] == "jf");
  CHECK_THAT(read_file(stage->dir() / "jf"), Contains("HTTPS_PROXY"));
  const Finished asked =
      scene.session({"create", "--name", "t", "--allow-domain", "a.test", "--print-token"});
  CHECK_THAT(asked.out, Contains("token "));
  // An environment file that cannot be written leaves no session behind.
  const Finished nowhere = scene.session({"create", "--name", "gone", "--allow-domain", "a.test",
                                          "--env-file", "/nonexistent/folder/x"});
  CHECK(nowhere.code == 1);
  const nlohmann::json listed = nlohmann::json::parse(scene.session({"list", "--json"}).out);
  CHECK_THAT(listed.dump(), !Contains("gone") && Contains("\"jf\"") && !Contains("nono_"));
}

TEST_CASE("names are taken once, the main session stays, and what is wrong makes nothing") {
  const auto stage = Stage::make();
  if (!stage) return;
  SessionScene scene(*stage, "");
  scene.create("a", {"--allow-domain", "plain.test"});
  CHECK(scene.session({"create", "--name", "a", "--allow-domain", "plain.test"}).code == 1);
  CHECK(scene.session({"create", "--name", "default", "--allow-domain", "plain.test"}).code == 1);
  CHECK(scene.session({"create", "--name", "../a", "--allow-domain", "plain.test"}).code != 0);
  const Finished none = scene.session({"create", "--name", "none"});
  CHECK(none.code != 0);
  CHECK_THAT(none.err, Contains("nothing says what none may reach") && !Contains(":1:"));
  CHECK(
      scene
          .session({"create", "--name", "far", "--allow-domain", "a.test", "--listen", "0.0.0.0:0"})
          .code != 0);
  const Finished main = scene.session({"revoke", "default"});
  CHECK(main.code == 1);
  CHECK_THAT(main.err, Contains("main session"));
  CHECK(scene.status(scene.proxy().url(), main_host) == "200");
  const nlohmann::json listed = nlohmann::json::parse(scene.session({"list", "--json"}).out);
  CHECK_THAT(listed.dump(), !Contains("\"far\"") && !Contains("\"none\"") && Contains("\"a\""));
}

TEST_CASE("the admin socket is there only if asked for, 0600, and for this user alone") {
  const auto stage = Stage::make();
  if (!stage) return;
  {
    Proxy plain(*stage, {"--allow-domain", "example.com"});
    const Finished list = run(stage->nono({"session", "list"}), 20s);
    CHECK(list.code == 1);
    CHECK(run(stage->nono({"session", "list", "--admin-socket", stage->dir() / "admin.sock"}), 20s)
              .code == 1);
  }
  SessionScene scene(*stage, "");
  struct stat info {};
  REQUIRE(::stat(scene.admin_socket().c_str(), &info) == 0);
  CHECK(S_ISSOCK(info.st_mode));
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(scene.session({"list"}).code == 0);
  if (::getuid() != 0) return;
  // Even where the mode lets another user in, who it is counts.
  REQUIRE(::chmod(scene.admin_socket().c_str(), 0666) == 0);
  const Finished other = run({{"curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}",
                               "--unix-socket", scene.admin_socket(), "http://admin/sessions"},
                              plain_environment("/"),
                              "/",
                              ordinary_user,
                              ""});
  CHECK(other.out != "200");
}

TEST_CASE("a proxy may have sessions and no rules of its own") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->dir().write("only.yaml", fmt::format("dns: {{servers: [\"{}:5300\"]}}\nsessions:\n"
                                              "- {{name: a, token: env://TOKEN_A, network: {}}}\n",
                                              stage->address(), network(*stage, "plain.test")));
  Command command = stage->nono(
      {"proxy", "--config", stage->dir() / "only.yaml", "--listen", stage->address() + ":0"});
  command.env["TOKEN_A"] = token_a;
  command.env["NONO_PROXY_TOKEN"] = token_b;
  Process process(command);
  INFO(process.err());
  REQUIRE(process.wait_for("listening on "));
  const std::string said = process.out();
  const std::string authority = said.substr(13, said.find('\n') - 13);
  const auto status = [&](const std::string& user, const std::string& url) {
    return curl(*stage, "http://" + user + authority,
                {"-o", "/dev/null", "-w", "%{http_code}", url})
        .out;
  };
  CHECK(status("nono:" + std::string(token_a) + "@", host_a) == "200");
  CHECK(status("nono:" + std::string(token_a) + "@", main_host) == "403");
  CHECK(is_refused(status("nono:" + std::string(token_b) + "@", host_a)));
  CHECK(status("", host_a) == "407");
}

}  // namespace
}  // namespace nono::testing
