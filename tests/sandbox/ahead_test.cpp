// Namespaces and their network made before there is a plan.

#include "sandbox/ahead.hpp"

#include <csignal>

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

SandboxPlan usual_plan(std::function<int()> inside) {
  SandboxPlan plan = probe(std::move(inside));
  plan.capture.all_ports = AllPorts::automatic;
  plan.capture.dns = true;
  return plan;
}

// Inside: the number of namespaces that are the host's, and the pid where it is not the second.
std::function<int()> looks_for_hosts_namespaces() {
  return [outside = own_namespaces()] {
    int same = 0;
    for (std::size_t i = 0; i < outside.size(); ++i) same += outside[i] == namespace_of(kinds[i]);
    return same + (::getpid() == 2 ? 0 : 100);
  };
}

bool has_all(const SandboxSockets& sockets) {
  return sockets.proxy && sockets.dns_udp && sockets.dns_tcp && !sockets.captured.empty() &&
         sockets.all_ports;
}

bool exists(pid_t pid) {
  return ::kill(pid, 0) == 0 || errno != ESRCH;
}

// 0 where there is none.
pid_t maker_of(const Ahead& ahead) {
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(ahead.pidfd()));
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("Pid:")) return std::stoi(line.substr(4));
  }
  return 0;
}

Ahead begin_as(pid_t& maker) {
  Ahead ahead = Ahead::begin();
  maker = maker_of(ahead);
  return ahead;
}

// True where every port can be redirected, with or without something made ahead.
bool can_redirect(User user) {
  SandboxPlan plan = usual_plan([] { return 0; });
  plan.capture.all_ports = AllPorts::required;
  const Outcome outcome = run(plan, user);
  if (outcome.ok) return true;
  WARN("skipped by name: namespaces made ahead for uid " << user.uid << ": " << outcome.error);
  return false;
}

Error wrong(const std::string& what) {
  return {Side::self, ErrorCode::internal, what, {}};
}

}  // namespace

TEST_CASE("a sandbox in namespaces made ahead has all of its own, and every socket") {
  for (User user : users()) {
    if (!can_sandbox(user) || !can_redirect(user)) return;
    pid_t maker = 0;
    const auto begin = [&maker] { return begin_as(maker); };
    const auto drive = [&](SandboxChannel& channel) -> Result<ExitStatus> {
      if (!has_all(channel.take_sockets())) return fail(wrong("a socket is missing"));
      Result<ExitStatus> ended = go_and_wait(channel);
      if (maker <= 0 || exists(maker)) return fail(wrong("what made them is still there"));
      return ended;
    };
    const Outcome outcome = run(usual_plan(looks_for_hosts_namespaces()), user, drive, begin);
    INFO(describe(outcome));
    CHECK(outcome.ok);
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("nothing of the host is held by what makes namespaces ahead") {
  Ahead ahead = Ahead::begin();
  REQUIRE(ahead.begun());
  const std::string descriptors = "/proc/" + std::to_string(maker_of(ahead)) + "/fd";
  const auto held = [&] {
    std::vector<std::string> all;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(descriptors, ignored)) {
      all.push_back(std::filesystem::read_symlink(entry.path(), ignored).string());
    }
    return all;
  };
  // In the end its sockets alone, of which the first leads to us.
  CHECK(eventually([&] {
    const std::vector<std::string> all = held();
    return !all.empty() && std::all_of(all.begin(), all.end(), [](const std::string& what) {
      return what.starts_with("socket:");
    });
  }));
}

TEST_CASE("where what makes namespaces ahead was killed the sandbox makes its own") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    const auto begin = [] {
      Ahead ahead = Ahead::begin();
      const pid_t maker = maker_of(ahead);
      ::kill(maker, SIGKILL);
      siginfo_t ended;
      ::waitid(P_PID, static_cast<id_t>(maker), &ended, WEXITED | WNOWAIT);
      return ahead;
    };
    SandboxPlan plan = shell("echo ran");
    plan.capture.all_ports = AllPorts::automatic;
    plan.capture.dns = true;
    const Outcome outcome = run(plan, user, go_and_wait, begin);
    INFO(describe(outcome));
    CHECK(outcome.ok);
    CHECK(outcome.out == "ran\n");
  }
}

TEST_CASE("what was made ahead is ended where the plan is not one for it") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    for (const Network network : {Network::open, Network::blocked}) {
      pid_t maker = 0;
      const auto begin = [&maker] { return begin_as(maker); };
      const auto drive = [&](SandboxChannel& channel) -> Result<ExitStatus> {
        if (maker <= 0 || exists(maker)) return fail(wrong("what made them is still there"));
        return go_and_wait(channel);
      };
      SandboxPlan plan = usual_plan([network, host = namespace_of("net")] {
        return (namespace_of("net") == host) == (network == Network::open) ? 0 : 1;
      });
      plan.network = network;
      const Outcome outcome = run(plan, user, drive, begin);
      INFO(describe(outcome));
      CHECK(outcome.ok);
      CHECK(outcome.code == 0);
    }
  }
}

TEST_CASE("what makes namespaces ahead does not outlive who asked for them") {
  Pipe told;
  const pid_t asker = ::fork();
  if (asker == 0) {
    const Ahead ahead = Ahead::begin();
    const pid_t maker = maker_of(ahead);
    write_all(told.write.get(), std::to_string(maker));
    ::kill(::getpid(), SIGKILL);
  }
  told.write.reset();
  ::waitpid(asker, nullptr, 0);
  const std::string text = read_all(told.read.get());
  REQUIRE_FALSE(text.empty());
  const pid_t maker = std::stoi(text);
  CHECK(maker > 0);
  CHECK(eventually([&] { return !exists(maker); }));
}

}  // namespace nono::sandbox::test
