#include "config/registries.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>

#include "config/helper_program.hpp"
#include "fixture.hpp"

using namespace nono;
using test::Home;

namespace {

// PATH with nothing but the given scripts and a shell's own tools.
void script(Home& home, const std::string& name, const std::string& body) {
  home.file("bin/" + name, "#!/bin/sh\n" + body, 0755);
  home.variables["PATH"] = home.path("bin");
}

bool has(const std::vector<std::string>& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

Result<RegistryHosts> ask(const Home& home, const Settings& settings = {}) {
  return registry_hosts(settings, home.user(), {});
}

}  // namespace

TEST_CASE("the hosts of package registries are what the installed clients say") {
  Home home;
  script(
      home, "npm",
      R"(echo '{"registry": "https://npm.example/", "@own:registry": "https://own.example:8443/x",)"
      R"( "other": "https://no.example"}')");
  script(home, "go",
         "printf 'https://go.example,https://second.example|direct\\nsums.example+hash\\n'");
  script(home, "cargo",
         "echo 'failed to download from `https://index.crates.example/config.json`' >&2; exit 101");
  script(home, "gem", "printf '*** CURRENT SOURCES ***\\n\\nhttps://gems.example/\\n'");
  script(home, "apt-get", "printf 'http://deb.example/debian/\\n'");
  Result<RegistryHosts> hosts = ask(home);
  REQUIRE(hosts);
  CHECK(hosts->rules == std::vector<std::string>{"deb.example", "gems.example", "go.example",
                                                 "index.crates.example", "npm.example",
                                                 "own.example:8443", "second.example",
                                                 "static.crates.example", "sums.example"});
  CHECK(hosts->silent.empty());
}

TEST_CASE("a client in the project or under a writable grant is not asked") {
  Home home;
  home.file("project/bin/npm", "#!/bin/sh\necho '{\"registry\": \"https://evil.example/\"}'", 0755);
  home.file("tools/gem", "#!/bin/sh\necho https://evil2.example/", 0755);
  home.file("bin/apt-get", "#!/bin/sh\necho https://deb.example/", 0755);
  home.link("bin/npm", home.path("project/bin/npm"));
  home.variables["PATH"] =
      home.path("project/bin") + ":" + home.path("tools") + ":" + home.path("bin") + ":bin:";
  Settings settings;
  settings.paths.push_back({home.path("tools"), Access::read_write, false, {"--allow"}});
  Result<RegistryHosts> hosts = ask(home, settings);
  REQUIRE(hosts);
  CHECK(hosts->rules == std::vector<std::string>{"deb.example"});
}

TEST_CASE(
    "clients are asked outside the project, with no key and no way out in their environment") {
  Home home;
  home.variables["MY_TOKEN"] = "secret";
  home.variables["HTTPS_PROXY"] = "http://real-proxy.example";
  script(home, "gem",
         "echo https://$(pwd | tr / s).cwd.example/ https://x${MY_TOKEN}.token.example/; "
         "case $HTTPS_PROXY in http://127.0.0.1:*) echo https://closed.example/;; esac");
  home.link("bin/tr", "/usr/bin/tr");
  Result<RegistryHosts> hosts = ask(home);
  REQUIRE(hosts);
  CHECK(hosts->rules ==
        std::vector<std::string>{"closed.example", "s.cwd.example", "x.token.example"});
}

TEST_CASE("what a command could have written is not run or obeyed for a client") {
  Home home;
  script(home, "apt-get",
         "echo https://deb.example/\n"
         "test -n \"$PIP_CONFIG_FILE$GEM_HOME\" && echo https://evil.example/\nexit 0");
  script(home, "cargo", "echo '`https://toolchain.example/`' >&2");
  script(home, "gem", "echo https://plugin.example/");
  home.directory("home/.rustup/toolchains");
  home.variables["PIP_CONFIG_FILE"] = home.file("project/pip.conf");
  home.variables["GEM_HOME"] = home.directory("project/gems");
  Settings settings;
  PathRule rule;
  rule.path = home.path("home/.rustup/toolchains");
  rule.access = Access::read_write;
  settings.paths = {rule};
  ResolveOptions options;
  options.for_run = true;
  Result<RegistryHosts> hosts = registry_hosts(settings, home.user(), options);
  REQUIRE(hosts);
  CHECK(hosts->rules == std::vector<std::string>{"deb.example"});
}

TEST_CASE("a client that fails or says nothing useful is named, and none at all is an error") {
  Home home;
  script(home, "gem", "echo https://gems.example/");
  script(home, "npm", "echo 'not json'");
  script(home, "go", "exit 1");
  Result<RegistryHosts> hosts = ask(home);
  REQUIRE(hosts);
  CHECK(hosts->rules == std::vector<std::string>{"gems.example"});
  CHECK(has(hosts->silent, "npm"));
  CHECK(has(hosts->silent, "go"));
  Home empty;
  empty.variables["PATH"] = empty.directory("bin");
  Result<RegistryHosts> none = ask(empty);
  REQUIRE_FALSE(none);
  CHECK(none.error().code == ErrorCode::bad_input);
}

TEST_CASE("helper programs are bounded in time and in what they say") {
  auto shell = [](const std::string& text) {
    HelperProgram program;
    program.executable = "/bin/sh";
    program.argv = {"sh", "-c", text};
    program.env = {"PATH=/usr/bin:/bin"};
    return program;
  };
  auto before = std::chrono::steady_clock::now();
  std::vector<std::optional<std::string>> answers =
      run_helpers({shell("echo good"),
                   shell("sleep 60; echo late"),
                   shell("yes"),
                   shell("exit 3"),
                   shell("sleep 60 & echo child"),
                   {"/nonexistent", {"x"}, {}, false}},
                  std::chrono::milliseconds(700));
  CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds(20));
  REQUIRE(answers.size() == 6);
  CHECK(answers[0] == std::string("good\n"));
  for (std::size_t i = 1; i < 6; ++i) CHECK_FALSE(answers[i]);
}

TEST_CASE("a rule is made of an index URL only where it names a host") {
  CHECK(registry_rule("https://a.example/simple") == "a.example");
  CHECK(registry_rule("sparse+https://a.example/") == "a.example");
  CHECK(registry_rule("https://user:pass@a.example:8443/x?y") == "a.example:8443");
  CHECK(registry_rule("http://a.example") == "a.example");
  CHECK(registry_rule("sum.example") == "sum.example");
  CHECK(registry_rule("file:///srv/mirror").empty());
  CHECK(registry_rule("https://").empty());
  CHECK(registry_rule("(default)").empty());
  CHECK(registry_rule("http://0.0.0.0/").empty());
  CHECK(registry_rule("http://127.0.0.1:3141/root").empty());
  CHECK(registry_rule("http://169.254.169.254/").empty());
  CHECK(registry_rule("http://10.0.0.5:8081/") == "10.0.0.5:8081");
  CHECK(registry_rule("https://evil example/").empty());
}
