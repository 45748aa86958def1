// File rules: which are made before the sandbox's mounts, and that the others are not among them.

#include "sandbox/linux/landlock.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "sandbox/linux/capabilities.hpp"
#include "tests/support/temp_dir.hpp"

using namespace nono;
using namespace nono::sandbox;
using nono::testing::TempDir;

namespace {

bool can_read(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)).valid();
}

}  // namespace

TEST_CASE("only what the sandbox mounts itself has to wait for its mounts") {
  SandboxPlan plan;
  plan.grants = {{"/home/user/project", true, true, true, false},
                 {"/tmp/given", true, true, true, false}};
  std::vector<std::string> inside;
  for (const LandlockRule& rule : landlock_rules(plan, {"/tmp", "/dev/shm"})) {
    if (rule.inside) inside.push_back(rule.path);
  }
  CHECK(inside == std::vector<std::string>{"/proc", "/dev/pts", "/tmp", "/dev/shm"});
}

TEST_CASE("a file may be named as one or be found to be one") {
  if (landlock_abi() == 0) {
    WARN("skipped by name: this kernel has no Landlock");
    return;
  }
  TempDir dir;
  const std::string named = dir.write("named", "x");
  const std::string found = dir.write("found", "x");
  const std::string other = dir.write("other", "x");
  const std::string below = dir.write("directory/below", "x");
  std::vector<LandlockRule> rules = {{.path = named, .read = true, .write = true, .file = true},
                                     {.path = found, .read = true, .write = true},
                                     {.path = dir / "directory", .read = true}};
  tl::expected<UniqueFd, Failure> ruleset = make_ruleset();
  REQUIRE(ruleset);
  REQUIRE(add_rules(ruleset->get(), rules, false));
  const pid_t child = ::fork();
  if (child == 0) {
    if (!forbid_new_privileges() || !apply_landlock(ruleset->get())) ::_exit(1);
    ::_exit(can_read(named) && can_read(found) && can_read(below) && !can_read(other) ? 0 : 2);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("a ruleset holds the rules that were added, and restricts only who applies it") {
  if (landlock_abi() == 0) {
    WARN("skipped by name: this kernel has no Landlock");
    return;
  }
  TempDir dir;
  const std::string before = dir.write("before/file", "x");
  const std::string inside = dir.write("inside/file", "x");
  std::vector<LandlockRule> rules(2);
  rules[0].path = dir / "before";
  rules[0].read = true;
  rules[1].path = dir / "inside";
  rules[1].read = rules[1].inside = true;
  tl::expected<UniqueFd, Failure> ruleset = make_ruleset();
  REQUIRE(ruleset);
  REQUIRE(add_rules(ruleset->get(), rules, false));
  CHECK(can_read(inside));
  const pid_t child = ::fork();
  if (child == 0) {
    if (!forbid_new_privileges() || !apply_landlock(ruleset->get())) ::_exit(1);
    if (!can_read(before)) ::_exit(2);
    ::_exit(can_read(inside) ? 3 : 0);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  CHECK(status == 0);
}
