// Files under the notify backend: no mounts, so denied paths inside grants are granted around, and
// temporary files have a directory of their own.

#include <sys/stat.h>

#include "sandbox/linux/notify/files.hpp"
#include "sandbox/linux/notify/private_tmp.hpp"
#include "tests/sandbox/harness.hpp"

using namespace nono;
using namespace nono::sandbox;
using namespace nono::sandbox::test;

namespace {

SandboxPlan in_notify(SandboxPlan plan) {
  plan.backend = Backend::notify;
  return plan;
}

const LandlockRule* rule_for(const NotifyFiles& files, const std::string& path) {
  for (const LandlockRule& rule : files.rules) {
    if (rule.path == path) return &rule;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("a grant without denied paths in it is one rule") {
  SandboxPlan plan;
  plan.grants = {{"/usr", true, false, true}};
  plan.denies = {{"/usr2/x", "a group"}, {"/home", "another"}};
  Result<NotifyFiles> files = plan_files(plan, "/tmp/own");
  REQUIRE(files);
  REQUIRE(rule_for(*files, "/usr") != nullptr);
  CHECK(rule_for(*files, "/usr")->read);
  CHECK_FALSE(rule_for(*files, "/usr")->write);
  CHECK(rule_for(*files, "/tmp/own")->write);
  CHECK(files->taken_apart.empty());
  CHECK(taken_apart_warning(files->taken_apart).empty());
  // Other terminals of this user's stand there.
  CHECK(rule_for(*files, "/dev/pts") == nullptr);
  CHECK(rule_for(*files, "/dev/ptmx") == nullptr);
  plan.accepted = {Weakness::host_terminals};
  files = plan_files(plan, "");
  REQUIRE(files);
  CHECK(rule_for(*files, "/dev/pts") != nullptr);
}

TEST_CASE("a denied path in a grant is granted around, entry by entry on the way to it") {
  Directory home(users().front(), public_place());
  for (const char* name : {"project", ".config/gh", ".config/git"}) {
    std::filesystem::create_directories(home / name);
  }
  std::filesystem::create_symlink(home / ".config/gh", home / "link");
  SandboxPlan plan;
  plan.grants = {{home.path(), true, true, true}};
  plan.denies = {{home / ".config/gh", "a group"}, {home / "not-there/at-all", "a group"}};
  plan.read_only_paths = {home / "project/profile.json"};
  Result<NotifyFiles> files = plan_files(plan, "");
  REQUIRE(files);
  CHECK(rule_for(*files, home.path()) == nullptr);
  CHECK(rule_for(*files, home / ".config") == nullptr);
  CHECK(rule_for(*files, home / ".config/gh") == nullptr);
  CHECK(rule_for(*files, home / "link") == nullptr);
  CHECK(rule_for(*files, home / ".config/git") != nullptr);
  REQUIRE(rule_for(*files, home / "project") != nullptr);
  CHECK(rule_for(*files, home / "project")->read);
  CHECK_FALSE(rule_for(*files, home / "project")->write);
  CHECK(files->taken_apart ==
        std::vector<std::string>{home.path(), home / ".config", home / "project"});
  CHECK(taken_apart_warning(files->taken_apart).find(home / ".config") != std::string::npos);
}

TEST_CASE("a grant that would take too many rules is refused by name") {
  Directory place(users().front(), public_place());
  for (int i = 0; i < 5000; ++i) write_text(place / std::to_string(i), "", users().front());
  SandboxPlan plan;
  plan.grants = {{place.path(), true, false, true}};
  plan.denies = {{place / "17", "a flag"}};
  Result<NotifyFiles> files = plan_files(plan, "");
  REQUIRE_FALSE(files);
  CHECK(files.error().code == ErrorCode::bad_input);
  CHECK(files.error().what.find(place.path()) != std::string::npos);
}

TEST_CASE("without mounts a denied path inside a grant is out of reach all the same") {
  for (User user : users()) {
    Directory place(user, public_place());
    make_directory(place / "secret", user);
    make_directory(place / "project", user);
    write_text(place / "secret/key", "hidden", user);
    write_text(place / "project/file", "shown", user);
    write_text(place / "project/profile", "policy", user);
    SandboxPlan plan = in_notify(shell(
        "cd " + place.path() +
        "; cat project/file; cat secret/key; ls secret; cat project/profile; echo x > "
        "project/profile; rm project/profile; mv project p2; mv secret s2; echo y > project/file "
        "&& cat project/file; echo z > secret/new; mkdir made; ln secret/key project/hard"));
    plan.grants.push_back({place.path(), true, true, true});
    plan.denies = {{place / "secret", "a test"}};
    plan.read_only_paths = {place / "project/profile"};
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.out.find("shown") != std::string::npos);
    CHECK(outcome.out.find("policy") != std::string::npos);
    CHECK(outcome.out.find("\ny\n") != std::string::npos);
    CHECK(outcome.out.find("hidden") == std::string::npos);
    CHECK(read_text(place / "secret/key") == "hidden");
    CHECK(read_text(place / "project/profile") == "policy");
    CHECK_FALSE(std::filesystem::exists(place / "secret/new"));
    CHECK_FALSE(std::filesystem::exists(place / "made"));
    CHECK_FALSE(std::filesystem::exists(place / "project/hard"));
  }
}

TEST_CASE("what is not granted cannot be read, written or seen into") {
  for (User user : users()) {
    Directory place(user, public_place());
    write_text(place / "file", "hidden", user);
    Outcome outcome =
        run(in_notify(shell("cat " + (place / "file") + "; echo x > " + (place / "file") + "; ls " +
                            place.path() + "; echo x > /tmp/nono-escaped")),
            user);
    INFO(describe(outcome));
    CHECK(outcome.out.find("hidden") == std::string::npos);
    CHECK(read_text(place / "file") == "hidden");
    CHECK_FALSE(std::filesystem::exists("/tmp/nono-escaped"));
  }
}

TEST_CASE("temporary files go to a directory of the run's own and are gone afterwards") {
  for (User user : users()) {
    SandboxPlan plan = in_notify(
        shell("cd $TMPDIR && pwd && mkdir -p a/b && echo x > a/b/c && chmod 0 a/b a && mktemp && "
              "stat -c %a $TMPDIR"));
    plan.env.push_back("TMPDIR=/tmp");
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
    CHECK(outcome.out.find("\n700\n") != std::string::npos);
    const std::string directory = outcome.out.substr(0, outcome.out.find('\n'));
    CHECK(directory.starts_with("/tmp/nono-tmp-"));
    CHECK_FALSE(std::filesystem::exists(directory));
  }
}

TEST_CASE("a granted place stays the one for temporary files") {
  User user = users().back();
  Directory place(user, "/tmp");
  SandboxPlan plan = in_notify(shell("echo $TMPDIR; echo x > $TMPDIR/file"));
  plan.env.push_back("TMPDIR=" + place.path());
  plan.grants.push_back({place.path(), true, true, true});
  Outcome outcome = run(plan, user);
  INFO(describe(outcome));
  CHECK(outcome.out == place.path() + "\n");
  CHECK(std::filesystem::exists(place / "file"));
}

TEST_CASE(
    "a directory of temporary files is removed with whatever is in it, and no link is "
    "followed") {
  Directory outside(users().front(), "/tmp");
  write_text(outside / "kept", "x", users().front());
  Result<std::string> made = make_private_tmp();
  REQUIRE(made);
  std::string deep = *made;
  for (int i = 0; i < 100; ++i) deep += "/d";
  std::filesystem::create_directories(deep);
  std::filesystem::create_directory_symlink(outside.path(), *made + "/link");
  write_text(*made + "/file", "x", users().front());
  ::chmod((*made + "/d").c_str(), 0);
  ::chmod(made->c_str(), 0);
  remove_private_tmp(*made);
  CHECK_FALSE(std::filesystem::exists(*made));
  CHECK(std::filesystem::exists(outside / "kept"));
}

TEST_CASE("no temporary files are left when the command or the parent is killed") {
  for (User user : users()) {
    Outcome outcome = run(in_notify(shell("echo $TMPDIR; kill -9 $$")), user);
    INFO(describe(outcome));
    CHECK(outcome.code == 128 + SIGKILL);
    std::string directory = outcome.out.substr(0, outcome.out.find('\n'));
    CHECK(directory.starts_with("/tmp/nono-tmp-"));
    CHECK_FALSE(std::filesystem::exists(directory));

    outcome =
        run(in_notify(shell("echo $TMPDIR; exec sleep 600")), user, [](SandboxChannel& channel) {
          // It exits without waiting.
          return channel.go() ? Result<ExitStatus>(ExitStatus{}) : fail(ErrorCode::internal, "go");
        });
    INFO(describe(outcome));
    directory = outcome.out.substr(0, outcome.out.find('\n'));
    CHECK(eventually([&] { return directory.empty() || !std::filesystem::exists(directory); }));
  }
}
