// Signals, job control, orphans, and what happens when one of the sandbox's processes is killed.

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <termios.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "tests/sandbox/harness.hpp"

using namespace nono;
using namespace nono::sandbox;
using namespace nono::sandbox::test;

namespace {

// P with its ends in the test's hands: for tests that act while the command runs.
struct Running {
  pid_t parent = -1;
  UniqueFd input;   // to the command
  UniqueFd output;  // of the command; ends when nobody in the sandbox lives
  UniqueFd result;

  Outcome finish() {
    Outcome outcome;
    input.reset();
    outcome.out = read_all(output.get());
    parse(read_all(result.get()), outcome);
    ::waitpid(parent, nullptr, 0);
    return outcome;
  }
};

// P keeps no end of the output for itself, so that its end shows the sandbox's.
Running launch(const SandboxPlan& plan, User user, const Drive& drive = go_and_wait) {
  Pipe input;
  Pipe output;
  Pipe result;
  Running running;
  running.parent = ::fork();
  if (running.parent == 0) {
    ::setpgid(0, 0);
    ::dup2(input.read.get(), 0);
    ::dup2(output.write.get(), 1);
    ::dup2(output.write.get(), 2);
    input = {};
    output = {};
    be_parent(
        plan, user,
        [&](SandboxChannel& channel) {
          UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
          for (int fd = 0; fd < 3; ++fd) ::dup2(null.get(), fd);
          return drive(channel);
        },
        result.write.get());
  }
  ::setpgid(running.parent, running.parent);
  running.input = std::move(input.write);
  running.output = std::move(output.read);
  running.result = std::move(result.read);
  return running;
}

// The next line the command writes; empty at its end.
std::string next_line(int fd) {
  std::string line;
  char byte = 0;
  while (::read(fd, &byte, 1) == 1) {
    if (byte == '\n') return line;
    line += byte;
  }
  return line;
}

// A process of the host's that is in the network namespace of none of ours: found by its command
// line.
bool lives(const std::string& mark) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (read_text(entry.path().string() + "/cmdline").find(mark) != std::string::npos) return true;
  }
  return false;
}

std::string unique_number() {
  static int count = 0;
  return std::to_string(100000 + (::getpid() % 10000) * 10 + count++);
}

// A session with one job on the terminal, as a shell would run it; reports what happens to the job.
[[noreturn]] void lead_session(const std::string& name, User user, const UniqueFd& master,
                               const Pipe& events) {
  ::setsid();
  int terminal = ::open(name.c_str(), O_RDWR);
  ::ioctl(terminal, TIOCSCTTY, 0);
  ::signal(SIGTTOU, SIG_IGN);
  pid_t job = ::fork();
  if (job == 0) {
    ::setpgid(0, 0);
    ::tcsetpgrp(terminal, ::getpid());
    ::signal(SIGTTOU, SIG_DFL);
    for (int fd = 0; fd < 3; ++fd) ::dup2(terminal, fd);
    SandboxPlan plan = shell("echo up; while :; do read x; done");
    Pipe ignored;
    be_parent(
        plan, user,
        [](SandboxChannel& channel) {
          ::signal(SIGINT, SIG_IGN);  // as a parent that waits for its child
          Result<ExitStatus> status = go_and_wait(channel);
          ::_exit(status ? status->code : 77);
          return status;
        },
        ignored.write.get());
  }
  ::setpgid(job, job);
  int status = 0;
  while (::waitpid(job, &status, WUNTRACED) == job) {
    if (WIFSTOPPED(status)) {
      write_all(events.write.get(), "stopped\n");
      ::tcsetpgrp(terminal, job);
      ::kill(-job, SIGCONT);
      write_all(master.get(), "");
      continue;
    }
    write_all(events.write.get(), "ended " + std::to_string(WEXITSTATUS(status)) + "\n");
    break;
  }
  ::_exit(0);
}

}  // namespace

TEST_CASE("what the command leaves behind ends with it") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    std::string seconds = unique_number();
    Outcome outcome =
        run(shell("sleep " + seconds + " & (setsid sleep " + seconds + " &) ; exit 5"), user);
    INFO(describe(outcome));
    CHECK(outcome.code == 5);
    CHECK_FALSE(lives("sleep\0" + seconds));
    CHECK_FALSE(lives(seconds));
  }
}

TEST_CASE("killing the parent ends everything") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    std::string seconds = unique_number();
    Running running = launch(
        shell("(trap '' TERM INT HUP; setsid sleep " + seconds + " &) ; echo up; sleep " + seconds),
        user);
    REQUIRE(next_line(running.output.get()) == "up");
    REQUIRE(lives(seconds));
    ::kill(running.parent, SIGKILL);
    ::waitpid(running.parent, nullptr, 0);
    CHECK(read_all(running.output.get()).empty());  // all writers are gone
    CHECK(eventually([&] { return !lives(seconds); }));
  }
}

TEST_CASE("killing the launcher ends everything and is reported") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    std::string seconds = unique_number();
    Outcome outcome = run(shell("echo up; sleep " + seconds), user, [&](SandboxChannel& channel) {
      (void)channel.go();
      // The launcher is P's only child.
      std::string children = read_text("/proc/thread-self/children");
      pid_t launcher = std::stoi(children);
      ::kill(launcher, SIGKILL);
      return channel.wait();
    });
    INFO(describe(outcome));
    CHECK_FALSE(outcome.ok);
    CHECK(outcome.error.find("killed") != std::string::npos);
    CHECK_FALSE(lives(seconds));
  }
}

TEST_CASE("when a run is over nothing of the command is alive") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    std::string seconds = unique_number();
    const std::string sleeps = "sleep " + seconds + " &";
    const std::string script =
        "for i in 1 2 3 4 5 6 7 8; do (" + sleeps + ") done; setsid " + sleeps + " exit 5";
    Outcome outcome = run(shell(script), user, [&](SandboxChannel& channel) -> Result<ExitStatus> {
      (void)channel.go();
      pollfd over = {channel.ended_fd(), POLLIN, 0};
      if (::poll(&over, 1, 20'000) != 1) return fail(ErrorCode::internal, "hangs");
      if (lives(seconds)) return fail(ErrorCode::internal, "told before it was over");
      return channel.wait();
    });
    INFO(describe(outcome));
    CHECK(outcome.code == 5);
  }
}

TEST_CASE("a launcher killed before pid 1 is set up leaves no command running") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    for (int round = 0; round < 20; ++round) {
      std::string seconds = unique_number();
      Outcome outcome = run(shell("sleep " + seconds), user, [&](SandboxChannel& channel) {
        pid_t launcher = std::stoi(read_text("/proc/thread-self/children"));
        (void)channel.go();
        for (volatile int delay = 0; delay < round * 2000;) {
          const int next = delay + 1;
          delay = next;
        }
        ::kill(launcher, SIGKILL);
        return channel.wait();
      });
      INFO(describe(outcome));
      CHECK_FALSE(outcome.ok);
      CHECK(eventually([&] { return !lives(seconds); }));
    }
  }
}

TEST_CASE("a command that another process continues continues the parent") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Running running =
        launch(shell("me=$$; (sleep 0.3; kill -CONT $me) & kill -STOP $$; echo after"), user);
    int status = 0;
    REQUIRE(::waitpid(running.parent, &status, WUNTRACED) == running.parent);
    REQUIRE(WIFSTOPPED(status));
    CHECK(next_line(running.output.get()) == "after");
    CHECK(running.finish().code == 0);
  }
}

TEST_CASE("a command that is killed while stopped wakes the parent to say so") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Running running =
        launch(shell("me=$$; (sleep 0.3; kill -KILL $me) & kill -STOP $$; echo after"), user);
    int status = 0;
    REQUIRE(::waitpid(running.parent, &status, WUNTRACED) == running.parent);
    REQUIRE(WIFSTOPPED(status));
    CHECK(running.finish().code == 128 + SIGKILL);
  }
}

TEST_CASE("destroying the channel ends the sandbox") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    std::string seconds = unique_number();
    Outcome outcome =
        run(shell("sleep " + seconds), user, [&](SandboxChannel& channel) -> Result<ExitStatus> {
          (void)channel.go();
          return fail(ErrorCode::internal, "left early");
        });
    CHECK(outcome.error == "left early");
    CHECK(eventually([&] { return !lives(seconds); }));
  }
}

TEST_CASE("signals are forwarded to the command") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    for (int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGWINCH}) {
      std::string script =
          "trap 'echo got; exit 9' TERM INT HUP USR1 WINCH; echo up; while :; do read x; done";
      Pipe ready;
      Running running =
          launch(shell(script), user, [&](SandboxChannel& channel) -> Result<ExitStatus> {
            (void)channel.go();
            char byte = 0;
            if (::read(ready.read.get(), &byte, 1) != 1)
              return fail(ErrorCode::internal, "no word");
            if (Result<void> sent = channel.signal(number); !sent) return fail(sent.error());
            return channel.wait();
          });
      ready.read.reset();
      CHECK(next_line(running.output.get()) == "up");
      write_all(ready.write.get(), "x");
      CHECK(next_line(running.output.get()) == "got");
      Outcome outcome = running.finish();
      INFO(number << " " << describe(outcome));
      CHECK(outcome.code == 9);
    }
  }
}

TEST_CASE("signal numbers that do not exist are refused") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Outcome outcome = run(shell("true"), user, [](SandboxChannel& channel) -> Result<ExitStatus> {
      if (channel.signal(0) || channel.signal(-1) || channel.signal(1000)) {
        return fail(ErrorCode::internal, "accepted");
      }
      return go_and_wait(channel);
    });
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("a command that stops itself stops the parent, and both go on together") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Running running = launch(shell("echo before; kill -STOP $$; echo after; exit 6"), user);
    CHECK(next_line(running.output.get()) == "before");
    int status = 0;
    REQUIRE(::waitpid(running.parent, &status, WUNTRACED) == running.parent);
    REQUIRE(WIFSTOPPED(status));
    ::kill(-running.parent, SIGCONT);  // as a shell's fg does
    CHECK(next_line(running.output.get()) == "after");
    CHECK(running.finish().code == 6);
  }
}

TEST_CASE("ignored signals stay ignored in the command, blocked ones blocked, others do not") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    ::signal(SIGUSR2, SIG_IGN);
    ::signal(SIGCHLD, SIG_IGN);  // must not lose the exit status
    sigset_t blocked;
    sigset_t before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGURG);
    ::sigprocmask(SIG_BLOCK, &blocked, &before);
    SandboxPlan plan = probe([] {
      sigset_t mask;
      ::sigprocmask(SIG_SETMASK, nullptr, &mask);
      struct sigaction action = {};
      ::sigaction(SIGUSR2, nullptr, &action);
      if (action.sa_handler != SIG_IGN) return 1;
      ::sigaction(SIGUSR1, nullptr, &action);
      if (action.sa_handler != SIG_DFL) return 2;
      for (int number = 1; number < 32; ++number) {
        if (sigismember(&mask, number) != (number == SIGURG ? 1 : 0)) return 10 + number;
      }
      return 4;
    });
    Pipe result;
    Pipe output;
    pid_t parent = ::fork();
    if (parent == 0) {
      ::dup2(output.write.get(), 1);
      output = {};
      be_parent(plan, user, go_and_wait, result.write.get());
    }
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    ::signal(SIGUSR2, SIG_DFL);
    ::signal(SIGCHLD, SIG_DFL);
    result.write.reset();
    output.write.reset();
    Outcome outcome;
    outcome.out = read_all(output.read.get());
    parse(read_all(result.read.get()), outcome);
    ::waitpid(parent, nullptr, 0);
    INFO(describe(outcome));
    CHECK(outcome.code == 4);
  }
}

TEST_CASE("a terminal's Ctrl-Z and Ctrl-C act as if nono were not there") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    REQUIRE(master);
    REQUIRE(::grantpt(master.get()) == 0);
    REQUIRE(::unlockpt(master.get()) == 0);
    std::string name = ::ptsname(master.get());
    REQUIRE(::chown(name.c_str(), user.uid, user.uid) == 0);
    Pipe events;
    pid_t leader = ::fork();
    if (leader == 0) {
      lead_session(name, user, master, events);
    }
    events.write.reset();
    std::string seen;
    while (seen.find("up") == std::string::npos) {
      char byte = 0;
      if (::read(master.get(), &byte, 1) != 1) break;
      seen += byte;
    }
    REQUIRE(seen.find("up") != std::string::npos);
    write_all(master.get(), "\x1a");
    CHECK(next_line(events.read.get()) == "stopped");
    write_all(master.get(), "\x03");
    std::string next = next_line(events.read.get());
    // A second stop may have been on its way when the first was seen.
    if (next == "stopped") {
      write_all(master.get(), "\x03");
      next = next_line(events.read.get());
    }
    CHECK(next == "ended 130");
    ::waitpid(leader, nullptr, 0);
  }
}

TEST_CASE("killed at any moment, parent, launcher or pid 1 take everything with them") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    for (int round = 0; round < 24; ++round) {
      std::string seconds = unique_number();
      Running running = launch(shell("setsid sleep " + seconds + " & sleep " + seconds), user);
      std::this_thread::sleep_for(std::chrono::microseconds(400 * (round / 3)));
      // From the parent downwards, as far as the chain stands yet.
      pid_t victim = running.parent;
      for (int depth = 0; depth < round % 3; ++depth) {
        std::string name = std::to_string(victim);
        std::string child = read_text("/proc/" + name + "/task/" + name + "/children");
        if (child.empty()) break;
        victim = std::stoi(child);
      }
      ::kill(victim, SIGKILL);
      // The output ends when the last process of the sandbox has.
      running.input.reset();
      read_all(running.output.get());
      Outcome outcome;
      parse(read_all(running.result.get()), outcome);
      ::waitpid(running.parent, nullptr, 0);
      INFO(round << " " << describe(outcome));
      CHECK_FALSE(outcome.ok);
      CHECK(eventually([&] { return !lives(seconds); }));
    }
  }
}

TEST_CASE("the command can signal, trace or limit nobody outside") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    pid_t tests = ::getpid();
    Outcome outcome =
        run(probe([tests] {
              int done = 0;
              done += ::kill(tests, 0) == 0 ? 1 : 0;
              done += ::kill(1, SIGTERM) == 0 ? 2 : 0;
              done += ::kill(1, SIGKILL) == 0 ? 2 : 0;
              done += ::syscall(SYS_prlimit64, tests, RLIMIT_NOFILE, nullptr, nullptr) == 0 ? 4 : 0;
              done += ::syscall(SYS_ptrace, 16 /* ATTACH */, 1, 0, 0) == 0 ? 8 : 0;
              done += ::getppid() > 1 ? 16 : 0;
              return done;
            }),
            user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("signalling its own process group does not end the parent") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Outcome outcome =
        launch(shell("trap '' USR1; kill -USR1 0; kill -KILL 0; exit 1"), user).finish();
    INFO(describe(outcome));
    CHECK(outcome.code == 128 + SIGKILL);
  }
}

TEST_CASE("shared memory and message queues are its own") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    int id = ::shmget(0x6e6f6e6f, 4096, IPC_CREAT | 0666);
    REQUIRE(id >= 0);
    Outcome outcome = run(probe([] { return ::shmget(0x6e6f6e6f, 4096, 0) < 0 ? 0 : 1; }), user);
    ::shmctl(id, IPC_RMID, nullptr);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("a sandbox inside the sandbox is refused with a reason") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Outcome outcome = run(probe([] {
                            Result<std::unique_ptr<SandboxChannel>> inner = start(shell("true"));
                            if (inner) return 1;
                            write_all(1, inner.error().what + "\n" + inner.error().fix + "\n");
                            return inner.error().code == ErrorCode::not_supported ? 0 : 2;
                          }),
                          user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
    CHECK(outcome.out.find("surrounding container or sandbox") != std::string::npos);
  }
}
