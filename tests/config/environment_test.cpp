#include "config/environment.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "config/credentials.hpp"

using namespace nono;

namespace {

std::optional<std::string> value_of(const ChildEnvironment& child, const std::string& name) {
  for (const std::string& entry : child.entries) {
    if (entry.starts_with(name + "=")) return entry.substr(name.size() + 1);
  }
  return std::nullopt;
}

bool withheld(const ChildEnvironment& child, const std::string& name) {
  return std::find(child.withheld.begin(), child.withheld.end(), name) != child.withheld.end();
}

ChildEnvironment build(const std::vector<std::string>& parent, const SessionConfig& config = {}) {
  return build_environment(parent, config, {});
}

}  // namespace

TEST_CASE("ordinary variables pass, secret-looking ones are withheld and named") {
  ChildEnvironment child =
      build({"PATH=/bin", "HOME=/home/u", "OPENAI_API_KEY=sk-x", "MY_TOKEN=t",
             "AWS_SECRET_ACCESS_KEY=s", "DB_PASSWORD=p", "GOOGLE_APPLICATION_CREDENTIALS=/x",
             "SSH_AUTH_SOCK=/run/s", "DBUS_SESSION_BUS_ADDRESS=unix:x", "lower_api_key=x",
             "DATABASE_URL=postgres://u:p@h/d", "PIP_INDEX_URL=https://mirror.example/simple"});
  CHECK(child.entries == std::vector<std::string>{"HOME=/home/u", "PATH=/bin",
                                                  "PIP_INDEX_URL=https://mirror.example/simple"});
  CHECK(child.withheld == std::vector<std::string>{
                              "AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "DBUS_SESSION_BUS_ADDRESS",
                              "DB_PASSWORD", "GOOGLE_APPLICATION_CREDENTIALS", "MY_TOKEN",
                              "OPENAI_API_KEY", "SSH_AUTH_SOCK", "lower_api_key"});
}

TEST_CASE("sockets of displays, sound, multiplexers and editors of the host are withheld") {
  ChildEnvironment child =
      build({"TMUX=/tmp/tmux-0/default,1,0", "STY=1.x", "SWAYSOCK=/run/s",
             "PULSE_SERVER=unix:/run/p", "NVIM=/run/nvim", "KITTY_LISTEN_ON=unix:/tmp/k",
             "WAYLAND_DISPLAY=wayland-0", "TERM=xterm", "EDITOR=nvim"});
  CHECK(child.entries == std::vector<std::string>{"EDITOR=nvim", "TERM=xterm"});
  CHECK(child.withheld.size() == 7);
}

TEST_CASE("the variable of an agent or a bus passes where its socket is granted, and no other") {
  SessionConfig config;
  config.sockets.push_back({"/nowhere/bus", Access::read, true, false, "--allow-unix-socket"});
  ChildEnvironment child =
      build({"DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere/bus,guid=1",
             "DOCKER_HOST=unix:///nowhere/bus", "SSH_AUTH_SOCK=/nowhere/bus2",
             "DBUS_SYSTEM_BUS_ADDRESS=unix:abstract=x", "MY_TOKEN=/nowhere/bus"},
            config);
  CHECK(child.entries ==
        std::vector<std::string>{"DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere/bus,guid=1",
                                 "DOCKER_HOST=unix:///nowhere/bus"});
  CHECK(child.withheld ==
        std::vector<std::string>{"DBUS_SYSTEM_BUS_ADDRESS", "MY_TOKEN", "SSH_AUTH_SOCK"});
}

TEST_CASE("a secret's usual name needs no prefix to be withheld") {
  ChildEnvironment child = build({"SECRET_KEY=s", "SECRET_KEY_BASE=s", "PRIVATE_KEY=k", "TOKEN=t",
                                  "npm_config_//h/:_authToken=t", "AUTH=yes", "PASS=2"});
  CHECK(child.entries == std::vector<std::string>{"AUTH=yes", "PASS=2"});
  CHECK(child.withheld.size() == 5);
}

TEST_CASE("what makes programs load code, inherited proxies and nono's own never pass") {
  ChildEnvironment child =
      build({"LD_PRELOAD=/x.so", "LD_LIBRARY_PATH=/x", "PYTHONPATH=/x", "BASH_ENV=/x",
             "BASH_FUNC_ls%%=() { :; }", "NODE_OPTIONS=--require x", "HTTPS_PROXY=http://h",
             "all_proxy=socks5://h", "NO_PROXY=*", "npm_config_https_proxy=http://h",
             "NONO_PROXY_PASS=x", "LISTEN_FDS=1", "NOTIFY_SOCKET=/run/n", "=x", "nothing"});
  CHECK(child.entries.empty());
  CHECK(child.withheld.empty());
}

TEST_CASE("the flag --allow-env passes what would be withheld, by its exact name only") {
  SessionConfig config;
  config.pass_env = {"MY_TOKEN", "PYTHONPATH", "HTTPS_PROXY"};
  ChildEnvironment child =
      build({"MY_TOKEN=t", "MY_TOKEN_2_TOKEN=t", "PYTHONPATH=/x", "HTTPS_PROXY=http://h"}, config);
  CHECK(value_of(child, "MY_TOKEN") == "t");
  CHECK(value_of(child, "PYTHONPATH") == "/x");
  CHECK_FALSE(value_of(child, "HTTPS_PROXY"));
  CHECK(withheld(child, "MY_TOKEN_2_TOKEN"));
  config.pass_env = {"MY_*"};
  CHECK(withheld(build({"MY_TOKEN=t"}, config), "MY_TOKEN"));
}

TEST_CASE("allow_vars lists what passes, deny_vars wins over it") {
  SessionConfig config;
  config.allow_env = std::vector<std::string>{"PATH", "LC_*", "MY_TOKEN"};
  config.deny_env = {"LC_SECRET*"};
  ChildEnvironment child = build(
      {"PATH=/bin", "HOME=/h", "LC_ALL=C", "LC_SECRETS=x", "LC_API_KEY=k", "MY_TOKEN=t"}, config);
  CHECK(child.entries == std::vector<std::string>{"LC_ALL=C", "MY_TOKEN=t", "PATH=/bin"});
  CHECK(withheld(child, "LC_API_KEY"));
  config.allow_env = std::vector<std::string>{};
  CHECK(build({"PATH=/bin"}, config).entries.empty());
  config.deny_env = {"MY_TOKEN"};
  config.allow_env = std::nullopt;
  config.pass_env = {"MY_TOKEN"};
  CHECK(build({"MY_TOKEN=t"}, config).entries.empty());
}

TEST_CASE("the real value of a phantom variable never passes, whatever is asked for") {
  SessionConfig config;
  config.credentials = {*builtin_credential("openai")};
  config.pass_env = {"OPENAI_API_KEY", "OPENAI_BASE_URL"};
  config.allow_env = std::vector<std::string>{"OPENAI_API_KEY"};
  config.set_env = {{"OPENAI_API_KEY", "sk-real"}};
  ChildEnvironment child =
      build({"OPENAI_API_KEY=sk-real", "OPENAI_BASE_URL=https://elsewhere.example"}, config);
  CHECK(child.entries.empty());
  child = build_environment({"OPENAI_API_KEY=sk-real"}, config,
                            {{"OPENAI_API_KEY", "sk-nono_phantom"}});
  CHECK(child.entries == std::vector<std::string>{"OPENAI_API_KEY=sk-nono_phantom"});
}

TEST_CASE("a loaded secret does not pass under another name or inside another value") {
  std::string_view secrets[] = {"sk-real-value"};
  SessionConfig config;
  config.pass_env = {"COPY"};
  config.set_env = {{"SET", "x sk-real-value y"}};
  ChildEnvironment child = build_environment(
      {"COPY=sk-real-value", "INNER=a sk-real-value b", "FINE=sk-real"}, config, {}, secrets);
  CHECK(child.entries == std::vector<std::string>{"FINE=sk-real"});
  CHECK(withheld(child, "COPY"));
  CHECK(withheld(child, "INNER"));
}

TEST_CASE("set_vars win over what is inherited, additions over everything") {
  SessionConfig config;
  config.set_env = {{"A", "set"}, {"B", "set"}, {"MY_TOKEN", "set"}};
  ChildEnvironment child =
      build_environment({"A=parent", "B=parent", "MY_TOKEN=parent"}, config, {{"B", "addition"}});
  CHECK(child.entries == std::vector<std::string>{"A=set", "B=addition", "MY_TOKEN=set"});
  CHECK(child.withheld.empty());
}
