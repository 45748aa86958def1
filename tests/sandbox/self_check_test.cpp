// The self-check finds what holds, what does not, and leaves its caller as it was.

#include "sandbox/self_check.hpp"

#include "sandbox/linux/failure.hpp"
#include "sandbox/linux/self_escapes.hpp"
#include "tests/sandbox/harness.hpp"

using namespace nono;
using namespace nono::sandbox;
using namespace nono::sandbox::test;

namespace {

std::string text_of(const SelfCheck& check) {
  std::string text = check.kernel + " ABI " + std::to_string(check.landlock_abi) + "\n";
  for (const CheckResult& result : check.checks) {
    text += (result.ok ? "ok   " : "FAIL ") + result.name + ": " + result.detail + "\n";
    if (!result.remedy.empty()) text += "     remedy: " + result.remedy + "\n";
  }
  return text;
}

// In a process of its own, as the user; what `judge` returns becomes the exit code.
int in_process(User user, const std::function<int()>& judge) {
  pid_t child = ::fork();
  if (child == 0) ::_exit(become(user) ? judge() : 99);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::vector<std::string> left_behind() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("/tmp")) {
    std::string name = entry.path().filename().string();
    if (name.starts_with("nono-check-")) names.push_back(name);
  }
  return names;
}

}  // namespace

TEST_CASE("on a machine that can sandbox every self-check holds") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    int code = in_process(user, [] {
      Result<SelfCheck> check = self_check();
      if (!check) return 1;
      std::string text = text_of(*check);
      if (!check->can_enforce) {
        write_all(2, text);
        return 2;
      }
      if (check->checks.size() < 20 || check->landlock_abi < 1 || check->kernel.empty()) return 3;
      return ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 ? 0 : 4;
    });
    CHECK(code == 0);
  }
  CHECK(eventually([] { return left_behind().empty(); }));  // others may be running
}

TEST_CASE("every self-check of the notify backend holds, also where there are no namespaces") {
  for (User user : users()) {
    for (bool namespaces : {true, false}) {
      int code = in_process(user, [namespaces] {
        if (!namespaces) {
          if (::unshare(CLONE_NEWUSER) != 0) return 98;
          std::ofstream("/proc/sys/user/max_user_namespaces") << "0" << std::flush;
        }
        Result<SelfCheck> check = self_check(Backend::notify);
        if (!check) return 1;
        if (!check->can_enforce) {
          write_all(2, text_of(*check));
          return 2;
        }
        return check->checks.size() >= 20 ? 0 : 3;
      });
      CHECK(code == 0);
    }
  }
  CHECK(eventually([] { return left_behind().empty(); }));  // others may be running
}

TEST_CASE("on a machine without user namespaces the self-check says so and what to do") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    int code = in_process(user, [] {
      if (::unshare(CLONE_NEWUSER) != 0) return 98;
      std::ofstream("/proc/sys/user/max_user_namespaces") << "0" << std::flush;
      Result<SelfCheck> check = self_check();
      if (!check) return 1;
      if (check->can_enforce || check->checks.size() != 1) return 2;
      const CheckResult& only = check->checks.front();
      return !only.ok && only.remedy.find("max_user_namespaces") != std::string::npos ? 0 : 3;
    });
    CHECK(code == 0);
  }
  CHECK(eventually([] { return left_behind().empty(); }));  // others may be running
}

TEST_CASE(
    "that every port can be captured is found out by capturing one, or said with the reason") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    for (bool namespaces : {true, false}) {
      int code = in_process(user, [namespaces] {
        if (!namespaces) {
          if (::unshare(CLONE_NEWUSER) != 0) return 98;
          std::ofstream("/proc/sys/user/max_user_namespaces") << "0" << std::flush;
        }
        Result<CheckResult> check = check_capture_of_every_port();
        if (!check) return 1;
        write_all(2, check->name + ": " + check->detail + "; " + check->remedy + "\n");
        if (namespaces) {
          // Kernels without nf_tables have the ports that rules name.
          if (!check->ok) return check->detail.empty() || check->remedy.empty() ? 2 : 0;
          return check->detail.find("192.0.2.7:54321") != std::string::npos ? 0 : 3;
        }
        return !check->ok && check->remedy.find("max_user_namespaces") != std::string::npos ? 0 : 4;
      });
      CHECK(code == 0);
    }
  }
}

TEST_CASE("outside a sandbox the same escapes succeed, so that their failing means something") {
  // The process has no sandbox: what the machine itself refuses (VSOCK, raw sockets for an ordinary
  // user) is not asserted.
  User user = users().back();
  Directory place(user, "/tmp");
  write_text(place / "file", "x", user);
  int code = in_process(user, [&] {
    EscapeTargets targets;
    targets.readable_file = place / "file";
    targets.ungranted_file = "/etc/passwd";
    int failures = 0;
    for (const CheckResult& result : try_escapes(targets)) {
      for (const char* name :
           {"a file that is not granted cannot be read",
            "a file granted for reading cannot be written", "nor can its permissions be changed",
            "new namespaces are refused"}) {
        if (result.name == name && !result.ok && !result.remedy.empty()) ++failures;
      }
    }
    return failures;
  });
  CHECK(code == 4);
}

TEST_CASE("every failed step is explained in words, with a remedy where one is known") {
  for (int step = 0; step <= static_cast<int>(Step::peer_gone); ++step) {
    Error error = explain({static_cast<Step>(step), EPERM, "detail"});
    const bool killed = static_cast<Step>(step) == Step::peer_gone;
    CHECK(error.code == (killed ? ErrorCode::io : ErrorCode::not_supported));
    CHECK(error.what.find("could not ") != std::string::npos);
    CHECK(error.what.find("detail") != std::string::npos);
  }
  CHECK(explain({Step::landlock, ENOSYS, {}}).fix.find("5.13") != std::string::npos);
  CHECK(explain({Step::landlock, EOPNOTSUPP, {}}).fix.find("lsm=") != std::string::npos);
  CHECK(explain({Step::mount_proc, EPERM, {}}).fix.find("systempaths") != std::string::npos);
}
