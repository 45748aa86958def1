// ssh, and git over it, by name and without any proxy setting.

#include <fmt/format.h>

#include "tests/e2e/confined.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

constexpr int ssh_port = 2222;

// A server on the stage's address that lets in whoever holds the project's key. It wants a folder
// of its own below /run, which is a private one.
std::unique_ptr<Process> start_sshd(const Stage& stage) {
  const Finished keys =
      shell(stage,
            "ssh-keygen -q -t ed25519 -N '' -f host_key && ssh-keygen -q -t ed25519 -N '' -f "
            "user_key && cp user_key project/id && chmod 600 project/id",
            stage.home());
  INFO(keys.err);
  REQUIRE(keys.code == 0);
  const std::string config = fmt::format(
      "Port {}\nListenAddress {}\nHostKey {}/host_key\nAuthorizedKeysFile {}/user_key.pub\n"
      "StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n",
      ssh_port, stage.address(), stage.home(), stage.home());
  const std::string file = stage.dir().write("sshd_config", config);
  Command command;
  command.argv = {
      "unshare",
      "--mount",
      "sh",
      "-c",
      "mount -t tmpfs none /run && mkdir /run/sshd && exec /usr/sbin/sshd -D -e -f \"$1\"",
      "sh",
      file};
  command.env = plain_environment(stage.home());
  auto server = std::make_unique<Process>(command);
  INFO(server->err());
  REQUIRE(server->wait_for("Server listening on"));
  return server;
}

bool can_serve_ssh() {
  if (::getuid() == 0 &&
      run({{"test", "-x", "/usr/sbin/sshd"}, plain_environment("/"), "/", {}, ""}).code == 0) {
    return true;
  }
  std::puts("skipped by name: sshd, as root");
  return false;
}

std::string ssh_command(const Stage& stage) {
  return "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
         "-o LogLevel=ERROR -i " +
         stage.project() + "/id";
}

// Every way of catching connections.
const std::vector<std::vector<std::string>>& all_ways() {
  static const std::vector<std::vector<std::string>> ways = {
      {"--backend", "netns", "--capture-all-ports=on"},
      {"--backend", "netns", "--capture-all-ports=off"},
      {"--backend", "notify"}};
  return ways;
}

Finished by_way(const Stage& stage, const std::vector<std::string>& way, const std::string& rule,
                const std::string& script) {
  std::vector<std::string> all = way;
  all.insert(all.end(), {"--allow-domain", rule, "--"});
  for (const std::string& word : without_proxy_variables({"sh", "-euc", script})) {
    all.push_back(word);
  }
  Finished ended = run(stage.nono_run(all), 100s);
  UNSCOPED_INFO(way[1] << "\n" << ended.err << stage.audit_text());
  return ended;
}

void make_repository(const Stage& stage) {
  const Finished made =
      shell(stage,
            "rm -rf work repo.git && git init -q -b main work && cd work && echo content > file && "
            "git add file && git -c user.name=a -c user.email=a@b.invalid commit -q -m first && "
            "cd .. && git clone -q --bare work repo.git",
            stage.root());
  INFO(made.err);
  REQUIRE(made.code == 0);
}

TEST_CASE("ssh reaches a host that a rule names with its port, and no other") {
  const auto stage = Stage::make();
  if (!stage || !can_serve_ssh()) return;
  const auto server = start_sshd(*stage);
  const std::string script = fmt::format(
      "{0} -p {1} root@git.example echo arrived; {0} -p {1} root@evil.example echo no || "
      "echo refused; {0} -p 2223 root@git.example echo no || echo closed",
      ssh_command(*stage), ssh_port);
  for (const auto& way : all_ways()) {
    const Finished ended = by_way(*stage, way, fmt::format("git.example:{}", ssh_port), script);
    INFO(server->err());
    CHECK(ended.out == "arrived\nrefused\nclosed\n");
    CHECK_THAT(ended.err, Contains("evil.example"));
  }
  CHECK_FALSE(stage->asked_for("evil.example"));
}

TEST_CASE("git clones and pushes over ssh from inside the sandbox") {
  const auto stage = Stage::make();
  if (!stage || !can_serve_ssh()) return;
  const auto server = start_sshd(*stage);
  for (const auto& way : all_ways()) {
    make_repository(*stage);
    const std::string script = fmt::format(
        "export GIT_SSH_COMMAND='{}' GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b.invalid "
        "GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b.invalid\n"
        "rm -rf one && git clone -q ssh://root@git.example:{}{}/repo.git one && cd one && cat file "
        "&& head -c 2000000 /dev/urandom > big && git add big && git commit -q -m second && "
        "git push -q",
        ssh_command(*stage), ssh_port, stage->root());
    const Finished ended = by_way(*stage, way, fmt::format("git.example:{}", ssh_port), script);
    INFO(server->err());
    CHECK(ended.code == 0);
    CHECK(ended.out == "content\n");
    const Finished log = shell(*stage, "git -C repo.git log --format=%s main", stage->root());
    CHECK(log.out == "second\nfirst\n");
  }
}

TEST_CASE("git clones over https from inside the sandbox without any proxy setting") {
  const auto stage = Stage::make();
  if (!stage) return;
  make_repository(*stage);
  const std::string script =
      "export GIT_SSL_CAINFO=\"$PWD/ca.pem\"; rm -rf one two\n"
      "git clone -q https://example.com/git/repo.git one && cat one/file && "
      "git clone -q http://example.com/git/repo.git two && cat two/file\n"
      "git clone -q https://evil.example/git/repo.git three || echo refused";
  for (const auto& way : all_ways()) {
    const std::size_t before = stage->requests().size();
    const Finished ended = by_way(*stage, way, "example.com", script);
    CHECK(ended.code == 0);
    CHECK(ended.out == "content\ncontent\nrefused\n");
    CHECK_THAT(ended.err, Contains("Could not resolve host: evil.example"));
    CHECK(stage->requests().size() >= before + 4);
  }
  for (const nlohmann::json& request : stage->requests()) {
    CHECK(request["headers"]["host"] == "example.com");
  }
  CHECK_FALSE(stage->asked_for("evil.example"));
}

}  // namespace
}  // namespace nono::testing
