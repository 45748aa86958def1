// Without namespaces the command shares the user's terminal, and stays in the job that the shell
// made.

#include <fstream>

#include "tests/e2e/screen.hpp"

namespace nono::testing {
namespace {

std::string typed(const std::string& script) {
  return "$NONO run --allow-cwd --silent --backend notify -- sh -c '" + script + "'\n";
}

TEST_CASE("without namespaces Ctrl-Z, fg, Ctrl-C and a terminal that goes away do what they do") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string mark = stage->project() + "/ended";
  Screen screen(outer_shell(*stage));
  REQUIRE(screen.shows("ready> "));
  const auto start = [&](const std::string& script) {
    screen.type(typed(script));
    REQUIRE(screen.shows("up\r\n"));
  };
  start("echo u\"\"p; read x; echo got:$x; exit 6");
  for (int round = 0; round < 3; ++round) {
    INFO(round << screen.shown());
    screen.type("\x1a");
    CHECK(screen.shows("Stopped"));
    REQUIRE(screen.shows("ready> "));
    screen.type("fg\n");
    REQUIRE(screen.shows("$NONO run"));  // as the shell says what it continues
    REQUIRE(eventually([&] { return screen.runs_a_job(); }));
  }
  screen.type("hello\n");
  CHECK(screen.shows("got:hello"));
  REQUIRE(screen.shows("ready> "));
  screen.type("echo code-$?\n");
  CHECK(screen.shows("code-6"));
  REQUIRE(screen.shows("ready> "));

  start("trap \"echo caught; exit 9\" INT; echo u\"\"p; while :; do read x; done");
  screen.type("\x03");
  CHECK(screen.shows("caught"));
  REQUIRE(screen.shows("ready> "));
  start("trap \"echo hup > ended; exit\" HUP; echo u\"\"p; while :; do sleep 0.05; done");
  screen.hang_up();
  CHECK(eventually([&] { return read_file(mark) == "hup\n"; }));
}

// As `kill -CONT PID` does; a shell's fg continues the whole job.
TEST_CASE("without namespaces a parent that is continued continues the command") {
  const auto stage = Stage::make();
  if (!stage) return;
  Screen screen(outer_shell(*stage));
  REQUIRE(screen.shows("ready> "));
  screen.type(typed("echo u\"\"p; until test -e go; do :; done; echo we\"\"nt; sleep 100"));
  REQUIRE(screen.shows("up\r\n"));
  screen.type("\x1a");
  REQUIRE(screen.shows("Stopped"));
  std::ofstream(stage->project() + "/go");
  CHECK_FALSE(screen.shows("went", 500ms));
  screen.type("kill -CONT $(jobs -p)\n");
  CHECK(screen.shows("went\r\n"));
}

// Nobody could continue it: nono leads the session itself, as in a container.
TEST_CASE("without namespaces Ctrl-Z does nothing where no shell would notice") {
  const auto stage = Stage::make();
  if (!stage) return;
  Command command = stage->nono({"run", "--allow-cwd", "--silent", "--backend", "notify", "--",
                                 "sh", "-c", "echo up; read x; echo got:$x; exit 6"});
  Screen screen(command);
  REQUIRE(screen.shows("up\r\n"));
  screen.type("\x1a");
  screen.type("hello\n");
  CHECK(screen.shows("got:hello"));
  CHECK(screen.end() == 6);
}

}  // namespace
}  // namespace nono::testing
