// Started by a service manager: sockets that it opened, what it is told, and how the proxy ends.

#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "tests/e2e/session_scene.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

// Opens a listener on descriptor 3 and becomes the program in its arguments, as systemd does.
constexpr const char* activation_script = R"(
import os, socket, sys
address, what = sys.argv[1:3]
if what == "datagram":
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((address, 0))
elif what == "unix":
    s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[3]); s.listen(16)
else:
    s = socket.socket(); s.bind((address, 0)); s.listen(16)
if what != "unix":
    print("given %d" % s.getsockname()[1], flush=True)
if s.fileno() != 3:
    os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ["LISTEN_FDS"] = "1"
os.environ["LISTEN_PID"] = str(os.getpid() + (1 if what == "foreign" else 0))
os.execv(sys.argv[4], sys.argv[4:])
)";

Command activated(const Stage& stage, const std::string& what, const std::string& path,
                  std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "proxy");
  const std::vector<std::string> network = stage.network_flags();
  arguments.insert(arguments.end(), network.begin(), network.end());
  arguments.insert(arguments.end(), {"--allow-domain", "example.com"});
  Command command = stage.nono(arguments);
  command.argv.insert(command.argv.begin(),
                      {"/usr/bin/python3", "-c", activation_script, stage.address(), what, path});
  command.env["NONO_PROXY_TOKEN"] = "0123456789abcdef0123456789abcdef";
  return command;
}

std::string port_given(const Process& process) {
  const std::string said = process.out();
  const std::size_t at = said.find("given ") + 6;
  return said.substr(at, said.find('\n', at) - at);
}

constexpr const char* url = "http://example.com/hello";

TEST_CASE("a socket that systemd opened is served, instead of the usual one") {
  const auto stage = Stage::make();
  if (!stage) return;
  Process process(activated(*stage, "stream", "-", {}));
  INFO(process.err());
  REQUIRE(process.wait_for("listening on "));
  const std::string authority = stage->address() + ":" + port_given(process);
  CHECK_THAT(process.out(), Contains("listening on " + authority) && !Contains("127.0.0.1:"));
  CHECK(curl(*stage, "http://nono:0123456789abcdef0123456789abcdef@" + authority, {url}).out ==
        "hello\n");
  CHECK(curl(*stage, "http://" + authority, {"-o", "/dev/null", "-w", "%{http_code}", url}).out ==
        "407");
  process.signal(SIGTERM);
  CHECK(process.wait(20s).code == 0);
}

TEST_CASE("sockets meant for another process are left alone, wrong kinds are refused") {
  const auto stage = Stage::make();
  if (!stage) return;
  {
    Process process(activated(*stage, "foreign", "-", {"--listen", stage->address() + ":0"}));
    REQUIRE(process.wait_for("listening on "));
    CHECK_THAT(process.out(),
               !Contains("listening on " + stage->address() + ":" + port_given(process) + "\n"));
  }
  const Finished datagram = run(activated(*stage, "datagram", "-", {}), 20s);
  CHECK_FALSE(datagram.timed_out);
  CHECK(datagram.code != 0);
  CHECK_THAT(datagram.err, Contains("descriptor 3"));
}

TEST_CASE("a socket of systemd's off loopback wants the token and more than that") {
  const auto stage = Stage::make();
  if (!stage) return;
  const auto start = [&](const std::vector<std::string>& flags) {
    Command command = activated(*stage, "stream", "-", flags);
    for (std::string& word : command.argv) {
      if (word == stage->address()) word = "0.0.0.0";
    }
    return run(command, 20s);
  };
  const Finished clear = start({});
  CHECK(clear.code == 1);
  CHECK_THAT(clear.err, Contains("--insecure-listen"));
  const Finished open = start({"--no-auth", "--insecure-listen"});
  CHECK_FALSE(open.timed_out);
  CHECK(open.code == 1);
  CHECK_THAT(open.err, Contains("--no-auth is for loopback only") && Contains("0.0.0.0:"));
}

TEST_CASE("a Unix socket of systemd's is served and its file stays systemd's") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string path = stage->dir() / "given.sock";
  Process process(activated(*stage, "unix", path, {}));
  REQUIRE(process.wait_for("listening on "));
  const Finished answer =
      run({{"/usr/bin/python3", "-c",
            "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
            "s.sendall(b'GET http://example.com/ HTTP/1.1\\r\\nHost: example.com\\r\\n\\r\\n')\n"
            "print(s.recv(100))\n",
            path},
           plain_environment("/"),
           "/",
           {},
           ""},
          20s);
  CHECK_THAT(answer.out, Contains("407"));
  process.signal(SIGTERM);
  CHECK(process.wait(20s).code == 0);
  CHECK(::access(path.c_str(), F_OK) == 0);
}

// Where sd_notify's datagrams go.
class NotifySocket {
 public:
  explicit NotifySocket(std::string path) : path_(std::move(path)) {
    socket_ = UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("cannot bind " + path_);
    }
    const timeval limit{20, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  const std::string& path() const { return path_; }
  std::string next() const {
    char buffer[512];
    const ssize_t got = ::recv(socket_.get(), buffer, sizeof buffer, 0);
    return got < 0 ? "nothing" : std::string(buffer, static_cast<std::size_t>(got));
  }

 private:
  std::string path_;
  UniqueFd socket_;
};

TEST_CASE("systemd is told of being ready, of reloads good and bad, and of the end") {
  const auto stage = Stage::make();
  if (!stage) return;
  const NotifySocket notify(stage->dir() / "notify");
  const std::string config = stage->dir().write("n.yaml",
                                                "network: {allow_domain: [example.com]}\n"
                                                "reload_on_change: false\n");
  Proxy proxy(*stage, {"--config", config}, {{"NOTIFY_SOCKET", notify.path()}});
  CHECK(notify.next() == "READY=1");
  const auto now = [] {
    return std::chrono::duration_cast<std::chrono::microseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  };
  for (const std::string text : {"network: {allow_domain: [plain.test]}\n", "network: [\n"}) {
    stage->dir().write("n.yaml", text);
    const auto before = now();
    proxy.process().signal(SIGHUP);
    const std::string reloading = notify.next();
    const std::string key = "RELOADING=1\nMONOTONIC_USEC=";
    REQUIRE(reloading.starts_with(key));
    const long long at = std::stoll(reloading.substr(key.size()));
    CHECK(at >= before);
    CHECK(at <= now());
    CHECK(notify.next() == "READY=1");
  }
  proxy.process().signal(SIGTERM);
  CHECK(notify.next() == "STOPPING=1");
  CHECK(proxy.process().wait(20s).code == 0);
}

TEST_CASE("SIGTERM leaves tunnels the time to drain, a second one does not") {
  const auto stage = Stage::make();
  if (!stage) return;
  const EchoServer echo(*stage);
  const std::string target = echo.place();
  for (const bool twice : {false, true}) {
    INFO(twice);
    Proxy proxy(*stage, {"--allow-domain", target, "--drain-time", twice ? "60s" : "3s"});
    HeldTunnel tunnel(*stage, proxy.authority(), proxy.token(), target);
    REQUIRE(tunnel.opened());
    CHECK(tunnel.echoes());
    const auto begun = std::chrono::steady_clock::now();
    proxy.process().signal(SIGTERM);
    REQUIRE(proxy.process().wait_for("stopping"));
    CHECK(tunnel.echoes());
    // Nobody new is let in meanwhile.
    CHECK(curl(*stage, proxy.url(), {"-o", "/dev/null", "-w", "%{http_code}", url}).out == "000");
    if (twice) proxy.process().signal(SIGTERM);
    CHECK(tunnel.closed(twice ? 10s : 20s));
    const Finished ended = proxy.process().wait(20s);
    const auto took = std::chrono::steady_clock::now() - begun;
    CHECK(ended.code == 0);
    if (twice) CHECK(took < 30s);
    if (!twice) CHECK(took >= 3s);
  }
}

}  // namespace
}  // namespace nono::testing
