#include "config/command.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "config/resolve.hpp"
#include "config/suggest.hpp"
#include "fixture.hpp"

using namespace nono;
using Catch::Matchers::Contains;
using test::Home;

namespace {

bool grants(const std::vector<PathGrant>& list, const std::string& path,
            const std::string& origin) {
  return std::any_of(list.begin(), list.end(), [&](const PathGrant& grant) {
    return grant.path == path && grant.origin == origin && grant.access == Access::read;
  });
}

bool grants_anything_at(const std::vector<PathGrant>& list, const std::string& path) {
  return std::any_of(list.begin(), list.end(),
                     [&](const PathGrant& grant) { return grant.path == path; });
}

ResolvedCommand command(const std::string& name, const Home& home) {
  Result<ResolvedCommand> found = find_command({name}, home.user());
  INFO((found ? "" : found.error().what));
  REQUIRE(found);
  return *found;
}

}  // namespace

TEST_CASE("a command is found in PATH order, or by its path") {
  Home home;
  std::string tool = home.file("bin/tool", "x", 0755);
  CHECK(command("tool", home).path == tool);
  home.file("project/tool", "x", 0755);
  CHECK(command("./tool", home).real_path == home.path("project/tool"));
  home.link("bin/alias", tool);
  CHECK(command("alias", home).path == home.path("bin/alias"));
  CHECK(command("alias", home).real_path == tool);
}

TEST_CASE("a command that is missing is named with the nearest that exists") {
  Home home;
  home.variables["PATH"] = home.path("bin");
  home.file("bin/python3", "x", 0755);
  home.file("bin/pythonw", "x", 0755);
  Result<ResolvedCommand> found = find_command({"python"}, home.user());
  REQUIRE_FALSE(found);
  CHECK(found.error().code == ErrorCode::name_not_found);
  CHECK(found.error().what == "python not found; python3 is " + home.path("bin/python3"));
  found = find_command({"pyhton3"}, home.user());
  REQUIRE_FALSE(found);
  CHECK_THAT(found.error().what, Contains("python3 is"));
  found = find_command({"entirely-else"}, home.user());
  REQUIRE_FALSE(found);
  CHECK(found.error().what == "entirely-else not found");
  home.file("project/run.sh", "x", 0755);
  found = find_command({"run.sh"}, home.user());
  REQUIRE_FALSE(found);
  CHECK_THAT(found.error().fix, Contains("./run.sh"));
}

TEST_CASE("what is there but cannot run is another error than what is not there") {
  Home home;
  home.file("bin/data", "x", 0644);
  CHECK(find_command({"data"}, home.user()).error().code == ErrorCode::refused);
  CHECK(find_command({home.path("bin/data")}, home.user()).error().code == ErrorCode::refused);
  CHECK(find_command({home.path("bin")}, home.user()).error().code == ErrorCode::refused);
  CHECK(find_command({home.path("bin/none")}, home.user()).error().code ==
        ErrorCode::name_not_found);
  CHECK(find_command({}, home.user()).error().code == ErrorCode::bad_input);
  CHECK(find_command({""}, home.user()).error().code == ErrorCode::bad_input);
}

TEST_CASE("a pyenv shim brings pyenv's root, a version's program only that version") {
  Home home;
  home.file("home/.pyenv/shims/python3", "#!/bin/sh\n", 0755);
  home.file("home/.pyenv/versions/3.12.1/bin/python3.12", "x", 0755);
  home.variables["PATH"] = home.path("home/.pyenv/shims");
  CHECK(grants(runtime_grants(command("python3", home), home.user()), home.path("home/.pyenv"),
               "runtime pyenv"));

  home.link("project/.venv/bin/python", home.path("home/.pyenv/versions/3.12.1/bin/python3.12"));
  std::vector<PathGrant> list = runtime_grants(command(".venv/bin/python", home), home.user());
  CHECK(grants(list, home.path("home/.pyenv/versions/3.12.1"), "runtime pyenv 3.12.1"));
  CHECK_FALSE(grants_anything_at(list, home.path("home/.pyenv")));
  CHECK_FALSE(grants_anything_at(list, home.path("project/.venv")));
}

TEST_CASE("a program in a built-in group's directory needs no runtime, one that it leads to may") {
  Home home;
  home.file("home/.pyenv/versions/3.12.1/bin/python3.12", "x", 0755);
  home.link("usr/bin/python3", home.path("home/.pyenv/versions/3.12.1/bin/python3.12"));
  home.file("usr/bin/tool", "x", 0755);
  home.variables["GOROOT"] = home.path("usr");
  const std::vector<PathGrant> group = {{home.path("usr/bin"), Access::read, false, true, "group"}};
  const ResolvedCommand tool = command(home.path("usr/bin/tool"), home);
  CHECK(grants(runtime_grants(tool, home.user()), home.path("usr"), "runtime go"));
  const std::vector<PathGrant> alone = runtime_grants(tool, home.user(), group);
  REQUIRE(alone.size() == 1);
  CHECK(alone[0].path == home.path("usr/bin/tool"));
  CHECK(grants(runtime_grants(command(home.path("usr/bin/python3"), home), home.user(), group),
               home.path("home/.pyenv/versions/3.12.1"), "runtime pyenv 3.12.1"));
  // Nor does one that may be written and not read.
  const std::vector<PathGrant> written = {
      {home.path("usr/bin"), Access::write, false, true, "group"}};
  CHECK(grants(runtime_grants(tool, home.user(), written), home.path("usr"), "runtime go"));
  // A directory that the user granted says nothing about what the program needs.
  const std::vector<PathGrant> own = {{home.path("usr/bin"), Access::read, false, false, "--read"}};
  CHECK(grants(runtime_grants(tool, home.user(), own), home.path("usr"), "runtime go"));
}

TEST_CASE("an active environment around a built-in directory is readable, with its settings") {
  Home home;
  const std::string python = home.file("usr/local/bin/python3", "x", 0755);
  const std::vector<PathGrant> group = {
      {home.path("usr/local/bin"), Access::read, false, true, "group"}};
  const ResolvedCommand program = command(python, home);
  for (const auto& [variable, origin] :
       {std::pair("VIRTUAL_ENV", "runtime venv"), std::pair("CONDA_PREFIX", "runtime conda")}) {
    home.variables = {{variable, home.path("usr/local")}};
    CHECK(grants(runtime_grants(program, home.user(), group), home.path("usr/local"), origin));
    // Not one that the program is no part of.
    home.variables = {{variable, home.path("home/other")}};
    home.directory("home/other/bin");
    const std::vector<PathGrant> alone = runtime_grants(program, home.user(), group);
    REQUIRE(alone.size() == 1);
    CHECK(alone[0].path == python);
  }
}

TEST_CASE("each known way of installing brings its own tree and no more") {
  struct Case {
    const char* program;
    const char* tree;
    const char* origin;
  };
  const Case table[] = {
      {"home/.local/share/uv/python/cpython-3.12/bin/python3.12",
       "home/.local/share/uv/python/cpython-3.12", "runtime uv cpython-3.12"},
      {"home/miniconda3/envs/ml/bin/python3", "home/miniconda3/envs/ml", "runtime conda ml"},
      {"home/miniconda3/bin/python3", "home/miniconda3", "runtime conda"},
      {"home/.nvm/versions/node/v20.1.0/bin/node", "home/.nvm/versions/node/v20.1.0",
       "runtime nvm v20.1.0"},
      {"home/.local/share/fnm/node-versions/v20/installation/bin/node",
       "home/.local/share/fnm/node-versions/v20", "runtime fnm v20"},
      {"home/.rustup/toolchains/stable/bin/rustc", "home/.rustup/toolchains/stable",
       "runtime rustup stable"},
      {"home/.sdkman/candidates/java/21/bin/java", "home/.sdkman/candidates/java/21",
       "runtime sdkman 21"},
      {"home/sdk/go1.22/bin/go", "home/sdk/go1.22", "runtime go go1.22"},
      {"home/.linuxbrew/bin/jq", "home/.linuxbrew", "runtime homebrew"},
      {"home/.local/share/pipx/venvs/black/bin/black", "home/.local/share/pipx/venvs/black",
       "runtime pipx black"},
      {"home/.cache/pypoetry/virtualenvs/app/bin/python", "home/.cache/pypoetry/virtualenvs/app",
       "runtime venv app"},
  };
  for (const Case& c : table) {
    if (std::string(c.program).find("pypoetry") != std::string::npos) continue;
    Home home;
    INFO(c.program);
    std::string program = home.file(c.program, "x", 0755);
    CHECK(grants(runtime_grants(command(program, home), home.user()), home.path(c.tree), c.origin));
  }
}

TEST_CASE(
    "rustup's stand-ins bring cargo's programs and the toolchains, never the registry token") {
  Home home;
  home.file("home/.cargo/bin/rustup", "x", 0755);
  home.link("home/.cargo/bin/cargo", "rustup");
  home.file("home/.cargo/credentials.toml");
  home.directory("home/.rustup/toolchains/stable");
  std::vector<PathGrant> list =
      runtime_grants(command(home.path("home/.cargo/bin/cargo"), home), home.user());
  CHECK(grants(list, home.path("home/.cargo/bin"), "runtime cargo bin"));
  CHECK(grants(list, home.path("home/.rustup"), "runtime rustup"));
  CHECK_FALSE(grants_anything_at(list, home.path("home/.cargo")));
}

TEST_CASE("a script brings its interpreter's runtime, through env as well") {
  Home home;
  home.file("home/.nvm/versions/node/v20/bin/node", "x", 0755);
  std::string script = home.file("project/tool.js", "#!/usr/bin/env -S node --flag\n", 0755);
  home.variables["PATH"] = home.path("home/.nvm/versions/node/v20/bin");
  std::vector<PathGrant> list = runtime_grants(command(script, home), home.user());
  CHECK(grants(list, home.path("home/.nvm/versions/node/v20"), "runtime nvm v20"));
  CHECK(grants(list, script, "command"));
  home.file("project/loop", "#!" + home.path("project/loop") + "\n", 0755);
  CHECK(runtime_grants(command("./loop", home), home.user()).size() == 1);
}

TEST_CASE("a script's first line has nothing granted that env would not run") {
  Home home;
  std::string other = home.file("home/other", "x", 0755);
  for (const char* options : {"-S -u", "-S -C", "-i -u", "--chdir"}) {
    std::string line = "#!/usr/bin/env " + std::string(options) + " " + other + " sh\n";
    std::string script = home.file("project/tool", line, 0755);
    CHECK_FALSE(grants_anything_at(runtime_grants(command(script, home), home.user()), other));
  }
}

TEST_CASE("a project cannot make itself a runtime") {
  Home home;
  home.file("project/bin/python3", "x", 0755);
  home.file("project/pyvenv.cfg", "home = /\n");
  home.directory("project/lib");
  std::vector<PathGrant> list = runtime_grants(command("bin/python3", home), home.user());
  CHECK_FALSE(grants_anything_at(list, home.path("project")));
  CHECK_FALSE(grants_anything_at(list, "/"));
  // Nor by a variable that names too much.
  home.variables["VIRTUAL_ENV"] = "/";
  home.variables["PYENV_ROOT"] = home.path("");
  list = runtime_grants(command("bin/python3", home), home.user());
  for (const PathGrant& grant : list) CHECK(grant.file);
}

TEST_CASE("a runtime that everybody may write is not trusted") {
  Home home;
  std::string program = home.file("home/.nvm/versions/node/v20/bin/node", "x", 0755);
  ::chmod(home.path("home/.nvm/versions/node/v20").c_str(), 0777);
  CHECK_FALSE(grants_anything_at(runtime_grants(command(program, home), home.user()),
                                 home.path("home/.nvm/versions/node/v20")));
}

TEST_CASE("resolve names the runtimes, and none under a writable grant or holding a deny") {
  Home home;
  std::string program = home.file("home/.nvm/versions/node/v20/bin/node", "x", 0755);
  ResolvedCommand node = command(program, home);
  ResolveOptions options;
  options.command = &node;
  Result<SessionConfig> session = resolve({}, home.user(), options);
  REQUIRE(session);
  CHECK(session->runtimes ==
        std::vector<std::string>{"nvm v20 (" + home.path("home/.nvm/versions/node/v20") + ")"});
  Settings settings;
  settings.paths.push_back({"~/.nvm", Access::read_write, false, {"--allow"}});
  session = resolve(settings, home.user(), options);
  REQUIRE(session);
  CHECK(session->runtimes.empty());
  settings.paths.clear();
  settings.deny_paths.push_back({"~/.nvm", Access::none, false, {"p.json:1:1"}});
  session = resolve(settings, home.user(), options);
  REQUIRE(session);
  CHECK_FALSE(grants_anything_at(session->grants, home.path("home/.nvm/versions/node/v20")));
  CHECK_FALSE(grants_anything_at(session->grants, program));
}

TEST_CASE("the nearest word is found for a slip of the finger, and nothing for another word") {
  CHECK(nearest("opena", {"openai", "github"}) == std::string("openai"));
  CHECK(nearest("githbu", {"openai", "github"}) == std::string("github"));
  CHECK(nearest("dev", {"developer"}) == std::string("developer"));
  CHECK(nearest("OpenAI", {"openai"}) == std::string("openai"));
  CHECK_FALSE(nearest("zzz", {"openai", "github"}));
  CHECK_FALSE(nearest("", {"a"}));
  CHECK_FALSE(nearest("ab", {"xy"}));
  CHECK_FALSE(nearest(std::string(1000, 'a'), {std::string(1000, 'a') + "b"}));
}
