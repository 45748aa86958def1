#pragma once
// A proxy with a configuration file, an admin socket and sessions, and `nono session` against it.

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/clients.hpp"

namespace nono::testing {

// `network:` of an entry that reaches `hosts`, in flow style.
inline std::string network(const Stage& stage, const std::string& hosts) {
  return fmt::format("{{allow_domain: [{}], allow_private: [127.0.0.0/8], upstream_ca: [\"{}\"]}}",
                     hosts, stage.ca_file());
}

class SessionScene {
 public:
  // `more`: what the file says beside the main session, whose one host is example.com.
  SessionScene(const Stage& stage, const std::string& more,
               const std::map<std::string, std::string>& env = {},
               const std::vector<std::string>& flags = {})
      : stage_(stage) {
    write(more);
    std::vector<std::string> all = {"--config", config(), "--admin-socket", admin_socket()};
    all.insert(all.end(), flags.begin(), flags.end());
    proxy_ = std::make_unique<Proxy>(stage, all, env);
  }

  std::string config() const { return stage_.dir() / "nono.yaml"; }
  std::string admin_socket() const { return stage_.dir() / "admin.sock"; }
  void write(const std::string& more, const std::string& main = "example.com") const {
    stage_.dir().write("nono.yaml",
                       "network: {allow_domain: [" + main + "]}\nreload_on_change: false\n" + more);
  }

  // `nono session ACTION ...` as the creator, who has nothing but `env` beside a plain environment.
  Finished session(std::vector<std::string> arguments,
                   const std::map<std::string, std::string>& env = {}) const {
    arguments.insert(arguments.begin(), "session");
    arguments.insert(arguments.end(), {"--admin-socket", admin_socket()});
    Command command = stage_.nono(arguments);
    for (const auto& [name, value] : env) command.env[name] = value;
    return run(command, 30s);
  }
  // `nono session create --name NAME --json --print-token ...`, parsed.
  nlohmann::json create(const std::string& name, std::vector<std::string> arguments,
                        const std::map<std::string, std::string>& env = {}) const {
    arguments.insert(arguments.begin(),
                     {"create", "--name", name, "--json", "--print-token", "--allow-private",
                      "127.0.0.0/8", "--upstream-ca", stage_.ca_file()});
    const Finished made = session(arguments, env);
    INFO(made.err);
    REQUIRE(made.code == 0);
    return nlohmann::json::parse(made.out);
  }

  std::string url(const std::string& token) const {
    return fmt::format("http://nono:{}@{}", token, proxy_->authority());
  }
  std::string status(const std::string& proxy_url, const std::string& url,
                     std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"-o", "/dev/null", "-w", "%{http_code}", url});
    return curl(stage_, proxy_url, more).out;
  }
  // Where a session of the file listens by itself.
  std::string own_place(const std::string& name) const {
    const std::string before = "session " + name + " listening on ";
    if (!proxy_->process().wait_for(before)) return "nowhere";
    const std::string said = proxy_->process().out();
    const std::size_t at = said.find(before) + before.size();
    return said.substr(at, said.find('\n', at) - at);
  }
  // Sends SIGHUP and waits until the proxy has said what came of it: true, in force.
  bool reload() {
    ++reloads_;
    proxy_->process().signal(SIGHUP);
    const auto said = [&](std::string_view text) {
      const std::string err = proxy_->process().err();
      std::size_t count = 0;
      for (std::size_t at = 0; (at = err.find(text, at)) != err.npos; ++at) ++count;
      return count;
    };
    eventually([&] { return said("is in force") + said("nothing was changed") >= reloads_; });
    const bool in_force = said("is in force") > in_force_;
    in_force_ = said("is in force");
    return in_force;
  }

  Proxy& proxy() { return *proxy_; }

 private:
  const Stage& stage_;
  std::unique_ptr<Proxy> proxy_;
  std::size_t reloads_ = 0, in_force_ = 0;
};

// A client of its own process that holds one tunnel to `target` open and sends a byte whenever
// told to. What it says: "open", then "echo" per byte that came back, "closed" at the end.
inline const char* tunnel_script = R"(
import socket, sys, time
proxy, token, target, flag = sys.argv[1:5]
host, port = proxy.rsplit(":", 1)
s = socket.create_connection((host, int(port)), 20)
import base64
auth = base64.b64encode(("nono:" + token).encode()).decode()
s.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {auth}\r\n\r\n".encode())
head = b""
while not head.endswith(b"\r\n\r\n"):
    got = s.recv(1)
    if not got: break
    head += got
print("open" if b" 200 " in head else "refused " + head.decode("latin1").split("\r\n")[0], flush=True)
s.settimeout(0.05)
sent = 0
import os
end = time.time() + 60
while time.time() < end:
    want = os.path.getsize(flag) if os.path.exists(flag) else 0
    try:
        if want > sent:
            s.sendall(b"\x01"); sent += 1
        got = s.recv(1)
        if not got: break
        print("echo %d" % sent, flush=True)
    except TimeoutError:
        pass
    except OSError:
        break
print("closed", flush=True)
)";

// A tunnel held by another process, through `authority` with `token`, to an echo server.
class HeldTunnel {
 public:
  HeldTunnel(const Stage& stage, const std::string& authority, const std::string& token,
             const std::string& target)
      : flag_(stage.dir() / ("flag" + random_hex())),
        process_({{"/usr/bin/python3", "-c", tunnel_script, authority, token, target, flag_},
                  plain_environment(stage.home()),
                  stage.project(),
                  {},
                  ""}) {}
  bool opened() const { return process_.wait_for("open\n"); }
  bool echoes() {
    ++sent_;
    std::FILE* file = std::fopen(flag_.c_str(), "a");
    std::fputc('x', file);
    std::fclose(file);
    return process_.wait_for(fmt::format("echo {}\n", sent_), 10s);
  }
  bool closed(std::chrono::milliseconds at_most = 5s) const {
    return process_.wait_for("closed\n", at_most);
  }
  std::string said() const { return process_.out() + process_.err(); }

 private:
  std::string flag_;
  int sent_ = 0;
  Process process_;
};

// Echoes bytes, on a port of the stage's address.
class EchoServer {
 public:
  explicit EchoServer(const Stage& stage)
      : process_({{"/usr/bin/python3", "-c",
                   "import socketserver,sys\n"
                   "class H(socketserver.BaseRequestHandler):\n"
                   "  def handle(self):\n"
                   "    while True:\n"
                   "      d=self.request.recv(65536)\n"
                   "      if not d: return\n"
                   "      self.request.sendall(d)\n"
                   "class S(socketserver.ThreadingTCPServer):\n"
                   "  daemon_threads=True\n"
                   "s=S((sys.argv[1],0),H)\n"
                   "print('port',s.server_address[1],'.',flush=True)\n"
                   "s.serve_forever()\n",
                   stage.address()},
                  plain_environment(stage.home()),
                  stage.project(),
                  {},
                  ""}),
        address_(stage.address()) {}
  std::string place() const {
    REQUIRE(process_.wait_for(" ."));
    return fmt::format("{}:{}", address_, std::stoi(process_.out().substr(5)));
  }

 private:
  Process process_;
  std::string address_;
};

}  // namespace nono::testing
