// Limits on memory and processes: they hold, they reach the parent never, and nothing is left
// behind.

#include <sys/file.h>
#include <sys/mman.h>

#include <fstream>
#include <functional>

#include "sandbox/linux/cgroup.hpp"
#include "tests/sandbox/harness.hpp"

using namespace nono;
using namespace nono::sandbox;
using namespace nono::sandbox::test;

namespace {

constexpr std::uint64_t mebibyte = 1024 * 1024;

// As a service manager delegates: a group that belongs to the user, with this process in it, and so
// the parents that it forks. Where the tests run as root and version 1 is there; version 2 wants
// the processes elsewhere.
class Delegated {
 public:
  explicit Delegated(User user) {
    if (::geteuid() != 0 || user.uid == 0) return;
    for (const char* controller : {"memory", "pids"}) {
      CgroupPlace place = find_cgroup(controller, read_text("/proc/self/mountinfo"),
                                      read_text("/proc/self/cgroup"));
      if (place.directory.empty() || place.unified) continue;
      std::string group = place.directory + "/delegated-" + std::to_string(::getpid());
      if (::mkdir(group.c_str(), 0755) != 0) continue;
      groups_.push_back({place.directory, group});
      for (const char* file : {"", "/cgroup.procs"}) {
        if (::chown((group + file).c_str(), user.uid, user.uid) != 0) continue;
      }
      std::ofstream(group + "/cgroup.procs") << ::getpid();
    }
  }
  ~Delegated() {
    for (const auto& [above, group] : groups_) {
      std::ofstream(above + "/cgroup.procs") << ::getpid();
      ::rmdir(group.c_str());
    }
  }
  Delegated(const Delegated&) = delete;
  Delegated& operator=(const Delegated&) = delete;

 private:
  std::vector<std::pair<std::string, std::string>> groups_;
};

// What this machine gives this user, found out by doing.
bool can_limit(User user, const ResourceLimits& limits, const std::string& name) {
  SandboxPlan plan = probe([] { return 0; });
  plan.limits = limits;
  Outcome outcome = run(plan, user);
  if (outcome.ok && outcome.code == 0) return true;
  WARN("skipped by name: " << name << " for uid " << user.uid << ": " << outcome.error);
  CHECK(outcome.error_code == ErrorCode::not_supported);
  CHECK_FALSE(outcome.fix.empty());
  return false;
}

// One of these tests at a time: they look at what others leave.
class Alone {
 public:
  Alone() : lock_(::open("/tmp/nono-limits-test.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    REQUIRE(::flock(lock_.get(), LOCK_EX) == 0);
  }

 private:
  UniqueFd lock_;
};

// Runs `test` for each user of users() for whom the machine has such limits.
void for_each_user(const ResourceLimits& limits, const std::string& name,
                   const std::function<void(User)>& test) {
  const Alone alone;
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    const Delegated delegated(user);
    if (can_limit(user, limits, name)) test(user);
  }
}

// Groups of ours anywhere whose parent, by its number in their name, is gone.
std::vector<std::string> groups_left() {
  std::vector<std::string> found;
  std::error_code error;
  for (auto at = std::filesystem::recursive_directory_iterator(
           "/sys/fs/cgroup", std::filesystem::directory_options::skip_permission_denied, error);
       !error && at != std::filesystem::recursive_directory_iterator(); at.increment(error)) {
    std::string name = at->path().filename().string();
    if (!name.starts_with("nono-")) continue;
    const pid_t parent = std::atoi(name.c_str() + 5);
    if (parent <= 0 || ::kill(parent, 0) != 0) found.push_back(at->path().string());
  }
  return found;
}

const std::string version_1 =
    "31 28 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "36 31 0:33 /docker/x /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
    "37 31 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
const std::string version_2 =
    "29 23 0:25 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

}  // namespace

TEST_CASE("the process's group is found in either version of control groups") {
  const Alone alone;
  CgroupPlace place = find_cgroup("memory", version_1, "4:memory:/a/b\n0::/c\n");
  CHECK(place.directory == "/sys/fs/cgroup/memory/a/b");
  CHECK(place.mount == "/sys/fs/cgroup/memory");
  CHECK_FALSE(place.unified);
  CHECK(find_cgroup("memory", version_1, "4:memory:/\n").directory == "/sys/fs/cgroup/memory");
  CHECK(find_cgroup("pids", version_1, "8:pids:/docker/x/y\n").directory ==
        "/sys/fs/cgroup/pids/y");
  CHECK(find_cgroup("pids", version_1, "8:pids:/elsewhere\n").directory.empty());
  place = find_cgroup("io", version_1, "0::/c\n");
  CHECK(place.directory == "/sys/fs/cgroup/unified/c");
  CHECK(place.unified);
  place = find_cgroup("memory", version_2, "0::/user.slice/app.scope\n");
  CHECK(place.directory == "/sys/fs/cgroup/user.slice/app.scope");
  CHECK(find_cgroup("memory", version_2, "0::/../other\n").directory.empty());
  CHECK(find_cgroup("memory", "", "0::/\n").directory.empty());
}

TEST_CASE("a command that takes too much memory is killed, and the parent goes on") {
  ResourceLimits limits;
  limits.memory_bytes = 48 * mebibyte;
  for_each_user(limits, "a memory limit", [&](User user) {
    SandboxPlan plan = probe([] {
      // A child takes it, since a group need not be killed as a whole (version 1).
      pid_t hog = ::fork();
      if (hog == 0) {
        constexpr std::size_t size = 400 * mebibyte;
        void* block =
            ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED) ::_exit(9);
        for (std::size_t at = 0; at < size; at += 4096) static_cast<char*>(block)[at] = 1;
        ::_exit(0);
      }
      int status = 0;
      ::waitpid(hog, &status, 0);
      return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 137 : 1;
    });
    plan.limits = limits;
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.ok);
    CHECK(outcome.code == 137);
    CHECK(outcome.problem == "out of memory");
    CHECK(groups_left().empty());
  });
}

TEST_CASE("a memory limit too low for the sandbox itself is named as what ended it") {
  ResourceLimits limits;
  limits.memory_bytes = 48 * mebibyte;
  for_each_user(limits, "a memory limit", [&](User user) {
    SandboxPlan plan = shell("echo ran");
    plan.limits.memory_bytes = mebibyte / 2;
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    // Where that is depends on how much each process takes before it does anything.
    const bool named = outcome.ok ? outcome.problem == "out of memory"
                                  : outcome.error.find("limit of memory") != std::string::npos &&
                                        outcome.fix.find("--memory") != std::string::npos;
    CHECK(named);
    CHECK(outcome.out.empty());
    CHECK(groups_left().empty());
  });
}

TEST_CASE("the private temporary directories count against the memory limit") {
  ResourceLimits limits;
  limits.memory_bytes = 48 * mebibyte;
  for_each_user(limits, "a memory limit", [&](User user) {
    SandboxPlan plan = shell("head -c 200000000 /dev/zero > /tmp/large; echo $?");
    plan.limits = limits;
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.out != "0\n");
    CHECK(outcome.problem == "out of memory");
  });
}

TEST_CASE("a command that forks without end gets no further than its limit") {
  ResourceLimits limits;
  limits.processes = 20;
  for_each_user(limits, "a limit on processes", [&](User user) {
    for (bool threads : {false, true}) {
      SandboxPlan plan = probe([threads] {
        int made = 1;  // this process
        for (int i = 0; i < 100; ++i) {
          if (threads) {
            try {
              std::thread([] { ::pause(); }).detach();
            } catch (const std::system_error&) {
              break;
            }
          } else {
            pid_t child = ::fork();
            if (child == 0) {
              ::pause();
              ::_exit(0);
            }
            if (child < 0) break;
          }
          ++made;
        }
        return made;
      });
      plan.limits = limits;
      Outcome outcome = run(plan, user);
      INFO(describe(outcome));
      CHECK(outcome.ok);
      CHECK(outcome.code == 20);
      CHECK(groups_left().empty());
    }
  });
}

TEST_CASE("an ordinary user without a control group has processes limited all the same") {
  const Alone alone;
  for (User user : users()) {
    if (user.uid == 0 || !can_sandbox(user)) continue;
    ResourceLimits limits;
    limits.processes = 5;
    SandboxPlan plan = probe([] {
      int made = 1;
      for (int i = 0; i < 20; ++i) {
        pid_t child = ::fork();
        if (child == 0) ::_exit(::pause());
        if (child < 0) break;
        ++made;
      }
      return made;
    });
    plan.limits = limits;
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.code == 5);
    CHECK(groups_left().empty());
  }
}

TEST_CASE("the limit on processes cannot be raised from inside") {
  ResourceLimits limits;
  limits.processes = 8;
  for_each_user(limits, "a limit on processes", [&](User user) {
    SandboxPlan plan = shell(
        "ulimit -p 5000 2>/dev/null; ulimit -u 5000 2>/dev/null; "
        "for f in /sys/fs/cgroup/pids.max /sys/fs/cgroup/*/pids.max; do echo max > $f; done "
        "2>/dev/null; "
        "n=0; while [ $n -lt 50 ]; do sleep 100 & n=$((n+1)); done; echo all");
    plan.grants.push_back({"/sys/fs/cgroup", true, true, true});
    plan.limits = limits;
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.out.find("all") == std::string::npos);
  });
}

TEST_CASE("the group of a parent that was killed is removed by the next run") {
  const Alone alone;
  User root{0};
  if (::geteuid() != 0 || !can_sandbox(root)) return;
  ResourceLimits limits;
  limits.processes = 20;
  if (!can_limit(root, limits, "a limit on processes")) return;
  Pipe ready;
  pid_t parent = ::fork();
  if (parent == 0) {
    SandboxPlan plan = probe([] { return ::pause(); });
    plan.limits = limits;
    Pipe result;
    be_parent(
        plan, root,
        [&](SandboxChannel& channel) -> Result<ExitStatus> {
          (void)channel.go();
          write_all(ready.write.get(), "x");
          return channel.wait();
        },
        result.write.get());
  }
  ready.write.reset();
  char byte = 0;
  REQUIRE(::read(ready.read.get(), &byte, 1) == 1);
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  REQUIRE(groups_left().size() == 1);
  CHECK(eventually([&] {
    SandboxPlan next = probe([] { return 0; });
    next.limits = limits;
    return run(next, root).ok && groups_left().empty();
  }));
}
