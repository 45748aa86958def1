// Diagnosis: which files were wanted and not granted, without granting anything.

#include "sandbox/linux/observer.hpp"

#include <catch2/catch.hpp>

#include "tests/sandbox/harness.hpp"

namespace nono::sandbox {
namespace {

using namespace nono::sandbox::test;
using Access = DeniedPath::Access;

// Lines "access path|rule" of what was noted, behind the command's own output.
Result<ExitStatus> go_and_tell(SandboxChannel& channel) {
  Result<ExitStatus> status = go_and_wait(channel);
  for (const DeniedPath& denied : channel.denied_paths()) {
    const char* word = denied.access == Access::read    ? "read "
                       : denied.access == Access::write ? "write "
                                                        : "make ";
    write_all(1, "noted " + std::string(word) + denied.path + "|" + denied.denied_by + "\n");
  }
  return status;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++found;
  }
  return found;
}

TEST_CASE("a wish is judged by denies first, then by grants") {
  SandboxPlan plan;
  plan.grants = {{"/home/p", true, true, true}, {"/usr", true, false, true}};
  plan.denies = {{"/home/p/.ssh", "group"}};
  plan.read_only_paths = {"/home/p/nono.yaml"};
  const std::vector<LandlockRule> rules = landlock_rules(plan, {"/tmp"});
  const auto ask = [&](const char* path, Access access) {
    return judge(plan, rules, path, access);
  };
  CHECK(ask("/home/p/a", Access::read) == Verdict::granted);
  CHECK(ask("/home/p/a", Access::write) == Verdict::granted);
  CHECK(ask("/home/p/a", Access::make) == Verdict::granted);
  CHECK(ask("/home/p", Access::make) == Verdict::not_granted);  // its folder is not
  CHECK(ask("/home/pp", Access::read) == Verdict::not_granted);
  CHECK(ask("/usr/bin/x", Access::read) == Verdict::granted);
  CHECK(ask("/usr/bin/x", Access::write) == Verdict::not_granted);
  CHECK(ask("/tmp/x", Access::make) == Verdict::granted);
  CHECK(ask("/home/p/.ssh/id", Access::read) == Verdict::denied);
  CHECK(ask("/home/p/nono.yaml", Access::read) == Verdict::granted);
  CHECK(ask("/home/p/nono.yaml", Access::write) == Verdict::denied);
  CHECK(ask("/home/p/nono.yaml", Access::make) == Verdict::denied);
}

TEST_CASE("each file that was wanted and not granted is noted once, and stays closed") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory outside(user, public_place());
    write_text(outside / "secret", "SECRET", user);
    write_text(outside / "other", "OTHER", user);
    SandboxPlan plan =
        shell("cd " + outside.path() + "; cat secret; cat ./secret; cat " + (outside / "other") +
              "; echo x > other; mkdir new; rm secret; cat missing; cat /etc/hostname > /dev/null; "
              "cat /nowhere/at/all; true");
    plan.diagnose = true;
    const Outcome outcome = run(plan, user, go_and_tell);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
    CHECK(outcome.out.find("SECRET") == std::string::npos);
    CHECK(read_text(outside / "other") == "OTHER");
    CHECK(count(outcome.out, "noted read " + (outside / "secret") + "|\n") == 1);
    CHECK(count(outcome.out, "noted read " + (outside / "other") + "|\n") == 1);
    CHECK(count(outcome.out, "noted write " + (outside / "other") + "|\n") == 1);
    CHECK(count(outcome.out, "noted make " + (outside / "new") + "|\n") == 1);
    CHECK(count(outcome.out, "noted make " + (outside / "secret") + "|\n") == 1);
    CHECK(count(outcome.out, "noted") == 5);
  }
}

TEST_CASE("a denied path is noted with its rule although it is hidden") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory home(user, public_place());
    make_directory(home / "keys", user);
    write_text(home / "keys/id", "SECRET", user);
    SandboxPlan plan = shell("cat " + (home / "keys/id") + "; true");
    plan.grants.push_back({home.path(), true, true, true});
    plan.denies.push_back({home / "keys", "the rule"});
    plan.diagnose = true;
    const Outcome outcome = run(plan, user, go_and_tell);
    INFO(describe(outcome));
    CHECK(outcome.out.find("SECRET") == std::string::npos);
    CHECK(count(outcome.out, "noted read " + (home / "keys/id") + "|the rule\n") == 1);
  }
}

TEST_CASE("nothing is noted without diagnosis, nor where everything was granted") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    SandboxPlan plan = shell("cat /root/.profile /etc/shadow; true");
    CHECK(run(plan, user, go_and_tell).out.find("noted") == std::string::npos);
    SandboxPlan quiet = shell("cat /etc/passwd > /dev/null; echo x > /tmp/y; cat /tmp/y");
    quiet.diagnose = true;
    const Outcome outcome = run(quiet, user, go_and_tell);
    CHECK(outcome.out == "x\n");
  }
}

TEST_CASE("many processes at once are diagnosed without harm to any") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    SandboxPlan plan = shell(
        "for i in 1 2 3 4 5 6 7 8; do (for j in 1 2 3 4 5 6 7 8 9; do cat /etc/passwd > /dev/null "
        "|| exit 1; done; echo done) & done; wait");
    plan.diagnose = true;
    const Outcome outcome = run(plan, user, go_and_tell);
    INFO(describe(outcome));
    CHECK(count(outcome.out, "done\n") == 8);
  }
}

}  // namespace
}  // namespace nono::sandbox
