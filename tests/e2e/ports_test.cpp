// Ports of loopback in both directions: --open-port and --listen-port.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <csignal>

#include "tests/e2e/clients.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

// A port of 127.0.0.1 that nobody has.
std::uint16_t free_port() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = static_cast<sockaddr*>(static_cast<void*>(&address));
  REQUIRE(::bind(socket.get(), generic, size) == 0);
  REQUIRE(::getsockname(socket.get(), generic, &size) == 0);
  return ntohs(address.sin_port);
}

Command greeter(const Stage& stage, std::uint16_t port) {
  Command server;
  server.argv = {"/usr/bin/python3", source_dir() + "/tests/e2e/data/speaks_first.py", "127.0.0.1",
                 std::to_string(port)};
  server.env = plain_environment(stage.home());
  return server;
}

// A web server of the sandbox's that says when it is ready.
std::string web_server(const std::string& address, std::uint16_t port) {
  return fmt::format(
      "import http.server, socket, sys\n"
      "class S(http.server.ThreadingHTTPServer):\n"
      "    address_family = socket.AF_INET6 if ':' in '{0}' else socket.AF_INET\n"
      "s = S(('{0}', {1}), http.server.SimpleHTTPRequestHandler)\n"
      "print('server ready', flush=True)\n"
      "s.serve_forever()\n",
      address, port);
}

std::vector<nlohmann::json> lines_by(const Stage& stage, const std::string& way) {
  std::vector<nlohmann::json> lines;
  for (const nlohmann::json& line : stage.audit()) {
    if (line.value("way", "") == way) lines.push_back(line);
  }
  return lines;
}

TEST_CASE("an open port leads to this machine's server, by loopback alone") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("captured.py");
  const std::uint16_t port = free_port();
  const std::uint16_t other = free_port();
  Process server(greeter(*stage, port));
  Process closed(greeter(*stage, other));
  REQUIRE(server.wait_for("greeter ready"));
  REQUIRE(closed.wait_for("greeter ready"));
  for (const char* way : {"--capture-all-ports=on", "--capture-all-ports=off"}) {
    const Finished ended = run(stage->nono_run(
        {"--open-port", std::to_string(port), way, "--", "python3", "captured.py",
         fmt::format("read:127.0.0.1:{}", port), fmt::format("read:[::1]:{}", port),
         fmt::format("read:localhost:{}", port), fmt::format("read:192.0.2.7:{}", port),
         fmt::format("read:127.0.0.1:{}", other), "name:example.com"}));
    INFO(way << ended.out << ended.err << stage->audit_text());
    const std::string greeted = fmt::format(":{} -> 220 ready when you are\n", port);
    CHECK_THAT(ended.out, Contains("read:127.0.0.1" + greeted));
    CHECK_THAT(ended.out, Contains("read:[::1]" + greeted));
    CHECK_THAT(ended.out, Contains("read:localhost" + greeted));
    CHECK_THAT(ended.out,
               Contains(fmt::format("read:192.0.2.7:{} -> Connection reset by peer\n", port)));
    CHECK_THAT(ended.out, Contains(fmt::format("127.0.0.1:{} -> Connection refused\n", other)));
    CHECK_THAT(ended.out, Contains("name:example.com -> Name or service not known\n"));
  }
  const nlohmann::json first = lines_by(*stage, "captured").at(0);
  CHECK(first["decision"] == "allow");
  CHECK(first["rule"] == fmt::format("--open-port {}", port));
}

TEST_CASE("an open port behind which nothing listens breaks off") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("captured.py");
  const std::uint16_t port = free_port();
  const Finished ended =
      run(stage->nono_run({"--open-port", std::to_string(port), "--", "python3", "captured.py",
                           fmt::format("read:127.0.0.1:{}", port)}));
  INFO(ended.err);
  CHECK_THAT(ended.out, Contains("Connection reset by peer\n"));
}

TEST_CASE("a listen port leads to the command's own server, IPv4 or IPv6") {
  const auto stage = Stage::make();
  if (!stage) return;
  for (const char* address : {"127.0.0.1", "::1", "0.0.0.0"}) {
    const std::uint16_t port = free_port();
    stage->project_file("server.py", web_server(address, port));
    Process served(
        stage->nono_run({"--listen-port", std::to_string(port), "--", "python3", "server.py"}));
    INFO(address << served.err() << served.out());
    REQUIRE(served.wait_for("server ready"));
    for (int i = 0; i < 3; ++i) {
      const std::string answer = raw_exchange("127.0.0.1", port, "GET /ca.pem HTTP/1.0\r\n\r\n");
      CHECK_THAT(answer, Contains("200 OK") && Contains("BEGIN CERTIFICATE"));
    }
    served.signal(SIGTERM);
    CHECK(served.wait().code == 128 + SIGTERM);
  }
  const std::vector<nlohmann::json> lines = lines_by(*stage, "inbound");
  REQUIRE(lines.size() == 18);  // a decision and an end each
  CHECK(lines[0]["decision"] == "allow");
  CHECK_THAT(lines[0].value("rule", ""), Contains("--listen-port"));
}

TEST_CASE("many connections at once come in through a listen port, whole") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::uint16_t port = free_port();
  stage->project_file("big", std::string(3'000'000, 'b'));
  stage->project_file("server.py", web_server("127.0.0.1", port));
  Process served(
      stage->nono_run({"--listen-port", std::to_string(port), "--", "python3", "server.py"}));
  REQUIRE(served.wait_for("server ready"));
  std::vector<std::string> arguments = {"curl", "-sS",        "--max-time",
                                        "60",   "--parallel", "--parallel-immediate"};
  for (int i = 0; i < 30; ++i) {
    arguments.insert(arguments.end(), {fmt::format("http://127.0.0.1:{}/big", port), "-o",
                                       stage->dir().path() + fmt::format("/got-{}", i)});
  }
  const Finished ended = run({arguments, plain_environment("/"), "/", {}, ""}, 90s);
  INFO(ended.err);
  CHECK(ended.code == 0);
  for (int i = 0; i < 30; ++i) {
    CHECK(read_file(stage->dir().path() + fmt::format("/got-{}", i)).size() == 3'000'000);
  }
}

TEST_CASE(
    "a listen port is closed at once while the command does not listen, and taken ports told") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::uint16_t port = free_port();
  Process waiting(stage->nono_run(
      {"--listen-port", std::to_string(port), "--", "sh", "-c", "echo started; sleep 60"}));
  REQUIRE(waiting.wait_for("started"));
  const auto start = std::chrono::steady_clock::now();
  CHECK(raw_exchange("127.0.0.1", port, "GET / HTTP/1.0\r\n\r\n").empty());
  CHECK(std::chrono::steady_clock::now() - start < 5s);
  const Finished second =
      run(stage->nono_run({"--listen-port", std::to_string(port), "--", "true"}));
  CHECK(second.code == 1);
  CHECK_THAT(second.err, Contains(fmt::format("127.0.0.1:{} is in use", port)));
}

TEST_CASE("a port cannot be open and listened on, nor come with a blocked network") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished both =
      run(stage->nono({"run", "--open-port", "4000", "--listen-port", "4000", "--", "true"}));
  CHECK(both.code == 1);
  CHECK_THAT(both.err, Contains("both an open port and a listen port"));
  const Finished blocked =
      run(stage->nono({"run", "--block-net", "--open-port", "4000", "--", "true"}));
  CHECK(blocked.code == 1);
  CHECK_THAT(blocked.err, Contains("--block-net and --open-port are contradictory"));
  CHECK(run(stage->nono({"run", "--open-port", "0", "--", "true"})).code == 2);
  CHECK(run(stage->nono({"run", "--capture-all-ports=maybe", "--", "true"})).code == 2);
}

TEST_CASE("a profile names ports as the flags do") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("captured.py");
  const std::uint16_t port = free_port();
  Process server(greeter(*stage, port));
  REQUIRE(server.wait_for("greeter ready"));
  const std::string profile = stage->project_file(
      "ports.json", fmt::format("{{\"network\": {{\"open_port\": [{}]}}}}", port));
  const Finished ended =
      run(stage->nono({"run", "--profile", profile, "--allow-cwd", "--", "python3", "captured.py",
                       fmt::format("read:127.0.0.1:{}", port), "name:example.com"}));
  INFO(ended.out << ended.err);
  CHECK_THAT(ended.out, Contains("220 ready when you are"));
  CHECK_THAT(ended.out, Contains("name:example.com -> Name or service not known"));
}

}  // namespace
}  // namespace nono::testing
