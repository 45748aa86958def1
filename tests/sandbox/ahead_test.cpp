// The sandbox's processes begun before there is a plan.

#include "sandbox/ahead.hpp"

#include <sys/prctl.h>

#include <csignal>
#include <sstream>

#include "sandbox/linux/launcher.hpp"
#include "tests/sandbox/harness.hpp"

namespace nono::sandbox::test {
namespace {

constexpr const char* kinds[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};

std::string namespace_of(const std::string& kind) {
  return std::filesystem::read_symlink("/proc/self/ns/" + kind).string();
}

std::vector<std::string> own_namespaces() {
  std::vector<std::string> all;
  for (const char* kind : kinds) all.push_back(namespace_of(kind));
  return all;
}

SandboxPlan usual(SandboxPlan plan) {
  plan.capture.all_ports = AllPorts::automatic;
  plan.capture.dns = true;
  return plan;
}

// Prints the namespaces that it is in, a line each, and its pid.
constexpr const char* prints_namespaces =
    "for kind in user mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$kind; done; echo $$";

bool has_all(const SandboxSockets& sockets) {
  return sockets.proxy && sockets.dns_udp && sockets.dns_tcp && !sockets.captured.empty() &&
         sockets.all_ports;
}

bool exists(pid_t pid) {
  return ::kill(pid, 0) == 0 || errno != ESRCH;
}

Ahead begin_as(pid_t& launcher) {
  Ahead ahead = Ahead::begin();
  launcher = ahead.begun() == nullptr ? 0 : ahead.begun()->pid();
  return ahead;
}

// True where every port can be redirected, with or without something begun ahead.
bool can_redirect(User user) {
  SandboxPlan plan = usual(probe([] { return 0; }));
  plan.capture.all_ports = AllPorts::required;
  const Outcome outcome = run(plan, user);
  if (outcome.ok) return true;
  WARN("skipped by name: a sandbox begun ahead for uid " << user.uid << ": " << outcome.error);
  return false;
}

// 0 where there is none, or more than one.
pid_t only_child() {
  std::ifstream list("/proc/thread-self/children");
  pid_t first = 0;
  pid_t second = 0;
  list >> first;
  return list >> second ? 0 : first;
}

Error wrong(const std::string& what) {
  return {Side::self, ErrorCode::internal, what, {}};
}

}  // namespace

TEST_CASE("a sandbox begun ahead has namespaces of its own, every socket, and what its plan says") {
  for (User user : users()) {
    if (!can_sandbox(user) || !can_redirect(user)) return;
    pid_t launcher = 0;
    const auto begin = [&launcher] { return begin_as(launcher); };
    const auto drive = [&](SandboxChannel& channel) -> Result<ExitStatus> {
      if (!has_all(channel.take_sockets())) return fail(wrong("a socket is missing"));
      if (launcher <= 0 || !channel.is_ours(launcher)) return fail(wrong("another launcher"));
      return go_and_wait(channel);
    };
    const Outcome outcome = run(usual(shell(prints_namespaces)), user, drive, begin);
    INFO(describe(outcome));
    CHECK(outcome.ok);
    CHECK(outcome.code == 0);
    std::istringstream lines(outcome.out);
    std::string line;
    for (const std::string& outside : own_namespaces()) {
      REQUIRE(std::getline(lines, line));
      CHECK(line != outside);
      CHECK(line.substr(0, line.find('[')) == outside.substr(0, outside.find('[')));
    }
    REQUIRE(std::getline(lines, line));
    CHECK(line == "2");
  }
}

TEST_CASE("a plan for processes begun ahead arrives whole") {
  SandboxPlan plan = usual(shell("echo \"$TEXT\" | wc -c; pwd; test -r /etc/shells || echo no"));
  plan.env.push_back("TEXT=" + std::string(100'000, 'x'));
  plan.cwd = "/usr";
  plan.denies.push_back({"/etc/shells", "a test", false});
  pid_t launcher = 0;
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    const Outcome outcome = run(plan, user, go_and_wait, [&] { return begin_as(launcher); });
    INFO(describe(outcome));
    CHECK(outcome.out == "100001\n/usr\nno\n");
  }
}

TEST_CASE("what is begun ahead holds nothing that was open before") {
  const UniqueFd canary(::open("/etc/passwd", O_RDONLY));
  const Ahead ahead = Ahead::begin();
  REQUIRE(ahead.begun() != nullptr);
  const std::string descriptors = "/proc/" + std::to_string(ahead.begun()->pid()) + "/fd";
  // In the end the ways to us and to pid 1 alone, what it makes in its own network, and the user's
  // terminal where there is one.
  CHECK(eventually([&] {
    std::error_code error;
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(descriptors, error)) {
      ++count;
      const std::string what = std::filesystem::read_symlink(entry.path(), error).string();
      const bool terminal = what.starts_with("/dev/pts/") || what.starts_with("/dev/ptmx");
      if (!what.starts_with("socket:") && !what.starts_with("pipe:") && !terminal) return false;
    }
    return count > 0;
  }));
}

TEST_CASE("where what is begun ahead was killed nothing runs, and it is said") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    const auto begin = [] {
      pid_t launcher = 0;
      Ahead ahead = begin_as(launcher);
      ::kill(launcher, SIGKILL);
      siginfo_t ended;
      ::waitid(P_PID, static_cast<id_t>(launcher), &ended, WEXITED | WNOWAIT);
      return ahead;
    };
    const Outcome outcome = run(usual(shell("echo ran")), user, go_and_wait, begin);
    INFO(describe(outcome));
    CHECK_FALSE(outcome.ok);
    CHECK(outcome.error_code == ErrorCode::io);
    CHECK(outcome.error.find("a process of it ended early") != std::string::npos);
    CHECK(outcome.out.empty());
  }
}

TEST_CASE("a plan that is too long for processes begun ahead is run by others") {
  const Outcome outcome = run(
      [] {
        SandboxPlan plan = usual(shell("echo $#"));
        for (int i = 0; i < 90; ++i) plan.argv.emplace_back(std::size_t{100'000}, 'x');
        return plan;
      }(),
      users().front(), go_and_wait, [] { return Ahead::begin(); });
  INFO(describe(outcome));
  // More than execve(2) takes: what counts is that it was asked.
  CHECK(outcome.problem.find("Argument list too long") != std::string::npos);
}

TEST_CASE("what was begun ahead is ended where the plan is not one for it") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    for (const Network network : {Network::open, Network::blocked}) {
      pid_t launcher = 0;
      const auto begin = [&launcher] {
        ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);  // what nobody else reaps comes here
        return begin_as(launcher);
      };
      const auto drive = [&](SandboxChannel& channel) -> Result<ExitStatus> {
        if (launcher <= 0 || exists(launcher)) return fail(wrong("the first is still there"));
        if (!channel.is_ours(only_child())) return fail(wrong("not the new launcher alone"));
        return go_and_wait(channel);
      };
      SandboxPlan plan = usual(probe([network, host = namespace_of("net")] {
        return (namespace_of("net") == host) == (network == Network::open) ? 0 : 1;
      }));
      plan.network = network;
      const Outcome outcome = run(plan, user, drive, begin);
      INFO(describe(outcome));
      CHECK(outcome.ok);
      CHECK(outcome.code == 0);
    }
  }
}

TEST_CASE("what a terminal sent before there was a plan does not reach the command") {
  std::optional<PlanLine> line = PlanLine::make();
  REQUIRE(line);
  const SandboxPlan plan = usual(shell("true"));
  const Prepared told(plan);
  sigset_t stop;
  sigset_t before;
  sigset_t pending;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTSTP);
  ::sigprocmask(SIG_BLOCK, &stop, &before);
  ::raise(SIGTSTP);
  ::sigpending(&pending);
  CHECK(sigismember(&pending, SIGTSTP) == 1);
  AwaitedPlan awaited(*line);
  CHECK_FALSE(awaited.plan().capture.every_port_known);
  line->know_every_port();
  awaited.look();
  CHECK(awaited.plan().capture.every_port_known);
  Prepared heard(awaited.plan());
  REQUIRE(line->tell(to_bytes(told)));
  CHECK(awaited.wait(heard));
  CHECK(heard.plan.argv == plan.argv);
  ::sigpending(&pending);
  CHECK(sigismember(&pending, SIGTSTP) == 0);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("what is begun ahead does not outlive who asked for it") {
  Pipe told;
  const pid_t asker = ::fork();
  if (asker == 0) {
    pid_t launcher = 0;
    const Ahead ahead = begin_as(launcher);
    write_all(told.write.get(), std::to_string(launcher));
    ::kill(::getpid(), SIGKILL);
  }
  told.write.reset();
  ::waitpid(asker, nullptr, 0);
  const std::string text = read_all(told.read.get());
  REQUIRE_FALSE(text.empty());
  const pid_t launcher = std::stoi(text);
  CHECK(launcher > 0);
  CHECK(eventually([&] { return !exists(launcher); }));
}

}  // namespace nono::sandbox::test
