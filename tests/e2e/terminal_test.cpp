// On a terminal: the command has one of its own, which behaves like the user's, and the user's is
// as before when the command has stopped or ended.

#include <poll.h>

#include "tests/e2e/screen.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

const std::vector<std::optional<uid_t>> users = {std::nullopt, ordinary_user};

Command on_terminal(const Stage& stage, const std::vector<std::string>& command) {
  std::vector<std::string> arguments = {"run", "--allow-cwd", "--silent", "--"};
  arguments.insert(arguments.end(), command.begin(), command.end());
  Command run = stage.nono(arguments);
  run.env["TERM"] = "xterm";
  return run;
}

Command shell(const Stage& stage, const std::string& script) {
  return on_terminal(stage, {"sh", "-c", script});
}

std::string typed(const std::string& script, const std::string& around = "") {
  return "$NONO run --allow-cwd --silent -- sh -c '" + script + "'" + around + "\n";
}

TEST_CASE("the command is on a terminal that has a name, and its size follows the user's") {
  for (const std::optional<uid_t>& user : users) {
    const auto stage = Stage::make(user);
    if (!stage) return;
    Screen screen(shell(*stage,
                        "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all; "
                        "trap 'stty size; exit 7' WINCH; echo up; while :; do sleep 0.02; done"));
    CHECK(screen.shows("/dev/pts/"));
    CHECK(screen.shows("24 80"));
    CHECK(screen.shows("all"));
    REQUIRE(screen.shows("up"));
    screen.resize(40, 132);
    CHECK(screen.shows("40 132"));
    CHECK(screen.end() == 7);
    CHECK(screen.is_as_before());
  }
}

TEST_CASE("the terminal inside leads nowhere but to the user's screen") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_file("look.py",
                      "import fcntl, os, termios\n"
                      "tty = os.open('/dev/tty', os.O_RDWR)\n"
                      "print('session', os.getsid(0), os.ttyname(0) == '/dev/pts/0')\n"
                      "print('same', os.fstat(0).st_rdev == os.fstat(1).st_rdev)\n"
                      "for fd in (0, tty):\n"
                      "    try:\n"
                      "        fcntl.ioctl(fd, termios.TIOCSTI, b'x')\n"
                      "        print('TYPED')\n"
                      "    except PermissionError:\n"
                      "        print('refused')\n"
                      "os.write(tty, b'through tty\\n')\n"
                      "print(sorted(os.listdir('/dev/pts')))\n");
  Screen screen(on_terminal(*stage, {"python3", "look.py"}));
  CHECK(screen.end() == 0);
  INFO(screen.shown());
  // Pid 1 of the sandbox leads the session: one of the host's would be 0 here.
  CHECK_THAT(screen.shown(), Contains("session 1 True") && Contains("same True") &&
                                 Contains("through tty") && Contains("['0', 'ptmx']"));
  CHECK_THAT(screen.shown(), !Contains("TYPED"));
}

TEST_CASE("Ctrl-C and Ctrl-\\ reach the command, whose exit code is nono's") {
  for (const std::optional<uid_t>& user : users) {
    const auto stage = Stage::make(user);
    if (!stage) return;
    Screen handled(
        shell(*stage, "trap 'echo caught; exit 9' INT; echo up; while :; do read x; done"));
    REQUIRE(handled.shows("up"));
    handled.type("\x03");
    CHECK(handled.shows("caught"));
    CHECK(handled.end() == 9);
    for (const auto& [key, code] : {std::pair{"\x03", 128 + SIGINT}, {"\x1c", 128 + SIGQUIT}}) {
      Screen screen(shell(*stage, "echo up; exec sleep 100"));
      REQUIRE(screen.shows("up"));
      screen.type(key);
      CHECK(screen.end() == code);
      CHECK(screen.is_as_before());
    }
  }
}

TEST_CASE(
    "the terminal is raw while the command has it and as before afterwards, however it ends") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::vector<std::pair<std::string, int>> endings = {
      {"exit 3", 3}, {"kill -KILL $$", 137}, {"exec /nonexistent", 127}};
  for (const auto& [ending, code] : endings) {
    INFO(ending);
    Screen screen(shell(*stage, "stty -echo -icanon; echo up; read x; " + ending));
    REQUIRE(screen.shows("up"));
    CHECK(eventually([&] { return screen.is_raw(); }));
    screen.type("\n");
    CHECK(screen.end() == code);
    CHECK(screen.is_as_before());
  }
  for (int number : {SIGTERM, SIGHUP, SIGQUIT}) {
    INFO(number);
    Screen screen(shell(*stage, "echo up; exec sleep 100"));
    REQUIRE(screen.shows("up"));
    REQUIRE(eventually([&] { return screen.is_raw(); }));
    ::kill(screen.leader(), number);
    CHECK(screen.end() == 128 + number);
    CHECK(screen.is_as_before());
  }
}

TEST_CASE("the terminal is given back when the launcher is killed") {
  const auto stage = Stage::make();
  if (!stage) return;
  Screen screen(shell(*stage, "echo up; exec sleep 100"));
  REQUIRE(screen.shows("up"));
  REQUIRE(eventually([&] { return screen.is_raw(); }));
  const std::string name = std::to_string(screen.leader());
  const std::string children = read_file("/proc/" + name + "/task/" + name + "/children");
  REQUIRE_FALSE(children.empty());
  ::kill(std::stoi(children), SIGKILL);
  CHECK(screen.end() == 125);
  CHECK(screen.is_as_before());
}

TEST_CASE("programs that read single keys work: an editor, and a script that sets raw mode") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_file("keys.py",
                      "import os, sys, termios, tty\n"
                      "old = termios.tcgetattr(0)\n"
                      "tty.setraw(0)\n"
                      "os.write(1, b'press')\n"
                      "keys = b''\n"
                      "while not keys.endswith(b'q'): keys += os.read(0, 1)\n"
                      "termios.tcsetattr(0, termios.TCSADRAIN, old)\n"
                      "print(repr(keys))\n");
  Screen script(on_terminal(*stage, {"python3", "keys.py"}));
  REQUIRE(script.shows("press"));
  script.type("a\x03\x1a\x1b[Aq");
  CHECK(script.shows("b'a\\x03\\x1a\\x1b[Aq'"));
  CHECK(script.end() == 0);

  if (run({{"vim", "--version"}, plain_environment("/"), "", {}, ""}).code != 0) {
    std::puts("skipped by name: vim");
    return;
  }
  Screen vim(on_terminal(*stage, {"vim", "-u", "NONE", "-N", "-i", "NONE", "file"}));
  REQUIRE(vim.shows("file"));
  vim.type("ihello from vim\x1b:wq\r");
  CHECK(vim.end() == 0);
  CHECK(read_file(stage->project() + "/file") == "hello from vim\n");
  CHECK(vim.is_as_before());
}

TEST_CASE("a large paste and a large output lose nothing") {
  const auto stage = Stage::make();
  if (!stage) return;
  std::string text;
  for (int i = 0; text.size() < 3'000'000; ++i) text += std::to_string(i) + ";";
  stage->project_file("paste.py",
                      "import hashlib, os, sys, tty\n"
                      "tty.setraw(0); os.write(1, b'go'); n = int(sys.argv[1]); data = b''\n"
                      "while len(data) < n: data += os.read(0, 65536)\n"
                      "os.write(1, b'BEGIN'); os.write(1, b'') ; i = 0\n"
                      "while i < n: i += os.write(1, data[i:i + 100000])\n"
                      "os.write(1, b'END')\n");
  Screen screen(on_terminal(*stage, {"python3", "paste.py", std::to_string(text.size())}));
  REQUIRE(screen.shows("go"));
  screen.type(text);
  CHECK(screen.shows("END", 60s));
  const std::size_t begin = screen.shown().find("BEGIN");
  REQUIRE(begin != std::string::npos);
  CHECK((screen.shown().substr(begin + 5, text.size()) == text));
  CHECK(screen.end() == 0);
}

TEST_CASE("what the command wrote last is shown, also when it ends at once") {
  const auto stage = Stage::make();
  if (!stage) return;
  for (int round = 0; round < 5; ++round) {
    Screen screen(shell(*stage, "head -c 200000 /dev/zero | tr '\\0' x; echo last"));
    CHECK(screen.end() == 0);
    CHECK(std::count(screen.shown().begin(), screen.shown().end(), 'x') == 200000);
    CHECK_THAT(screen.shown(), Contains("last"));
  }
}

TEST_CASE("Ctrl-Z suspends nono with the command, and fg continues both") {
  for (const std::optional<uid_t>& user : users) {
    const auto stage = Stage::make(user);
    if (!stage) return;
    Screen screen(outer_shell(*stage));
    REQUIRE(screen.shows("ready> "));
    screen.type(typed("echo u\"\"p; read x; echo got:$x; exit 6"));
    REQUIRE(screen.shows("up\r\n"));
    REQUIRE(eventually([&] { return screen.is_raw(); }));
    for (int round = 0; round < 3; ++round) {
      INFO(round << screen.shown());
      screen.type("\x1a");
      CHECK(screen.shows("Stopped"));
      REQUIRE(screen.shows("ready> "));
      CHECK_FALSE(screen.is_raw());
      screen.type("echo in-$((40 + 2))\n");
      CHECK(screen.shows("in-42"));
      REQUIRE(screen.shows("ready> "));
      screen.type("fg\n");
      REQUIRE(eventually([&] { return screen.is_raw(); }));
    }
    screen.type("hello\n");
    CHECK(screen.shows("got:hello"));
    REQUIRE(screen.shows("ready> "));
    screen.type("echo code-$?\n");
    CHECK(screen.shows("code-6"));
  }
}

TEST_CASE("where no shell would continue it, Ctrl-Z does not stop the command for good") {
  const auto stage = Stage::make();
  if (!stage) return;
  Screen screen(shell(*stage, "echo up; read x; echo got:$x"));
  REQUIRE(screen.shows("up"));
  screen.type("\x1a");
  screen.type("hello\n");
  CHECK(screen.shows("got:hello"));
  CHECK(screen.end() == 0);
}

TEST_CASE("in a pipeline the keys stay with the others until the command asks for them") {
  const auto stage = Stage::make();
  if (!stage) return;
  Screen screen(outer_shell(*stage));
  REQUIRE(screen.shows("ready> "));
  screen.type(
      typed("test -t 1 || echo pi\"\"pe >&2; read a; "
            "stty -echo </dev/tty; read b </dev/tty; echo got:$a:$b",
            " < <(echo piped) | cat"));
  REQUIRE(screen.shows("pipe"));
  REQUIRE(eventually([&] { return screen.is_raw(); }));
  screen.type("typed\n");
  CHECK(screen.shows("got:piped:typed"));
  CHECK(screen.shows("ready> "));

  screen.type(typed("echo u\"\"p; exec sleep 100", " | cat"));
  REQUIRE(screen.shows("up"));
  CHECK_FALSE(screen.is_raw());
  screen.type("\x03");
  CHECK(screen.shows("ready> "));
}

TEST_CASE("in the background the command writes, and has the keys only once it is in front") {
  const auto stage = Stage::make();
  if (!stage) return;
  Screen screen(outer_shell(*stage));
  REQUIRE(screen.shows("ready> "));
  screen.type(typed("echo u\"\"p; read x; echo got:$x", " &"));
  REQUIRE(screen.shows("up"));
  CHECK_FALSE(screen.is_raw());
  screen.type("echo in-$((40 + 2))\n");
  CHECK(screen.shows("in-42"));
  screen.type("fg\n");
  REQUIRE(eventually([&] { return screen.is_raw(); }));
  screen.type("hello\n");
  CHECK(screen.shows("got:hello"));
}

TEST_CASE("an interactive shell inside has job control of its own") {
  const auto stage = Stage::make();
  if (!stage) return;
  Command command = on_terminal(*stage, {"bash", "--norc", "--noprofile", "--noediting", "-i"});
  command.env["PS1"] = "ready> ";
  Screen screen(command);
  REQUIRE(screen.shows("ready> "));
  screen.type("sh -c 'echo st\"\"art; exec sleep 100'\n");
  REQUIRE(screen.shows("start"));
  screen.type("\x1a");
  CHECK(screen.shows("Stopped"));
  CHECK(screen.shows("ready> "));
  screen.type("fg\n");
  REQUIRE(screen.shows("sleep 100'\r\n"));
  screen.type("\x03");
  CHECK(screen.shows("ready> "));
  screen.type("exit 4\n");
  CHECK(screen.end() == 4);
}

TEST_CASE("a terminal that goes away ends the command") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string mark = stage->project() + "/ended";
  {
    Screen screen(
        shell(*stage, "trap 'echo hup > ended; exit' HUP; echo up; while :; do sleep 0.05; done"));
    REQUIRE(screen.shows("up"));
    screen.hang_up();
    CHECK(eventually([&] { return read_file(mark) == "hup\n"; }));
  }
}

}  // namespace
}  // namespace nono::testing
