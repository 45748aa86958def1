// What gets mounted, decided from the plan by text.

#include <catch2/catch.hpp>

#include "sandbox/linux/mounts.hpp"
#include "sandbox/linux/paths.hpp"

using namespace nono::sandbox;

namespace {

FsGrant reading(std::string path) {
  return {std::move(path), true, false, true};
}
FsGrant writing(std::string path) {
  return {std::move(path), true, true, true};
}

std::vector<std::string> names(const std::vector<BindMount>& binds) {
  std::vector<std::string> result;
  for (const BindMount& bind : binds) result.push_back(bind.path + (bind.writable ? " rw" : " ro"));
  return result;
}

using Names = std::vector<std::string>;

Names hidden_names(const MountPlan& mounts) {
  Names result;
  for (const HiddenPath& hidden : mounts.hidden) result.push_back(hidden.path);
  return result;
}

}  // namespace

TEST_CASE("a path is below a directory by whole components only") {
  CHECK(is_at_or_below("/tmp", "/tmp"));
  CHECK(is_at_or_below("/tmp/x", "/tmp"));
  CHECK_FALSE(is_at_or_below("/tmpx", "/tmp"));
  CHECK_FALSE(is_at_or_below("/tm", "/tmp"));
  CHECK(is_at_or_below("/tmp", "/"));
  CHECK_FALSE(is_below("/tmp", "/tmp"));
  CHECK(is_provided("/proc/self/fd"));
  CHECK(is_provided("/dev/pts"));
  CHECK_FALSE(is_provided("/dev/ptsx"));
  CHECK(directories_between("/a", "/a/b/c/file") == Names{"/a/b", "/a/b/c"});
  CHECK(directories_between("/", "/b/file") == Names{"/b"});
  CHECK(directories_between("/a", "/a/file").empty());
}

TEST_CASE("temporary directories are private unless granted by name or writable from above") {
  SandboxPlan plan;
  CHECK(plan_mounts(plan, 7).private_directories ==
        Names{"/tmp", "/var/tmp", "/dev/shm", "/run/user/7"});

  plan.grants = {reading("/tmp")};
  CHECK(plan_mounts(plan, 7).private_directories == Names{"/var/tmp", "/dev/shm", "/run/user/7"});

  plan.grants = {reading("/var")};
  CHECK(plan_mounts(plan, 7).private_directories.size() == 4);
  plan.grants = {writing("/var")};
  CHECK(plan_mounts(plan, 7).private_directories == Names{"/tmp", "/dev/shm", "/run/user/7"});
  plan.grants = {writing("/")};
  CHECK(plan_mounts(plan, 7).private_directories.empty());

  plan.grants.clear();
  plan.private_tmp = false;
  CHECK(plan_mounts(plan, 7).private_directories.empty());
}

TEST_CASE("only writable grants are mounted, and those that a private directory would hide") {
  SandboxPlan plan;
  plan.grants = {reading("/usr"),        writing("/home/u/p/sub"), writing("/home/u/p"),
                 reading("/tmp/ca.pem"), writing("/tmp/x"),        reading("/tmp/x/in"),
                 reading("/tmp/r"),      writing("/tmp/r/w")};
  CHECK(names(plan_mounts(plan, 7).binds) ==
        Names{"/tmp/r ro", "/tmp/x rw", "/tmp/r/w rw", "/home/u/p rw", "/tmp/ca.pem ro"});
}

TEST_CASE("grants of what the sandbox makes itself mount nothing of the host's") {
  SandboxPlan plan;
  plan.grants = {writing("/proc"), writing("/proc/self/fd"), writing("/dev/pts"),
                 reading("/dev/pts/3")};
  CHECK(plan_mounts(plan, 7).binds.empty());
}

TEST_CASE("a start directory that is private and not granted is made") {
  SandboxPlan plan;
  plan.cwd = "/tmp/somewhere";
  CHECK(plan_mounts(plan, 7).start_directory == "/tmp/somewhere");
  plan.grants = {reading("/tmp/somewhere")};
  CHECK(plan_mounts(plan, 7).start_directory.empty());
  plan.grants.clear();
  plan.cwd = "/home/u";
  CHECK(plan_mounts(plan, 7).start_directory.empty());
}

TEST_CASE("policy files within a writable grant are protected, and the way to them pinned") {
  SandboxPlan plan;
  plan.grants = {writing("/home/u/p"), reading("/home/u/q")};
  plan.read_only_paths = {"/home/u/p/.nono/deep/profile.yaml", "/home/u/p/.nono/other.yaml",
                          "/home/u/q/profile.yaml", "/elsewhere/profile.yaml"};
  MountPlan mounts = plan_mounts(plan, 7);
  CHECK(mounts.read_only ==
        Names{"/home/u/p/.nono/deep/profile.yaml", "/home/u/p/.nono/other.yaml"});
  CHECK(mounts.pinned == Names{"/home/u/p/.nono", "/home/u/p/.nono/deep"});
}

TEST_CASE("denied paths are hidden where a grant would show them") {
  SandboxPlan plan;
  plan.grants = {writing("/home/u")};
  plan.denies = {{"/home/u/.ssh", "deny_credentials"}, {"/home/v/.ssh", "deny_credentials"}};
  CHECK(hidden_names(plan_mounts(plan, 7)) == Names{"/home/u/.ssh"});
}

TEST_CASE("the way to a denied path is pinned where it could be moved") {
  SandboxPlan plan;
  plan.grants = {writing("/home/u")};
  plan.denies = {{"/home/u/.config/gh", "deny_credentials"}};
  CHECK(plan_mounts(plan, 7).pinned == Names{"/home/u/.config"});
  plan.grants = {reading("/home/u")};
  CHECK(plan_mounts(plan, 7).pinned.empty());
  CHECK(hidden_names(plan_mounts(plan, 7)) == Names{"/home/u/.config/gh"});
}

TEST_CASE("what lies in a hidden directory is hidden once, unless something there is exposed") {
  SandboxPlan plan;
  plan.grants = {writing("/h"), {"/h/.ssh/open", true, false, true, true}};
  plan.denies = {{"/h/.ssh/open/key", "flag"}, {"/h/.ssh/inner", "flag"}, {"/h/.ssh", "group"}};
  MountPlan mounts = plan_mounts(plan, 7);
  CHECK(hidden_names(mounts) == Names{"/h/.ssh", "/h/.ssh/open/key"});
  REQUIRE(mounts.hidden.front().exposed.size() == 1);
  CHECK(mounts.hidden.front().exposed.front().path == "/h/.ssh/open");
  CHECK_FALSE(mounts.hidden.front().exposed.front().writable);
}

TEST_CASE("only in a writable grant must an essential path be there") {
  SandboxPlan plan;
  plan.denies = {{"/h/own", "nono", true}};
  plan.grants = {reading("/h")};
  CHECK_FALSE(plan_mounts(plan, 7).hidden.front().essential);
  plan.grants = {writing("/h")};
  CHECK(plan_mounts(plan, 7).hidden.front().essential);
}
