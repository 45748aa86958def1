// Exit codes, errors and what the command starts with.

#include <sys/mman.h>
#include <sys/resource.h>

#include "tests/sandbox/harness.hpp"

using namespace nono;
using namespace nono::sandbox;
using namespace nono::sandbox::test;

TEST_CASE("the command's exit code passes through") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    for (int code : {0, 1, 42, 125, 255}) {
      Outcome outcome = run(shell("exit " + std::to_string(code)), user);
      INFO(describe(outcome));
      CHECK(outcome.ok);
      CHECK(outcome.code == code);
      CHECK_FALSE(outcome.signalled);
    }
  }
}

TEST_CASE("death by a signal is 128 and its number") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Outcome terminated = run(shell("kill -TERM $$"), user);
    INFO(describe(terminated));
    CHECK(terminated.code == 128 + SIGTERM);
    CHECK(terminated.signalled);
    CHECK(run(shell("kill -KILL $$"), user).code == 128 + SIGKILL);
    CHECK(run(shell("kill -SEGV $$"), user).code == 128 + SIGSEGV);
  }
}

TEST_CASE("a command that is missing gives 127, one that cannot be executed 126, with the reason") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    SandboxPlan plan = shell("");
    plan.executable = "/usr/bin/no-such-command";
    Outcome missing = run(plan, user);
    INFO(describe(missing));
    CHECK(missing.ok);
    CHECK(missing.code == 127);
    CHECK(missing.problem == "/usr/bin/no-such-command: No such file or directory");

    plan.executable = "/etc/passwd";
    Outcome refused = run(plan, user);
    CHECK(refused.code == 126);
    CHECK(refused.problem == "/etc/passwd: Permission denied");

    Directory place(user, public_place());
    std::string secret = place / "tool";
    std::filesystem::copy_file("/bin/true", secret);
    plan.executable = secret;  // executable, but nothing grants it
    CHECK(run(plan, user).code == 126);
  }
}

TEST_CASE("a script without an interpreter line is run by the shell") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    write_text(place / "script", "echo got $1; exit 7\n", user);
    std::filesystem::permissions(place / "script", std::filesystem::perms::owner_all);
    SandboxPlan plan = system_plan();
    plan.grants.push_back({place.path(), true, false, true});
    plan.executable = place / "script";
    plan.argv = {"script", "this"};
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.code == 7);
    CHECK(outcome.out == "got this\n");
  }
}

TEST_CASE("a failing set-up step is an error that names the step and the remedy") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    SandboxPlan plan = shell("echo ran");
    plan.cwd = "/no/such/directory";
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK_FALSE(outcome.ok);
    CHECK(outcome.error_code == ErrorCode::not_supported);
    CHECK(outcome.error.find("enter the working directory (/no/such/directory)") !=
          std::string::npos);
    CHECK(outcome.out.empty());  // and nothing ran
  }
}

TEST_CASE("what fails between the report that all is ready and GO is told as what it was") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory granted(user, public_place());
    SandboxPlan plan = shell("echo ran");
    plan.network = Network::open;  // nothing for L to do: it is ready long before all is mounted
    plan.cwd = "/no/such/directory";
    constexpr int mounts = 60;
    for (int i = 0; i < mounts; ++i) {
      const std::string path = granted / std::to_string(i);
      make_directory(path, user);
      plan.grants.push_back({path, true, true, true});
    }
    Outcome outcome = run(plan, user, [](SandboxChannel& channel) {
      pollfd ended = {channel.ended_fd(), POLLIN, 0};
      ::poll(&ended, 1, -1);
      return go_and_wait(channel);
    });
    INFO(describe(outcome));
    CHECK_FALSE(outcome.ok);
    CHECK(outcome.error.find("enter the working directory (/no/such/directory)") !=
          std::string::npos);
    CHECK_FALSE(outcome.fix.empty());
    CHECK(outcome.out.empty());
  }
}

TEST_CASE("without user namespaces the sandbox refuses to start and says what to do") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    // A user namespace whose owner forbids further ones: the same answer as on such a machine.
    Pipe result;
    pid_t parent = ::fork();
    if (parent == 0) {
      if (!become(user)) ::_exit(99);
      if (::unshare(CLONE_NEWUSER) != 0) ::_exit(98);
      std::ofstream("/proc/sys/user/max_user_namespaces") << "0" << std::flush;
      be_parent(shell("echo ran"), User{::geteuid()}, go_and_wait, result.write.get());
    }
    result.write.reset();
    Outcome outcome;
    parse(read_all(result.read.get()), outcome);
    ::waitpid(parent, nullptr, 0);
    INFO(describe(outcome));
    CHECK_FALSE(outcome.ok);
    CHECK(outcome.error_code == ErrorCode::not_supported);
    CHECK(outcome.error.find("create the namespaces") != std::string::npos);
    CHECK(outcome.fix.find("user.max_user_namespaces") != std::string::npos);
  }
}

TEST_CASE("a plan that contradicts itself is refused") {
  for (User user : users()) {
    SandboxPlan plan = shell("true");
    plan.grants.push_back({"/home/u/.ssh/keys", true, false, true});
    plan.denies.push_back({"/home/u/.ssh", "deny_credentials"});
    Outcome outcome = run(plan, user);
    CHECK(outcome.error_code == ErrorCode::bad_input);
    CHECK(outcome.error.find("/home/u/.ssh/keys") != std::string::npos);
    CHECK(outcome.error.find("deny_credentials") != std::string::npos);

    SandboxPlan nothing = system_plan();
    CHECK(run(nothing, user).error_code == ErrorCode::bad_input);
  }
}

TEST_CASE("the command does not start before go, and not at all without it") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    SandboxPlan plan = shell("echo ran > " + place / "witness");
    plan.grants.push_back({place.path(), true, true, true});
    Outcome outcome = run(plan, user, [&](SandboxChannel&) -> Result<ExitStatus> {
      return fail(ErrorCode::secret_missing, "changed my mind");
    });
    CHECK(outcome.error == "changed my mind");
    CHECK_FALSE(std::filesystem::exists(place / "witness"));
    Outcome second = run(plan, user);
    CHECK(second.code == 0);
    CHECK(read_text(place / "witness") == "ran\n");
  }
}

TEST_CASE("the command gets its arguments, environment and directory, and nothing else of ours") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    ::setenv("NONO_TEST_PARENT_ONLY", "leak", 1);
    SandboxPlan plan = shell("echo \"$0|$1|$GREETING|$NONO_TEST_PARENT_ONLY|$(pwd)\"");
    plan.argv.insert(plan.argv.end(), {"zero", "one two"});
    plan.env.push_back("GREETING=hello");
    plan.cwd = "/usr/share";
    Outcome outcome = run(plan, user);
    ::unsetenv("NONO_TEST_PARENT_ONLY");
    CHECK(outcome.out == "zero|one two|hello||/usr/share\n");
  }
}

TEST_CASE("no descriptor of the parent's is open in the command") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    UniqueFd secret(::open("/etc/hostname", O_RDONLY));  // inheritable on purpose
    UniqueFd high(::dup2(secret.get(), 777));
    Outcome outcome = run(shell("ls /proc/self/fd"), user);
    INFO(describe(outcome));
    CHECK(outcome.out == "0\n1\n2\n3\n");  // 3 is the directory that ls reads
  }
}

TEST_CASE("no privilege is left, and core dumps are off") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Outcome outcome = run(shell("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status"), user);
    INFO(describe(outcome));
    for (const char* line : {"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000",
                             "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000",
                             "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"}) {
      CHECK(outcome.out.find(line) != std::string::npos);
    }
    Outcome limit = run(probe([] {
                          rlimit core = {};
                          ::getrlimit(RLIMIT_CORE, &core);
                          return core.rlim_max <= 1 ? 0 : 1;
                        }),
                        user);
    CHECK(limit.code == 0);
  }
}

TEST_CASE("the parent is not dumpable once the sandbox stands") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Outcome outcome = run(shell("true"), user, [](SandboxChannel& channel) -> Result<ExitStatus> {
      if (::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) return fail(ErrorCode::internal, "dumpable");
      return go_and_wait(channel);
    });
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("a second wait is an error, not a hang") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Outcome outcome = run(shell("exit 3"), user, [](SandboxChannel& channel) -> Result<ExitStatus> {
      Result<ExitStatus> first = go_and_wait(channel);
      if (!first || first->code != 3) return first;
      return channel.wait();
    });
    CHECK_FALSE(outcome.ok);
    CHECK(outcome.error.find("already") != std::string::npos);
  }
}

TEST_CASE("variables that are withheld before GO are not in the environment") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    SandboxPlan plan = shell("env | sort");
    plan.env = {"PATH=/usr/bin:/bin", "A=1", "AB=2", "B=3", "LAST=4"};
    Outcome outcome = run(plan, user, [](SandboxChannel& channel) -> Result<ExitStatus> {
      if (Result<void> kept = channel.withhold({"A", "LAST"}); !kept) return fail(kept.error());
      return go_and_wait(channel);
    });
    INFO(describe(outcome));
    CHECK(outcome.out.find("AB=2\nB=3\n") != std::string::npos);
    CHECK(outcome.out.find("A=1") == std::string::npos);
    CHECK(outcome.out.find("LAST") == std::string::npos);
  }
}
