// The notify backend end to end, with real programs; the choice between the backends.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <csignal>

#include "tests/e2e/clients.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

// nono run in the notify backend, with example.com allowed.
Finished notify(const Stage& stage, std::vector<std::string> command,
                const std::vector<std::string>& flags = {}) {
  std::vector<std::string> all = {"--backend", "notify", "--allow-domain", "example.com"};
  all.insert(all.end(), flags.begin(), flags.end());
  all.emplace_back("--");
  all.insert(all.end(), command.begin(), command.end());
  Finished ended = run(stage.nono_run(all), 100s);
  UNSCOPED_INFO(ended.out << ended.err << stage.audit_text());
  return ended;
}

std::string notes_in(const Stage& stage) {
  std::string notes;
  for (const nlohmann::json& line : stage.audit()) {
    if (line.value("kind", "") == "note") notes += line.value("detail", "") + "\n";
  }
  return notes;
}

// A shell in which no user namespace can be made, as an administrator may have it.
Command without_namespaces(const Command& command) {
  Command wrapped = command;
  wrapped.argv = {"unshare", "--user", "--map-root-user",
                  "sh",      "-c",     "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"",
                  "sh"};
  wrapped.argv.insert(wrapped.argv.end(), command.argv.begin(), command.argv.end());
  return wrapped;
}

std::uint16_t free_port() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  REQUIRE(::bind(socket.get(), generic, size) == 0);
  REQUIRE(::getsockname(socket.get(), generic, &size) == 0);
  return ntohs(address.sin_port);
}

TEST_CASE("notify: python connects by blocking sockets and by asyncio") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("captured.py");
  Finished ended = notify(
      *stage, {"python3", "captured.py", "get:https://example.com/hello", "name:evil.example",
               "read:127.0.0.1:22", "datagram:127.0.0.1:53", "get:https://evil.example/"});
  CHECK_THAT(ended.out, Contains("get:https://example.com/hello -> 200 hello\n"));
  CHECK_THAT(ended.out, Contains("name:evil.example -> Name or service not known\n"));
  CHECK_THAT(ended.out, Contains("read:127.0.0.1:22 -> Connection refused\n"));
  CHECK_THAT(ended.out, Contains("datagram:127.0.0.1:53 -> Operation not permitted\n"));
  CHECK_THAT(ended.out, !Contains("SLOW"));
  stage->project_data("asyncio_get.py");
  ended = notify(*stage, {"python3", "asyncio_get.py", "example.com", "/hello"});
  CHECK(ended.out == "20 {'HTTP/1.1 200 OK'} {'hello'}\n");
}

TEST_CASE("notify: a host with a key is intercepted, whatever the program knows of proxies") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string get =
      " -sS --max-time 30 -H \"Authorization: Bearer $OPENAI_API_KEY\" -o answer -w "
      "'%{http_code}\\n' https://api.openai.com/v1/models;";
  Command command = stage->nono_run({"--backend", "notify", "--credential", "openai=env://TEAM_KEY",
                                     "--", "sh", "-c", "curl" + get + "curl --noproxy '*'" + get});
  command.env["TEAM_KEY"] = stage->real_key();
  const Finished ended = run(command);
  INFO(ended.out << ended.err << stage->audit_text());
  CHECK(ended.out == "200\n200\n");
  REQUIRE(stage->requests().size() == 2);
  for (const nlohmann::json& request : stage->requests()) {
    CHECK(request["headers"]["authorization"] == "Bearer " + stage->real_key());
  }
}

TEST_CASE("notify: ports of loopback work in both directions") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string port = std::to_string(free_port());
  Command outside{{"/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", port},
                  plain_environment(stage->home()),
                  stage->project(),
                  {},
                  ""};
  outside.env["PYTHONUNBUFFERED"] = "1";
  Process server(outside);
  REQUIRE(server.wait_for("Serving HTTP"));
  stage->project_file("found.txt", "found\n");
  const std::vector<std::string> get = {"curl",
                                        "--noproxy",
                                        "*",
                                        "-sS",
                                        "--max-time",
                                        "20",
                                        "http://127.0.0.1:" + port + "/found.txt"};
  CHECK(notify(*stage, get, {"--open-port", port}).out == "found\n");
  CHECK_THAT(notify(*stage, get).err, Contains("refused") || Contains("connect"));

  const std::string inner = std::to_string(free_port());
  std::vector<std::string> all = {"--backend",   "notify",        "--allow-domain",
                                  "example.com", "--listen-port", inner,
                                  "--",          "python3",       "-u",
                                  "-m",          "http.server",   inner};
  Process inside(stage->nono_run(all));
  REQUIRE(inside.wait_for("Serving HTTP"));
  const Finished asked = run({{"curl", "-sS", "--max-time", "20", "--noproxy", "*",
                               "http://127.0.0.1:" + inner + "/found.txt"},
                              plain_environment(stage->home()),
                              stage->project(),
                              {},
                              ""});
  INFO(asked.err << inside.err());
  CHECK(asked.out == "found\n");
  inside.signal(SIGTERM);
  CHECK(inside.wait().code == 128 + SIGTERM);
}

TEST_CASE("notify: files, the open network and a blocked one hold as ever") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string look =
      "cat " + stage->home() + "/.ssh/id_ed25519; touch $TMPDIR/x && echo temporary; echo $TMPDIR";
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{"--block-net"}, std::vector<std::string>{}}) {
    std::vector<std::string> all = {"run", "--allow-cwd", "--backend", "notify"};
    all.insert(all.end(), flags.begin(), flags.end());
    all.insert(all.end(), {"--", "sh", "-c", look});
    const Finished ended = run(stage->nono(all));
    INFO(ended.out << ended.err);
    CHECK_THAT(ended.out, Contains("temporary\n/tmp/nono-tmp-"));
    CHECK_THAT(ended.err, Contains("id_ed25519"));
  }
}

TEST_CASE("where user namespaces are forbidden notify is used, said and recorded") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Command command =
      stage->nono_run({"-v", "--allow-domain", "example.com", "--", "curl", "-sS", "--cacert",
                       "ca.pem", "--max-time", "30", "https://example.com/hello"});
  const Finished ended = run(without_namespaces(command));
  INFO(ended.out << ended.err << stage->audit_text());
  CHECK(ended.code == 0);
  CHECK(ended.out == "hello\n");
  CHECK_THAT(ended.err, Contains("notify backend, since nono could not create the namespaces"));
  CHECK_THAT(notes_in(*stage), Contains("notify backend, since nono could not"));
  // With namespaces again, the other one, of which nothing is said.
  const Finished usual = run(command);
  CHECK(usual.code == 0);
  CHECK_THAT(usual.err, !Contains("notify backend"));

  Command forced = stage->nono_run({"--backend", "netns", "--", "true"});
  const Finished refused = run(without_namespaces(forced));
  INFO(refused.err);
  CHECK(refused.code == 125);
  CHECK_THAT(refused.err, Contains("max_user_namespaces"));

  const Finished setup = run(without_namespaces(stage->nono({"setup", "--check-only"})));
  INFO(setup.out << setup.err);
  CHECK(setup.code == 0);
  CHECK_THAT(setup.out, Contains("with the notify backend") && Contains("FAIL"));
  CHECK_THAT(setup.out, Contains("FAIL  capture of every port (TPROXY): ") &&
                            Contains("max_user_namespaces"));
}

TEST_CASE("what is accepted as weak is named in the banner and the audit log") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished weak =
      notify(*stage, {"sh", "-c", "test -r /dev/ptmx && python3 -c 'import os; os.openpty()'"},
             {"-v", "--weak", "host-terminals", "--weak", "no-landlock-net"});
  CHECK(weak.code == 0);
  CHECK_THAT(weak.err, Contains("weak: host-terminals: the command may open your other terminals"));
  CHECK_THAT(weak.err, Contains("--weak no-landlock-net changes nothing here"));
  CHECK_THAT(notes_in(*stage), Contains("weak: host-terminals"));
  const Finished strict = notify(*stage, {"python3", "-c", "import os; os.openpty()"});
  CHECK(strict.code != 0);
}

TEST_CASE("a backend or a weakness that does not exist is a usage error with the list") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished backend = run(stage->nono({"run", "--backend", "nets", "--", "true"}));
  CHECK(backend.code == 2);
  CHECK_THAT(backend.err, Contains("--backend takes netns or notify"));
  Command by_variable = stage->nono({"run", "--", "true"});
  by_variable.env["NONO_BACKEND"] = "nets";
  CHECK_THAT(run(by_variable).err, Contains("NONO_BACKEND takes netns or notify"));
  const Finished weak = run(stage->nono({"run", "--weak", "host-terminal", "--", "true"}));
  CHECK(weak.code == 2);
  CHECK_THAT(weak.err, Contains("did you mean host-terminals") &&
                           Contains("no-landlock-net, unscoped-signals, host-terminals"));
}

}  // namespace
}  // namespace nono::testing
