// Unix sockets inside: between the command's own programs, to what is granted, and to nothing else
// of the host's.

#include <sys/un.h>

#include "sandbox/linux/landlock.hpp"
#include "sandbox/linux/seccomp.hpp"
#include "sandbox/linux/socket_survey.hpp"
#include "sandbox/linux/uapi.hpp"
#include "tests/sandbox/bpf_interpreter.hpp"
#include "tests/sandbox/harness.hpp"

#include <linux/audit.h>
#include <sys/syscall.h>

using namespace nono;
using namespace nono::sandbox;
using namespace nono::sandbox::test;

namespace {

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

// A listener of the host's that notes whether anybody came.
class HostSocket {
 public:
  HostSocket(std::string path, User user, int type = SOCK_STREAM) : path_(std::move(path)) {
    socket_ = UniqueFd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address = address_of(path_);
    if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        (type != SOCK_DGRAM && ::listen(socket_.get(), 8) != 0) ||
        ::chown(path_.c_str(), user.uid, user.uid) != 0) {
      throw std::runtime_error("socket " + path_);
    }
  }
  ~HostSocket() { ::unlink(path_.c_str()); }
  HostSocket(const HostSocket&) = delete;
  HostSocket& operator=(const HostSocket&) = delete;

  const std::string& path() const { return path_; }
  bool was_reached() const { return UniqueFd(::accept(socket_.get(), nullptr, nullptr)).valid(); }

 private:
  std::string path_;
  UniqueFd socket_;
};

// 0 where the connection stood, otherwise errno.
int connect_to(const std::string& path, int type = SOCK_STREAM) {
  UniqueFd socket(::socket(AF_UNIX, type, 0));
  if (!socket) return errno;
  sockaddr_un address = address_of(path);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return errno;
  }
  return ::send(socket.get(), "x", 1, MSG_NOSIGNAL) == 1 ? 0 : errno;
}

SandboxPlan inside(std::function<int()> function) {
  SandboxPlan plan = probe(std::move(function));
  plan.unix_sockets = UnixSockets::inside;
  return plan;
}

// Listens, connects to itself and carries a byte.
int talk_to_oneself(const std::string& path, int type) {
  UniqueFd listener(::socket(AF_UNIX, type, 0));
  sockaddr_un address = address_of(path);
  if (!listener) return 1;
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 2;
  if (::listen(listener.get(), 1) != 0) return 3;
  UniqueFd client(::socket(AF_UNIX, type, 0));
  if (::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 4;
  UniqueFd server(::accept(listener.get(), nullptr, nullptr));
  char byte = 0;
  if (!server || ::send(client.get(), "y", 1, 0) != 1) return 5;
  return ::recv(server.get(), &byte, 1, 0) == 1 && byte == 'y' ? 0 : 6;
}

}  // namespace

TEST_CASE("with Unix sockets inside, stream and seqpacket ones can be made, datagram ones cannot") {
  const std::vector<sock_filter> filter = build_filter({.unix_sockets = true});
  auto ask = [&](std::uint64_t type) {
    seccomp_data data = {};
#if defined(__x86_64__)
    data.arch = AUDIT_ARCH_X86_64;
#else
    data.arch = AUDIT_ARCH_AARCH64;
#endif
    data.nr = SYS_socket;
    data.args[0] = AF_UNIX;
    data.args[1] = type;
    return interpret(filter, data);
  };
  const std::uint32_t refused = SECCOMP_RET_ERRNO | EPERM;
  CHECK(ask(SOCK_STREAM) == SECCOMP_RET_ALLOW);
  CHECK(ask(SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK) == SECCOMP_RET_ALLOW);
  CHECK(ask(SOCK_DGRAM) == refused);
  CHECK(ask(SOCK_DGRAM | SOCK_CLOEXEC) == refused);
  CHECK(ask(SOCK_RAW) == refused);  // the kernel makes a datagram socket of it
  CHECK(ask(0) == refused);
}

TEST_CASE("the command's own Unix sockets work in private and granted directories") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    for (Network network : {Network::blocked, Network::proxied, Network::open}) {
      for (const std::string& path : {std::string("/tmp/own.sock"), place / "own.sock"}) {
        for (int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
          SandboxPlan plan = inside([&] { return talk_to_oneself(path, type); });
          plan.network = network;
          plan.grants.push_back({place.path(), true, true, true});
          Outcome outcome = run(plan, user);
          INFO(describe(outcome));
          CHECK(outcome.code == 0);
          ::unlink((place / "own.sock").c_str());
        }
      }
    }
  }
}

TEST_CASE("no socket of the host's can be reached, wherever it lies and however it is named") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory granted(user, public_place());
    Directory readable(user, public_place());
    Directory hidden(user, public_place());
    Directory temporary(user, "/tmp");
    make_directory(granted / "deep/er", user);
    std::vector<std::unique_ptr<HostSocket>> sockets;
    for (const std::string& path :
         {granted / "a", granted / "deep/er/b", readable / "c", hidden / "d", temporary / "e"}) {
      sockets.push_back(std::make_unique<HostSocket>(path, user));
    }
    std::filesystem::create_symlink(hidden / "d", granted / "link");
    for (Network network : {Network::blocked, Network::open}) {
      SandboxPlan plan = inside([&] {
        int reached = 0;
        for (const auto& socket : sockets) {
          reached += connect_to(socket->path()) == 0 ? 1 : 0;
          reached += connect_to("/proc/self/root" + socket->path()) == 0 ? 1 : 0;
          int fd = ::open(socket->path().c_str(), O_PATH);
          reached += connect_to("/proc/self/fd/" + std::to_string(fd)) == 0 ? 1 : 0;
        }
        reached += connect_to(granted / "link") == 0 ? 1 : 0;
        // Moved with its directory, removed or replaced.
        (void)::rename((granted / "deep").c_str(), (granted / "moved").c_str());
        reached += connect_to(granted / "moved/er/b") == 0 ? 1 : 0;
        (void)::rename((granted / "moved").c_str(), (granted / "deep").c_str());
        (void)::link((granted / "a").c_str(), (granted / "hard").c_str());
        reached += connect_to(granted / "hard") == 0 ? 1 : 0;
        (void)::unlink((granted / "a").c_str());
        return reached;
      });
      plan.network = network;
      plan.grants.push_back({granted.path(), true, true, true});
      plan.grants.push_back({readable.path(), true, false, true});
      Outcome outcome = run(plan, user);
      INFO(describe(outcome));
      CHECK(outcome.code == 0);
      for (const auto& socket : sockets) {
        INFO(socket->path());
        CHECK(std::filesystem::is_socket(socket->path()));
        CHECK_FALSE(socket->was_reached());
      }
    }
  }
}

TEST_CASE("a socket that the host's list gives no place for is found in a granted directory") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory granted(user, public_place());
    // Bound by a relative name, the host's list does not say where it is.
    std::filesystem::path before = std::filesystem::current_path();
    std::filesystem::current_path(granted.path());
    HostSocket relative("relative.sock", user);
    std::filesystem::current_path(before);
    const std::string path = granted / "relative.sock";
    SandboxPlan plan = inside([&] { return connect_to(path) == 0 ? 1 : 0; });
    plan.grants.push_back({granted.path(), true, true, true});
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
    CHECK_FALSE(relative.was_reached());
  }
}

TEST_CASE("the host's abstract and datagram sockets cannot be reached") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::string name = "nono-test-" + std::to_string(::getpid()) + std::to_string(user.uid);
    name.copy(address.sun_path + 1, sizeof address.sun_path - 1);
    REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    Directory granted(user, public_place());
    HostSocket datagram(granted / "log", user, SOCK_DGRAM);
    for (Network network : {Network::blocked, Network::open}) {
      SandboxPlan plan = inside([&] {
        UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
        if (!socket) return 1;
        if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
          return 2;
        }
        if (connect_to(granted / "log", SOCK_DGRAM) == 0) return 3;
        return ::socket(AF_UNIX, SOCK_DGRAM, 0) >= 0 ? 4 : 0;
      });
      plan.network = network;
      plan.grants.push_back({granted.path(), true, true, true});
      Outcome outcome = run(plan, user);
      INFO(describe(outcome));
      CHECK(outcome.code == 0);
    }
  }
}

TEST_CASE("a granted socket can be reached, and no other") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    Directory temporary(user, "/tmp");
    HostSocket wanted(place / "wanted", user);
    HostSocket other(place / "other", user);
    HostSocket in_tmp(temporary / "wanted", user);
    for (bool around : {false, true}) {
      SandboxPlan plan = inside([&] {
        int code = 0;
        code += connect_to(wanted.path()) == 0 ? 0 : 1;
        code += connect_to(in_tmp.path()) == 0 ? 0 : 2;
        code += connect_to(other.path()) == 0 ? 4 : 0;
        return code;
      });
      if (around) plan.grants.push_back({place.path(), true, true, true});
      for (const std::string& path : {wanted.path(), in_tmp.path()}) {
        FsGrant grant{path, true, false, false};
        grant.socket = true;
        plan.grants.push_back(grant);
      }
      Outcome outcome = run(plan, user);
      INFO(around << describe(outcome));
      CHECK(outcome.code == 0);
      CHECK(wanted.was_reached());
      CHECK(in_tmp.was_reached());
      CHECK_FALSE(other.was_reached());
    }
  }
}

TEST_CASE("places where host programs make sockets at any time are refused with Unix sockets") {
  if (landlock_abi() >= 9) {
    WARN("skipped by name: this kernel tells the sandbox's sockets from others");
    return;
  }
  for (const char* path : {"/", "/run", "/run/systemd", "/tmp", "/var", "/home/u", "/home"}) {
    SandboxPlan plan;
    plan.unix_sockets = UnixSockets::inside;
    plan.network = Network::blocked;
    plan.env = {"HOME=/home/u"};
    plan.grants.push_back({path, true, false, true});
    Result<SocketSurvey> survey = survey_sockets(plan, 7);
    INFO(path);
    REQUIRE_FALSE(survey);
    CHECK(survey.error().code == ErrorCode::not_supported);
    CHECK(survey.error().what.find(std::string("'") + path + "'") != std::string::npos);
    CHECK(survey.error().fix.find("--allow-unix-socket") != std::string::npos);
  }
  SandboxPlan open;
  open.unix_sockets = UnixSockets::inside;
  open.network = Network::open;
  CHECK_FALSE(survey_sockets(open, 5));
  CHECK(survey_sockets(open, 6));
}

TEST_CASE("with Unix sockets inside, only what is granted shows of the host's other trees") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    write_text(place / "file", "content", user);
    Directory beside(user, public_place());
    SandboxPlan plan = shell("cat " + place / "file" + "; ls -d " + beside.path() +
                             "; ls -A /home /srv /root; readlink /var/run; echo x > /var/made; "
                             "echo t > /tmp/t && cat /tmp/t; test -d /var/tmp && echo here");
    plan.unix_sockets = UnixSockets::inside;
    plan.grants.push_back({place.path(), true, false, true});
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.out.find("content") == 0);
    CHECK(outcome.out.find("t\nhere\n") != std::string::npos);
    CHECK(outcome.out.find(beside.path() + "\n") == std::string::npos);
    CHECK(outcome.out.find("cannot create /var/made") != std::string::npos);
    if (std::filesystem::is_symlink("/var/run")) {
      CHECK(outcome.out.find("/run\n") != std::string::npos);
    }
  }
}
