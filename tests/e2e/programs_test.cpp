// Real programs that know of no proxy, under both backends: python, node, Java, Go. Each says of
// every attempt how it ended, in the words of tests/e2e/data/reach.*.

#include <fmt/format.h>
#include <filesystem>

#include "tests/e2e/confined.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

constexpr int greeter_port = 2525;

struct Attempts {
  std::vector<std::string> web;     // verbs that take a URL
  std::vector<std::string> stream;  // verbs that take HOST:PORT
};

// All that the verbs are made to try; `heard` is what the greeter must have been told.
std::vector<std::string> arguments_for(const Attempts& attempts) {
  std::vector<std::string> all;
  for (const std::string& verb : attempts.web) {
    for (const char* url : {"https://example.com/hello", "http://example.com/hello",
                            "https://evil.example/hello", "http://evil.example/hello"}) {
      all.push_back(verb + ":" + url);
    }
  }
  for (const std::string& verb : attempts.stream) {
    for (const char* place : {"mail.example:2525", "evil.example:2525", "mail.example:2526",
                              "192.0.2.7:2525", "127.0.0.1:9"}) {
      all.push_back(verb + ":" + place);
    }
  }
  return all;
}

std::string line(const std::string& verb, const std::string& rest, const std::string& ended) {
  return fmt::format("{}:{} -> {} \n", verb, rest, ended);
}

void check_web(const std::string& out, const std::string& verb) {
  CHECK_THAT(out, Contains(line(verb, "https://example.com/hello", "200 hello")));
  CHECK_THAT(out, Contains(line(verb, "http://example.com/hello", "200 hello")));
  CHECK_THAT(out, Contains(line(verb, "https://evil.example/hello", "no such name")));
  CHECK_THAT(out, Contains(line(verb, "http://evil.example/hello", "no such name")));
}

bool is_closed(const std::string& out, const std::string& verb, const std::string& place) {
  return out.find(line(verb, place, "refused")) != std::string::npos ||
         out.find(line(verb, place, "reset")) != std::string::npos;
}

void check_stream(const std::string& out, const std::string& verb, const std::string& name) {
  const std::string greeted = "220 ready when you are; " + name;
  CHECK_THAT(out, Contains(line(verb, "mail.example:2525", greeted)));
  CHECK_THAT(out, Contains(line(verb, "evil.example:2525", "no such name")));
  CHECK(is_closed(out, verb, "mail.example:2526"));
  CHECK(is_closed(out, verb, "192.0.2.7:2525"));
  CHECK(is_closed(out, verb, "127.0.0.1:9"));
}

const std::vector<std::string> rules = {"--allow-domain", "example.com", "--allow-domain",
                                        "mail.example:2525"};

// How often `text` stands in `all`.
std::size_t count(const std::string& all, const std::string& text) {
  std::size_t times = 0;
  for (std::size_t at = all.find(text); at != std::string::npos; at = all.find(text, at + 1)) {
    ++times;
  }
  return times;
}

// What the origin got: the allowed requests, straight, by the right name.
void check_requests(const Stage& stage, std::size_t wanted) {
  const std::vector<nlohmann::json> requests = stage.requests();
  CHECK(requests.size() == wanted);
  for (const nlohmann::json& request : requests) {
    CHECK(request["path"] == "/hello");
    CHECK(request["headers"]["host"] == "example.com");
    if (request["tls"] == true) CHECK(request["sni"] == "example.com");
    CHECK_FALSE(request["headers"].contains("proxy-authorization"));
  }
  CHECK_FALSE(stage.asked_for("evil.example"));
}

// Under `backend`; `names` are what the stream verbs call themselves.
void check_program(const Stage& stage, const std::string& backend,
                   const std::vector<std::string>& command, const Attempts& attempts,
                   const std::vector<std::string>& names,
                   const std::vector<std::string>& more_flags = {}) {
  const auto greeter = start_greeter(stage, greeter_port);
  const std::size_t before = stage.requests().size();
  std::vector<std::string> flags = rules;
  flags.insert(flags.end(), more_flags.begin(), more_flags.end());
  std::vector<std::string> line = without_proxy_variables(command);
  for (const std::string& argument : arguments_for(attempts)) line.push_back(argument);
  const Finished ended = confined(stage, backend, flags, line);
  CHECK(ended.code == 0);
  for (const std::string& verb : attempts.web) check_web(ended.out, verb);
  for (std::size_t i = 0; i < names.size(); ++i) {
    check_stream(ended.out, attempts.stream[i], names[i]);
    CHECK(count(greeter->out(), "heard " + names[i] + "\n") == 1);
  }
  CHECK(count(greeter->out(), "heard ") == names.size());
  check_requests(stage, before + 2 * attempts.web.size());
}

TEST_CASE("curl reaches an allowed host by the proxy variables and without them, and no other") {
  for (const auto user : {std::optional<uid_t>{}, std::optional<uid_t>{ordinary_user}}) {
    const auto stage = Stage::make(user);
    if (!stage) return;
    const std::vector<std::string> curl = {"curl",
                                           "-sS",
                                           "--max-time",
                                           "30",
                                           "--cacert",
                                           "ca.pem",
                                           "https://example.com/hello",
                                           "http://example.com/hello",
                                           "https://evil.example/hello"};
    for (const std::string& backend : backends()) {
      const std::size_t before = stage->requests().size();
      const std::vector<std::string> flags = {"--allow-domain", "example.com"};
      const Finished by_proxy = confined(*stage, backend, flags, curl);
      CHECK(by_proxy.out == "hello\nhello\n");
      CHECK_THAT(by_proxy.err, Contains("403"));
      const Finished directly = confined(*stage, backend, flags, without_proxy_variables(curl));
      CHECK(directly.out == "hello\nhello\n");
      CHECK_THAT(directly.err, Contains("resolve host: evil.example"));
      check_requests(*stage, before + 4);
    }
  }
}

TEST_CASE("python without proxy variables reaches what is allowed under both backends") {
  for (const auto user : {std::optional<uid_t>{}, std::optional<uid_t>{ordinary_user}}) {
    const auto stage = Stage::make(user);
    if (!stage) return;
    if (run({{"/usr/bin/python3", "-c", "import requests"}, plain_environment("/"), "/", {}, ""})
            .code != 0) {
      std::puts("skipped by name: python's requests");
      return;
    }
    stage->project_data("reach.py");
    for (const std::string& backend : backends()) {
      check_program(*stage, backend, {"/usr/bin/python3", "reach.py"},
                    {{"urllib", "requests"}, {"socket", "asyncio"}},
                    {"python socket", "python asyncio"},
                    {"--set-env", "SSL_CERT_FILE=" + stage->project() + "/ca.pem", "--set-env",
                     "REQUESTS_CA_BUNDLE=" + stage->project() + "/ca.pem"});
    }
  }
}

TEST_CASE("node without proxy variables reaches what is allowed under both backends") {
  const auto stage = Stage::make();
  if (!stage || !have("node")) return;
  stage->project_data("reach.js");
  for (const std::string& backend : backends()) {
    check_program(*stage, backend, {"node", "reach.js"}, {{"fetch", "http"}, {"net"}}, {"node net"},
                  {"--set-env", "NODE_EXTRA_CA_CERTS=" + stage->project() + "/ca.pem"});
  }
}

TEST_CASE("Java's HttpClient and sockets reach what is allowed under both backends") {
  const auto stage = Stage::make();
  if (!stage || !have("java")) return;
  stage->project_data("Reach.java");
  const Finished compiled =
      run({{"java", "-m", "jdk.compiler/com.sun.tools.javac.Main", "Reach.java"},
           plain_environment(stage->home()),
           stage->project(),
           {},
           ""},
          100s);
  INFO(compiled.err);
  REQUIRE(compiled.code == 0);
  for (const std::string& backend : backends()) {
    check_program(*stage, backend, {"java", "-cp", ".", "Reach"}, {{"get"}, {"socket"}},
                  {"java socket"});
  }
}

// Of the path, or where Go's own archive puts it; empty if there is none.
std::string go_command() {
  for (const char* go : {"go", "/usr/local/go/bin/go"}) {
    if (run({{go, "version"}, plain_environment("/"), "/", {}, ""}).code == 0) return go;
  }
  std::puts("skipped by name: go");
  return {};
}

// A static binary in the project. What is compiled of Go's own library stays beside the binary
// under test: it takes half a minute.
bool build_static(const Stage& stage) {
  const std::string go = go_command();
  if (go.empty()) return false;
  stage.project_data("reach.go");
  Command build{{go, "build", "-o", "reach", "reach.go"},
                plain_environment(stage.home()),
                stage.project(),
                {},
                ""};
  build.env["CGO_ENABLED"] = "0";
  build.env["GOTOOLCHAIN"] = "local";
  build.env["GOFLAGS"] = "-mod=mod";
  build.env["GOCACHE"] = std::filesystem::path(built_binary()).parent_path().string() + "/go-cache";
  const Finished built = run(build, 110s);
  INFO(built.err);
  REQUIRE(built.code == 0);
  return true;
}

TEST_CASE("a static Go program reaches what is allowed, without proxy variables under netns") {
  const auto stage = Stage::make();
  if (!stage || !build_static(*stage)) return;
  const std::vector<std::string> trust = {"--set-env",
                                          "SSL_CERT_FILE=" + stage->project() + "/ca.pem"};
  check_program(*stage, "netns", {"./reach"}, {{"get"}, {"dial"}}, {"go dial"}, trust);

  // It resolves by UDP, which there is none of under notify: there it lives by the proxy variables.
  const std::size_t before = stage->requests().size();
  std::vector<std::string> flags = rules;
  flags.insert(flags.end(), trust.begin(), trust.end());
  const Finished ended =
      confined(*stage, "notify", flags,
               {"./reach", "get:https://example.com/hello", "get:http://example.com/hello",
                "get:https://evil.example/hello", "dial:mail.example:2525", "dial:192.0.2.7:2525",
                "dial:127.0.0.1:9"});
  CHECK_THAT(ended.out, Contains(line("get", "https://example.com/hello", "200 hello")));
  CHECK_THAT(ended.out, Contains(line("get", "http://example.com/hello", "200 hello")));
  CHECK_THAT(ended.out, Contains("evil.example:443 is in no rule"));
  CHECK_THAT(ended.out, Contains("dial:mail.example:2525 -> dial tcp: lookup mail.example"));
  CHECK(is_closed(ended.out, "dial", "192.0.2.7:2525"));
  CHECK(is_closed(ended.out, "dial", "127.0.0.1:9"));
  CHECK_THAT(ended.out, !Contains("SLOW"));
  check_requests(*stage, before + 2);
}

}  // namespace
}  // namespace nono::testing
