// --memory and --pids: what the command takes too much of hits the command alone.

#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

const std::vector<std::optional<uid_t>> users = {std::nullopt, ordinary_user};

// A run with limits, which may go on to use the proxy when it has hit them.
Finished limited(const Stage& stage, std::vector<std::string> flags, const std::string& script) {
  stage.project_data("fetch.py");
  flags.insert(flags.end(), {"--allow-domain", "example.com", "--", "sh", "-c",
                             script + "; python3 fetch.py http://example.com/hello"});
  return run(stage.nono_run(flags));
}

TEST_CASE("a memory hog is killed, and the proxy goes on serving what is left of the command") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended =
      limited(*stage, {"--memory", "96M"}, "python3 -c 'x = b\"x\" * 500000000'; echo hog $?");
  INFO(ended.out << ended.err);
  if (ended.code == 125) {
    CHECK_THAT(ended.err, Contains("systemd-run"));
    std::puts("skipped by name: a memory limit");
    return;
  }
  CHECK_THAT(ended.err, Contains("the limit of --memory was reached"));
  // A group that is killed as a whole (version 2) leaves nobody to fetch.
  if (ended.code == 137) return;
  CHECK_THAT(ended.out, Contains("hog 137") && Contains("/hello 200 hello"));
}

TEST_CASE("a fork bomb stays within --pids, and the proxy goes on serving") {
  for (const std::optional<uid_t>& user : users) {
    const auto stage = Stage::make(user);
    if (!stage) return;
    stage->project_file("bomb.py",
                        "import os, signal, time\n"
                        "made = []\n"
                        "for _ in range(200):\n"
                        "    try:\n"
                        "        pid = os.fork()\n"
                        "    except BlockingIOError:\n"
                        "        break\n"
                        "    if pid == 0:\n"
                        "        time.sleep(1000)\n"
                        "    made.append(pid)\n"
                        "print('made', len(made) < 40, len(made) > 10, flush=True)\n"
                        "for pid in made:\n"
                        "    os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0)\n");
    const Finished ended = limited(*stage, {"--pids", "40"}, "python3 bomb.py");
    INFO(ended.out << ended.err);
    if (ended.code == 125) {
      std::puts("skipped by name: a limit on processes");
      continue;
    }
    CHECK(ended.code == 0);
    CHECK_THAT(ended.out, Contains("made True True") && Contains("/hello 200 hello"));
  }
}

// Under a limit on the size of files that lets nobody write a byte. What is said goes through a
// pipe, and the exit code behind it.
std::string without_room(Command command) {
  const std::vector<std::string> limit = {
      "sh", "-c", "(ulimit -f 0; \"$@\" 2>&1; echo \"code $?\") | cat", "sh"};
  command.argv.insert(command.argv.begin(), limit.begin(), limit.end());
  return run(command).out;
}

TEST_CASE("a limit on the size of files ends neither nono nor what it protects without a word") {
  for (const std::optional<uid_t>& user : users) {
    const auto stage = Stage::make(user);
    if (!stage) return;
    const std::vector<std::string> signals = {"--", "sh", "-c",
                                              "grep SigIgn /proc/self/status; exit 7"};
    std::vector<std::string> words = {"--allow-domain", "example.com"};
    words.insert(words.end(), signals.begin(), signals.end());
    // Nothing of this machine is remembered yet, so that is to be written, too.
    CHECK_THAT(without_room(stage->nono_run(words)),
               Contains("SigIgn:\t0000000000000000") && Contains("code 7"));
    words.insert(words.begin(), {"--credential", "openai=env://OPENAI_KEY"});
    Command keyed = stage->nono_run(words);
    keyed.env["OPENAI_KEY"] = "sk-of-nobody";
    CHECK_THAT(without_room(keyed), Contains("cannot write the CA bundle: File too large") &&
                                        Contains("code 1") && !Contains("SigIgn"));
  }
}

TEST_CASE("a memory limit that cannot be had is refused, and nothing runs without it") {
  const auto stage = Stage::make(ordinary_user);
  if (!stage) return;
  const Finished ended =
      run(stage->nono({"run", "--allow-cwd", "--memory", "64M", "--", "touch", "ran"}));
  if (ended.code == 0) {
    std::puts("skipped by name: a user without a control group");
    return;
  }
  CHECK(ended.code == 125);
  CHECK_THAT(ended.err, Contains("memory controller") && Contains("systemd-run --user --scope"));
  CHECK_FALSE(std::filesystem::exists(stage->project() + "/ran"));
}

}  // namespace
}  // namespace nono::testing
