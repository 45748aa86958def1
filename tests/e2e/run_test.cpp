// `nono run`: the command's own life passes through as if nono were not there.

#include <signal.h>

#include <catch2/catch.hpp>

#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("the version is answered") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished answer = run(stage->nono({"--version"}));
  CHECK(answer.code == 0);
  CHECK_THAT(answer.out, Contains("0."));
}

TEST_CASE("help names the commands and shows an example") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished whole = run(stage->nono({"--help"}));
  CHECK(whole.code == 0);
  CHECK_THAT(whole.out, Contains("run") && Contains("proxy") && Contains("setup"));
  const Finished of_run = run(stage->nono({"run", "--help"}));
  CHECK(of_run.code == 0);
  CHECK_THAT(of_run.out, Contains("--allow-cwd") && Contains("--network-profile") &&
                             Contains("--credential") && Contains("nono run"));
}

TEST_CASE("the command's exit code is nono's") {
  const auto stage = Stage::make();
  if (!stage) return;
  for (const int code : {0, 1, 42, 255}) {
    const Finished ended =
        run(stage->nono({"run", "--allow-cwd", "--", "sh", "-c", "exit " + std::to_string(code)}));
    INFO(ended.err);
    CHECK(ended.code == code);
  }
}

TEST_CASE("the command is scheduled as its caller was") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string ask =
      "import os; print(os.sched_getscheduler(0), len(os.sched_getaffinity(0)), os.nice(0))";
  const Finished bare = run({{"/usr/bin/python3", "-c", ask}, plain_environment("/"), "/", {}, ""});
  for (const std::vector<std::string>& network :
       {std::vector<std::string>{}, {"--allow-domain", "example.com"}}) {
    std::vector<std::string> arguments = {"run", "--allow-cwd"};
    arguments.insert(arguments.end(), network.begin(), network.end());
    arguments.insert(arguments.end(), {"--", "/usr/bin/python3", "-c", ask});
    const Finished inside = run(stage->nono(arguments));
    INFO(inside.err);
    CHECK(inside.out == bare.out);
  }
}

TEST_CASE("a command that a signal ends gives 128 and the signal") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended =
      run(stage->nono({"run", "--allow-cwd", "--", "sh", "-c", "kill -TERM $$"}));
  INFO(ended.err);
  CHECK(ended.code == 143);
}

TEST_CASE("SIGTERM to nono reaches the command") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_file("wait.py",
                      "import signal, sys\n"
                      "signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))\n"
                      "print('waiting', flush=True)\n"
                      "signal.pause()\n");
  Process process(stage->nono({"run", "--allow-cwd", "--", "python3", "wait.py"}));
  REQUIRE(process.wait_for("waiting"));
  process.signal(SIGTERM);
  const Finished ended = process.wait(20s);
  INFO(ended.err);
  CHECK_FALSE(ended.timed_out);
  CHECK(ended.code == 42);
}

TEST_CASE("SIGTERM ends a command that does not handle it with 143") {
  const auto stage = Stage::make();
  if (!stage) return;
  Process process(
      stage->nono({"run", "--allow-cwd", "--", "sh", "-c", "echo waiting; exec sleep 60"}));
  REQUIRE(process.wait_for("waiting"));
  process.signal(SIGTERM);
  const Finished ended = process.wait(20s);
  CHECK_FALSE(ended.timed_out);
  CHECK(ended.code == 143);
}

TEST_CASE("a command that does not exist gives 127 and says so") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(stage->nono({"run", "--allow-cwd", "--", "no-such-command"}));
  CHECK(ended.code == 127);
  CHECK_THAT(ended.err, Contains("no-such-command"));
}

TEST_CASE("where there is only python3 a missing python is answered with it") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string bin = stage->dir().make_folder("onlybin");
  REQUIRE(
      run({{"ln", "-s", "/usr/bin/python3", bin + "/python3"}, plain_environment("/"), "", {}, ""})
          .code == 0);
  Command command = stage->nono({"run", "--allow-cwd", "--", "python", "x.py"});
  command.env["PATH"] = bin;
  const Finished ended = run(command);
  CHECK(ended.code == 127);
  CHECK_THAT(ended.err, Contains("python3"));
}

TEST_CASE("a file that may not be executed gives 126") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_file("not-executable", "#!/bin/sh\n");
  const Finished ended = run(stage->nono({"run", "--allow-cwd", "--", "./not-executable"}));
  CHECK(ended.code == 126);
}

TEST_CASE("stdin, stdout, stderr, arguments and the folder pass through") {
  const auto stage = Stage::make();
  if (!stage) return;
  Command command = stage->nono({"run", "--allow-cwd", "-s", "--", "sh", "-c",
                                 "cat; pwd; echo \"[$1]\" >&2", "sh", "two words"});
  command.input = "from stdin\n";
  const Finished ended = run(command);
  CHECK(ended.code == 0);
  CHECK(ended.out == "from stdin\n" + stage->project() + "\n");
  CHECK(ended.err == "[two words]\n");
}

TEST_CASE("a command without two dashes works when its first word is no flag") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(stage->nono({"run", "--allow-cwd", "sh", "-c", "exit 42"}));
  CHECK(ended.code == 42);
}

TEST_CASE("a dry run shows the plan and starts nothing") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended =
      run(stage->nono({"run", "--allow-cwd", "--dry-run", "--", "touch", "made"}));
  INFO(ended.err);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out + ended.err, Contains(stage->project()));
  CHECK(
      run({{"test", "-e", stage->project() + "/made"}, plain_environment("/"), "", {}, ""}).code ==
      1);
}

TEST_CASE("a mistyped flag exits 2 and suggests the right one") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(stage->nono({"run", "--alow-cwd", "--", "true"}));
  CHECK(ended.code == 2);
  CHECK_THAT(ended.err, Contains("--allow-cwd"));
}

TEST_CASE("an unknown command exits 2 and suggests the right one") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(stage->nono({"runn", "--", "true"}));
  CHECK(ended.code == 2);
  CHECK_THAT(ended.err, Contains("run"));
}

TEST_CASE("the self-check does the real thing and says what holds") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(stage->nono({"setup", "--check-only"}));
  INFO(ended.out << ended.err);
  CHECK(ended.code == 0);
  const Finished as_json = run(stage->nono({"setup", "--check-only", "--json"}));
  CHECK(as_json.code == 0);
  CHECK(nlohmann::json::parse(as_json.out, nullptr, false).is_object());
}

TEST_CASE("a run leaves no process behind") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_file("left.sh", "setsid sh -c 'echo left; exec sleep 300' &\nexit 0\n");
  const Finished ended =
      run(stage->nono_run({"--allow-domain", "example.com", "--", "sh", "left.sh"}), 30s);
  CHECK_FALSE(ended.timed_out);
  CHECK(ended.code == 0);
  // The background process held the project as its folder; nothing does any more.
  const std::string script =
      "for p in /proc/[0-9]*/cwd; do [ \"$(readlink $p)\" = " + stage->project() +
      " ] && exit 1; done; exit 0";
  CHECK(eventually([&] {
    return run({{"sh", "-c", script}, plain_environment("/"), "/", {}, ""}).code == 0;
  }));
}

// `command` begun by a shell, with this redirection.
Command redirected(Command command, const std::string& redirection) {
  command.argv.insert(command.argv.begin(), {"sh", "-c", "exec \"$@\" " + redirection, "sh"});
  return command;
}

TEST_CASE("where standard input, output or error is closed the others are what they were") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::vector<std::string> network[] = {{}, {"--allow-domain", "example.com"}};
  for (const std::vector<std::string>& flags : network) {
    std::vector<std::string> arguments = {"run", "--silent", "--allow-cwd"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const std::string script = "read line; echo out; echo err >&2; exit 7";
    arguments.insert(arguments.end(), {"--", "sh", "-c", script});
    const Command command = stage->nono(arguments);
    const Finished no_input = run(redirected(command, "<&-"), 30s);
    INFO(no_input.err);
    CHECK(no_input.code == 7);
    CHECK(no_input.out == "out\n");
    CHECK(no_input.err == "err\n");
    const Finished no_output = run(redirected(command, ">&-"), 30s);
    INFO(no_output.err);
    CHECK(no_output.code == 7);
    CHECK(no_output.err == "err\n");
    const Finished no_error = run(redirected(command, "2>&-"), 30s);
    CHECK(no_error.code == 7);
    CHECK(no_error.out == "out\n");
    const Finished nothing = run(redirected(command, "<&- >&- 2>&-"), 30s);
    CHECK_FALSE(nothing.timed_out);
    CHECK(nothing.code == 7);
  }
}

TEST_CASE("the time that the command took is nono's, for whoever waits for it") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_file("times.py",
                      "import resource, subprocess, sys\n"
                      "subprocess.run(sys.argv[1:], check=True)\n"
                      "spent = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
                      "print(spent.ru_utime + spent.ru_stime)\n");
  Command command =
      stage->nono({"run", "--silent", "--allow-cwd", "--allow-domain", "example.com", "--",
                   "python3", "-c", "import time\nwhile time.process_time() < 1: pass"});
  command.argv.insert(command.argv.begin(), {"python3", "times.py"});
  const Finished ended = run(command, 60s);
  INFO(ended.out << ended.err);
  REQUIRE(ended.code == 0);
  CHECK(std::stod(ended.out) >= 1);
}

}  // namespace
}  // namespace nono::testing
