// Unix sockets: refused as a rule; inside for programs that talk among themselves; single ones of
// the host's by name.

#include <sys/socket.h>
#include <sys/un.h>

#include <catch2/catch.hpp>

#include "config/base/fd.hpp"
#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

Finished inside(const Stage& stage, const std::string& script,
                std::vector<std::string> flags = {}) {
  std::vector<std::string> arguments = {"run", "--allow-cwd", "--unix-sockets", "inside"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  arguments.insert(arguments.end(), {"--", "sh", "-c", script});
  return run(stage.nono(arguments));
}

// A server of the host's: whoever connects gets a line.
class Greeter {
 public:
  explicit Greeter(std::string path) : path_(std::move(path)) {
    process_ = std::make_unique<Process>(
        Command{{"python3", "-c",
                 "import os, socket, sys\n"
                 "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(8)\n"
                 "os.chmod(sys.argv[1], 0o777); print('up', flush=True)\n"
                 "while True:\n"
                 "    c, _ = s.accept(); c.sendall(b'HOST SAYS HELLO'); c.close()\n",
                 path_},
                plain_environment("/"),
                "",
                {},
                ""});
    REQUIRE(process_->wait_for("up"));
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::unique_ptr<Process> process_;
};

constexpr const char* connect_script =
    "python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
    "print(s.recv(99).decode())' ";

const std::vector<std::optional<uid_t>> users = {std::nullopt, ordinary_user};

TEST_CASE("tmux, multiprocessing and node talk over Unix sockets of their own") {
  for (const std::optional<uid_t>& user : users) {
    const auto stage = Stage::make(user);
    if (!stage) return;
    const std::string managers =
        "import multiprocessing.managers as m, multiprocessing.connection as c, threading\n"
        "def main():\n"
        "    l = c.Listener(family='AF_UNIX')\n"
        "    threading.Thread(target=lambda: l.accept().send('listened'), daemon=True).start()\n"
        "    print(c.Client(l.address).recv())\n"
        "    with m.SyncManager() as manager:\n"
        "        d = manager.dict(); d['a'] = 'managed'; print(d['a'])\n"
        "if __name__ == '__main__': main()\n";
    stage->project_file("mp.py", managers);
    const Finished python = inside(*stage, "python3 mp.py");
    INFO(python.err);
    CHECK(python.out == "listened\nmanaged\n");

    stage->project_file("ipc.js",
                        "const net = require('net');\n"
                        "const s = net.createServer(c => { c.end('answered'); });\n"
                        "s.listen('./ipc.sock', () => net.connect('./ipc.sock')\n"
                        "  .on('data', d => { console.log(String(d)); s.close(); }));\n");
    const Finished node = inside(*stage, "node ipc.js");
    INFO(node.err);
    CHECK(node.out == "answered\n");

    if (run({{"tmux", "-V"}, plain_environment("/"), "", {}, ""}).code != 0) {
      std::puts("skipped by name: tmux");
      continue;
    }
    const Finished tmux = inside(
        *stage,
        // Its server ends with its last session: not before it was asked.
        "export TERM=xterm; tmux -f /dev/null new-session -d 'echo in tmux > seen; "
        "tmux wait-for -S written; tmux wait-for the-end' && tmux wait-for written; cat seen; "
        "tmux kill-server");
    INFO(tmux.err);
    CHECK(tmux.out == "in tmux\n");
  }
}

TEST_CASE("without a flag no Unix socket can be made") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Greeter greeter(stage->project() + "/host.sock");
  const Finished ended = run(stage->nono(
      {"run", "--allow-cwd", "--", "sh", "-c", std::string(connect_script) + "host.sock"}));
  CHECK(ended.code != 0);
  CHECK_THAT(ended.err, Contains("PermissionError"));
}

TEST_CASE("a host's socket in the project is out of reach, and a granted one within it") {
  for (const std::optional<uid_t>& user : users) {
    const auto stage = Stage::make(user);
    if (!stage) return;
    const Greeter wanted(stage->project() + "/wanted.sock");
    const Greeter other(stage->project() + "/other.sock");
    const std::string script =
        std::string(connect_script) + "wanted.sock; " + connect_script + "other.sock; echo done";
    const Finished none = inside(*stage, script);
    CHECK(none.out == "done\n");
    const Finished one = run(stage->nono(
        {"run", "--allow-cwd", "--allow-unix-socket", "wanted.sock", "--", "sh", "-c", script}));
    INFO(one.err);
    CHECK(one.out == "HOST SAYS HELLO\ndone\n");
    stage->project_file(
        "socket.json",
        R"({"meta": {"name": "s"}, "filesystem": {"unix_socket": ["wanted.sock"]}})");
    const Finished profile = run(
        stage->nono({"run", "--allow-cwd", "--profile", "socket.json", "--", "sh", "-c", script}));
    CHECK(profile.out == "HOST SAYS HELLO\ndone\n");
  }
}

TEST_CASE("an agent's variable passes with its socket and not without") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Greeter agent(stage->home() + "/agent.sock");
  for (const bool granted : {false, true}) {
    std::vector<std::string> arguments = {"run", "--allow-cwd", "--unix-sockets", "inside"};
    if (granted) arguments.insert(arguments.end(), {"--allow-unix-socket", agent.path()});
    arguments.insert(arguments.end(),
                     {"--", "sh", "-c",
                      "echo ${SSH_AUTH_SOCK-none} ${DBUS_SESSION_BUS_ADDRESS-none};" +
                          std::string(connect_script) + agent.path()});
    Command command = stage->nono(arguments);
    command.env["SSH_AUTH_SOCK"] = agent.path();
    command.env["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=/run/user/0/bus";
    const Finished ended = run(command);
    INFO(ended.err);
    CHECK(ended.out == (granted ? agent.path() + " none\nHOST SAYS HELLO\n" : "none none\n"));
  }
}

TEST_CASE("a whole home and Unix sockets do not go together before the kernel tells them apart") {
  const auto stage = Stage::make();
  if (!stage) return;
  for (const std::string& place : {stage->home(), std::string("/"), std::string("/run")}) {
    const Finished ended = inside(*stage, "echo ran", {"--read", place});
    if (ended.code == 0) {
      std::puts("skipped by name: a kernel before Landlock ABI 9");
      return;
    }
    CHECK(ended.code == 125);
    CHECK_THAT(ended.err, Contains("'" + place + "'") && Contains("--allow-unix-socket"));
    CHECK(ended.out.empty());
  }
}

}  // namespace
}  // namespace nono::testing
