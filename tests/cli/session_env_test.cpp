// The variables files of sessions in nono.yaml.
#include "proxy/cli/session_env.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/config/fixture.hpp"

using namespace nono;
using namespace nono::cli;
using Catch::Matchers::Contains;

namespace {

SessionSetup setup_of(const std::string& name, const std::string& phantom = {}) {
  SessionSetup setup;
  setup.config.name = name;
  setup.token = Secret("token-of-" + name);
  if (phantom.empty()) return setup;
  LoadedCredential credential;
  credential.route.name = "openai";
  credential.route.phantom_vars = {"OPENAI_API_KEY"};
  credential.secret = Secret("the-real-key");
  credential.phantom = phantom;
  setup.config.credentials.push_back(credential.route);
  setup.credentials.push_back(std::move(credential));
  return setup;
}

SessionEntry entry_of(const std::string& name, const std::string& path,
                      const std::string& format = "shell") {
  SessionEntry entry;
  entry.name = name;
  entry.env_file = path;
  entry.env_format = format;
  return entry;
}

ProxyPlace at_port_8080() {
  ProxyPlace place;
  place.authority = "127.0.0.1:8080";
  place.bundle_path = "/run/ca.pem";
  return place;
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::size_t files_in(const std::string& path) {
  const auto entries = std::filesystem::directory_iterator(path);
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

// What is written for these sessions, with what was written before in mind.
Result<void> write(SessionEnvFiles& files, const std::vector<SessionEntry>& entries,
                   const std::vector<SessionSetup>& setups) {
  const auto envs = session_envs(entries, setups, at_port_8080());
  if (!envs) return fail(envs.error());
  if (Result<void> staged = files.stage(*envs); !staged) return staged;
  return files.put_in_place();
}

}  // namespace

TEST_CASE("a session's variables lead to the proxy with its token, and hold its phantoms alone") {
  const SessionSetup plain = setup_of("a");
  Variables variables = session_variables(plain, at_port_8080());
  CHECK(variables.at("HTTPS_PROXY") == "http://nono:token-of-a@127.0.0.1:8080");
  CHECK(variables.count("SSL_CERT_FILE") == 0);  // nothing of it is intercepted
  const SessionSetup keyed = setup_of("b", "sk-nono_1");
  variables = session_variables(keyed, at_port_8080());
  CHECK(variables.at("OPENAI_API_KEY") == "sk-nono_1");
  CHECK(variables.at("SSL_CERT_FILE") == "/run/ca.pem");
  for (const auto& [name, value] : variables) CHECK(value.find("the-real-key") == value.npos);
}

TEST_CASE("a session with a listener of its own is led there, without a token") {
  SessionSetup setup = setup_of("a");
  ProxyPlace place = at_port_8080();
  place.tls = true;
  setup.listeners.push_back(SessionListener{UniqueFd(), "unix:/run/a.sock", "unix:/run/a.sock"});
  CHECK(session_variables(setup, place).at("HTTPS_PROXY") ==
        "https://nono:token-of-a@127.0.0.1:8080");
  setup.listeners.push_back(SessionListener{UniqueFd(), "127.0.0.1:0", "127.0.0.1:4711"});
  CHECK(session_variables(setup, place).at("HTTPS_PROXY") == "http://127.0.0.1:4711");
  place.authority.clear();
  CHECK(session_variables(setup, place).count("HTTPS_PROXY") == 1);
  setup.listeners.pop_back();
  CHECK(session_variables(setup, place).empty());
  std::vector<SessionSetup> setups;
  setups.push_back(std::move(setup));
  const auto envs = session_envs({entry_of("a", "/x")}, setups, place);
  REQUIRE_FALSE(envs);
  CHECK_THAT(envs.error().what, Contains("session a") && Contains("needs a TCP listener"));
}

TEST_CASE("variables files are written 0600, and again only where they say something else") {
  const test::Home home;
  const std::string one = home.path("project/a.env"), other = home.path("project/b.env");
  const std::vector<SessionEntry> entries = {entry_of("a", one), entry_of("b", other, "json"),
                                             entry_of("gone", home.path("project/gone.env"))};
  SessionEnvFiles files;
  std::vector<SessionSetup> setups;
  setups.push_back(setup_of("a"));
  setups.push_back(setup_of("b", "sk-nono_1"));
  REQUIRE(write(files, entries, setups));
  CHECK_THAT(text_of(one), Contains("export HTTPS_PROXY='http://nono:token-of-a@127.0.0.1:8080'"));
  CHECK_THAT(text_of(other), Contains("\"OPENAI_API_KEY\": \"sk-nono_1\""));
  CHECK(files_in(home.path("project")) == 2);
  for (const std::string& path : {one, other}) {
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
  }
  home.file("project/a.env", "changed by its user");
  setups[1] = setup_of("b", "sk-nono_2");
  REQUIRE(write(files, entries, setups));
  CHECK(text_of(one) == "changed by its user");
  CHECK_THAT(text_of(other), Contains("sk-nono_2"));
}

TEST_CASE("one variables file that cannot be written leaves all of them as they were") {
  const test::Home home;
  const std::string good = home.path("project/a.env");
  SessionEnvFiles files;
  std::vector<SessionSetup> setups;
  setups.push_back(setup_of("a"));
  setups.push_back(setup_of("b"));
  const Result<void> written =
      write(files, {entry_of("a", good), entry_of("b", home.path("nowhere/b.env"))}, setups);
  REQUIRE_FALSE(written);
  CHECK_THAT(written.error().what, Contains("session b") && Contains("nowhere/b.env"));
  CHECK(files_in(home.path("project")) == 0);
  CHECK(write(files, {entry_of("a", good)}, setups));
  CHECK(files_in(home.path("project")) == 1);
}

TEST_CASE("a variables file of a CI job is appended to once, and again with what is new") {
  const test::Home home;
  const std::string path = home.file("project/ci.env", "OLD=1\n");
  SessionEnvFiles files;
  std::vector<SessionSetup> setups;
  setups.push_back(setup_of("a"));
  REQUIRE(write(files, {entry_of("a", path, "github")}, setups));
  const std::string first = text_of(path);
  CHECK(first.starts_with("OLD=1\n"));
  CHECK_THAT(first, Contains("\nHTTPS_PROXY=http://nono:token-of-a@127.0.0.1:8080\n"));
  REQUIRE(write(files, {entry_of("a", path, "github")}, setups));
  CHECK(text_of(path) == first);
  CHECK(github_masks({"t", "p"}) == "::add-mask::t\n::add-mask::p\n");
}

TEST_CASE("a file that was staged and not put in its place leaves nothing") {
  const test::Home home;
  {
    const auto staged =
        StagedEnvFile::make(home.path("project/a.env"), EnvFileFormat::json, {{"A", "b"}});
    REQUIRE(staged);
    CHECK(files_in(home.path("project")) == 1);
  }
  CHECK(files_in(home.path("project")) == 0);
}
