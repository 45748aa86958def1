// Ways past the supervisor of the notify backend: all are closed, and stay closed when it dies.

#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <linux/vm_sockets.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "sandbox/linux/uapi.hpp"
#include "tests/sandbox/notify_fixture.hpp"

using namespace nono;
using namespace nono::sandbox;
using namespace nono::sandbox::test;

namespace {

const std::string somewhere = "198.51.100.7";
constexpr std::uint16_t canary_port = 4433;
constexpr std::chrono::seconds race_time{3};

int make_socket(int family, int type, int protocol = 0) {
  return UniqueFd(::socket(family, type, protocol)) ? 0 : -1;
}

void try_sockets(Expectations& expect) {
  constexpr int mptcp = 262;
  constexpr int smc = 256;
  constexpr int udp_lite = 136;
  for (int family : {AF_INET, AF_INET6}) {
    expect.fails("UDP", make_socket(family, SOCK_DGRAM), EPERM);
    expect.fails("UDP-Lite", make_socket(family, SOCK_DGRAM, udp_lite), EPERM);
    expect.fails("MPTCP", make_socket(family, SOCK_STREAM, mptcp), EPROTONOSUPPORT);
    expect.fails("SMC", make_socket(family, SOCK_STREAM, smc), EPROTONOSUPPORT);
    expect.fails("SCTP", make_socket(family, SOCK_SEQPACKET, IPPROTO_SCTP), EPERM);
    expect.fails("raw", make_socket(family, SOCK_RAW, IPPROTO_ICMP), EPERM);
    expect.fails("ping", make_socket(family, SOCK_DGRAM, IPPROTO_ICMP), EPERM);
  }
  expect.fails("Unix", make_socket(AF_UNIX, SOCK_STREAM), EPERM);
  expect.fails("VSOCK", make_socket(AF_VSOCK, SOCK_STREAM), EAFNOSUPPORT);
  expect.fails("packet", make_socket(AF_PACKET, SOCK_RAW), EAFNOSUPPORT);
  expect.fails("netlink", make_socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC), EPERM);
  std::array<int, 2> pair = {-1, -1};
  expect.fails("datagram pair", ::socketpair(AF_UNIX, SOCK_DGRAM, 0, pair.data()), EPERM);
}

void try_fast_open(Expectations& expect) {
  const AnyAddress to = address_of(somewhere, canary_port);
  UniqueFd socket = tcp_socket(to);
  const int fd = socket.get();
  char byte = 'x';
  iovec data = {&byte, 1};
  mmsghdr messages = {};
  messages.msg_hdr.msg_name = const_cast<sockaddr*>(to.get());
  messages.msg_hdr.msg_namelen = to.size;
  messages.msg_hdr.msg_iov = &data;
  messages.msg_hdr.msg_iovlen = 1;
  expect.fails("sendto", ::sendto(fd, &byte, 1, MSG_FASTOPEN, to.get(), to.size), EOPNOTSUPP);
  expect.fails("sendmsg", ::sendmsg(fd, &messages.msg_hdr, MSG_FASTOPEN), EOPNOTSUPP);
  expect.fails("sendmmsg", ::sendmmsg(fd, &messages, 1, MSG_FASTOPEN), EOPNOTSUPP);
  const int on = 1;
  auto set = [&](int level, int option) { return ::setsockopt(fd, level, option, &on, sizeof on); };
  expect.fails("fast open by connect", set(IPPROTO_TCP, TCP_FASTOPEN_CONNECT), ENOPROTOOPT);
  expect.fails("ULP", set(IPPROTO_TCP, TCP_ULP), ENOPROTOOPT);
  expect.fails("repair", set(IPPROTO_TCP, TCP_REPAIR), ENOPROTOOPT);
  expect.fails("source route", set(IPPROTO_IP, IP_OPTIONS), EPERM);
  expect.fails("another device", set(SOL_SOCKET, SO_BINDTODEVICE), EPERM);
  expect.fails("routing header", set(IPPROTO_IPV6, IPV6_RTHDR), EPERM);
  // Sent without having connected, with an address that TCP does not look at.
  expect.fails("not connected", ::sendto(fd, &byte, 1, MSG_NOSIGNAL, to.get(), to.size), EPIPE);
}

void try_listening(Expectations& expect) {
  const AnyAddress here = address_of("127.0.0.1", 0);
  UniqueFd socket = tcp_socket(here);
  expect.fails("bind", ::bind(socket.get(), here.get(), here.size), EPERM);
  expect.fails("bind, too short", ::bind(socket.get(), here.get(), sizeof(sockaddr_nl)), EINVAL);
  expect.fails("listen", ::listen(socket.get(), 1), EPERM);
  UniqueFd routes(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  sockaddr_nl own = {};
  own.nl_family = AF_NETLINK;
  auto* generic = reinterpret_cast<sockaddr*>(&own);
  expect.equal("getifaddrs' bind", ::bind(routes.get(), generic, sizeof own), 0);
}

void try_kernel(Expectations& expect) {
  expect.fails("io_uring", ::syscall(uapi::sys_io_uring_setup, 1, nullptr), ENOSYS);
  expect.fails("System V", ::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600), EPERM);
  rlimit limit = {};
  expect.fails("limits of others", ::prlimit(::getppid(), RLIMIT_NOFILE, nullptr, &limit), EPERM);
  expect.fails("priority of all", ::setpriority(PRIO_USER, 0, 19), EPERM);
  expect.fails(
      "a listener",
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, nullptr),
      EBUSY);
  expect.fails("owner", ::chown("/etc/passwd", ::getuid(), ::getgid()), EPERM);
  expect.fails("attribute", ::setxattr("/etc/passwd", "user.x", "x", 1, 0), EPERM);
  expect.fails("new namespaces", ::unshare(CLONE_NEWUSER), EPERM);
  expect.fails("signal to the supervisor", ::kill(::getppid(), SIGTERM), EPERM);
  expect.fails("trace the supervisor", ::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr),
               EPERM);
  std::string memory = fmt::format("/proc/{}/mem", ::getppid());
  expect.fails("its memory", ::open(memory.c_str(), O_RDWR | O_CLOEXEC), EACCES);
  memory = fmt::format("/proc/{}/fd/0", ::getppid());
  expect.fails("its descriptors", ::open(memory.c_str(), O_RDONLY | O_CLOEXEC), EACCES);
}

#if defined(__x86_64__)
// connect by the table of 32-bit programs: answered as a call that does not exist.
long call_32_bit(long number) {
  long result = number;
  asm volatile("int $0x80" : "+a"(result) : "b"(-1L) : "memory", "cc", "r8", "r9", "r10", "r11");
  return result;
}
#endif

// Runs `flip` again and again on one thread while another connects with what it flips.
int race(const std::function<void()>& flip, const std::function<bool()>& connect) {
  std::atomic<bool> over = false;
  std::thread flipper([&] {
    while (!over) flip();
  });
  const auto until = std::chrono::steady_clock::now() + race_time;
  int made = 0;
  while (std::chrono::steady_clock::now() < until) {
    if (connect()) ++made;
  }
  over = true;
  flipper.join();
  return made > 100 ? 0 : 1;  // otherwise nothing was shown
}

// This host's canary and a captured place, in turns, in the memory that connect() is given.
int race_address() {
  AnyAddress address = address_of(somewhere, canary_port);
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* shared = reinterpret_cast<volatile std::uint32_t*>(&v4->sin_addr.s_addr);
  const std::uint32_t elsewhere = v4->sin_addr.s_addr;
  return race(
      [&] {
        *shared = htonl(INADDR_LOOPBACK);
        *shared = elsewhere;
      },
      [&] {
        UniqueFd socket = tcp_socket(address_of(somewhere, canary_port));
        return ::connect(socket.get(), address.get(), address.size) == 0;
      });
}

// One number, and in turns a TCP socket, a pipe, and a socket that is connected already.
int race_descriptor() {
  const AnyAddress address = address_of(somewhere, canary_port);
  Pipe pipe;
  UniqueFd number(::fcntl(pipe.read.get(), F_DUPFD_CLOEXEC, 100));
  UniqueFd six = tcp_socket(address_of("2001:db8::5", 1));
  return race(
      [&] {
        UniqueFd fresh = tcp_socket(address);
        ::dup3(fresh.get(), number.get(), O_CLOEXEC);
        ::dup3(pipe.read.get(), number.get(), O_CLOEXEC);
        ::dup3(six.get(), number.get(), O_CLOEXEC);
        ::dup3(fresh.get(), number.get(), O_CLOEXEC);
      },
      [&] { return ::connect(number.get(), address.get(), address.size) == 0; });
}

// A process that outlives the command, in a session of its own, and tries to connect for ever.
// Its id goes to the test through standard output.
int leave_orphan() {
  pid_t orphan = ::fork();
  if (orphan == 0) {
    ::setsid();
    for (;;) {
      ask(somewhere, canary_port);
      ask("127.0.0.1", canary_port);
    }
  }
  write_all(1, fmt::format("{} {}\n", ::getppid(), orphan));
  ::pause();
  return 0;
}

struct Scene {
  pid_t parent = 0;
  pid_t supervisor = 0;
  pid_t orphan = 0;
};

pid_t parent_of(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  std::string word;
  while (file >> word) {
    pid_t parent = 0;
    if (word == "PPid:" && file >> parent) return parent;
  }
  return 0;
}

// P in a process of its own, whose command has left an orphan.
Scene set_scene(User user, Pipe& output) {
  Scene scene;
  scene.parent = ::fork();
  if (scene.parent == 0) {
    ::dup2(output.write.get(), 1);
    Pipe unused;
    be_parent(in_notify(probe(leave_orphan)), user, tell_and_wait, unused.write.get());
  }
  output.write.reset();
  std::string line;
  char byte = 0;
  while (::read(output.read.get(), &byte, 1) == 1 && byte != '\n') line += byte;
  std::istringstream(line) >> scene.supervisor >> scene.orphan;
  return scene;
}

bool gone(pid_t pid) {
  return ::kill(pid, 0) != 0 && errno == ESRCH;
}

}  // namespace

TEST_CASE("every way to a socket past the supervisor is closed") {
  OwnNetwork network;
  if (!network.entered()) return;
  for (User user : users()) {
    OutsideCanary tcp(SOCK_STREAM, canary_port);
    OutsideCanary udp(SOCK_DGRAM, canary_port);
    Outcome outcome = run(in_notify(probe([] {
                            Expectations expect;
                            try_sockets(expect);
                            try_fast_open(expect);
                            try_listening(expect);
                            try_kernel(expect);
                            return expect.count();
                          })),
                          user, tell_and_wait);
    INFO(describe(outcome));
    CHECK(outcome.ok);
    CHECK(outcome.code == 0);
    CHECK(tcp.hits() == 0);
    CHECK(udp.hits() == 0);
  }
}

#if defined(__x86_64__)
TEST_CASE("32-bit system calls are not seen as others") {
  constexpr long connect_32 = 362;
  constexpr long socketcall_32 = 102;
  Outcome outcome = run(in_notify(probe([] {
                          const bool closed = call_32_bit(connect_32) == -ENOSYS &&
                                              call_32_bit(socketcall_32) == -ENOSYS;
                          return closed ? 0 : 1;
                        })),
                        users().back());
  INFO(describe(outcome));
  const bool no_such_table = outcome.signalled && outcome.code == 128 + SIGSEGV;
  CHECK((outcome.code == 0 || no_such_table));
}
#endif

TEST_CASE("changing the address while connecting reaches nothing but what was judged") {
  OwnNetwork network;
  if (!network.entered()) return;
  for (User user : users()) {
    OutsideCanary canary(SOCK_STREAM, canary_port);
    Outcome outcome = run(in_notify(probe(race_address)), user, tell_and_wait);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
    CHECK(canary.hits() == 0);
  }
}

TEST_CASE("changing the descriptor while connecting reaches nothing but what was judged") {
  OwnNetwork network;
  if (!network.entered()) return;
  for (User user : users()) {
    OutsideCanary canary(SOCK_STREAM, canary_port);
    Outcome outcome = run(in_notify(probe(race_descriptor)), user, tell_and_wait);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
    CHECK(canary.hits() == 0);
  }
}

TEST_CASE("whichever process is killed, nothing gets out and nothing lives on") {
  OwnNetwork network;
  if (!network.entered()) return;
  for (User user : users()) {
    for (const char* victim : {"parent", "launcher", "supervisor"}) {
      OutsideCanary canary(SOCK_STREAM, canary_port);
      Pipe output;
      Scene scene = set_scene(user, output);
      INFO(victim << " of uid " << user.uid);
      REQUIRE(scene.orphan > 0);
      const pid_t launcher = parent_of(scene.supervisor);
      REQUIRE(parent_of(launcher) == scene.parent);
      const std::string name = victim;
      ::kill(name == "parent"     ? scene.parent
             : name == "launcher" ? launcher
                                  : scene.supervisor,
             SIGKILL);
      CHECK(eventually([&] { return gone(scene.orphan); }));
      ::waitpid(scene.parent, nullptr, 0);
      CHECK(eventually([&] { return gone(scene.supervisor) && gone(launcher); }));
      CHECK(canary.hits() == 0);
    }
  }
}

TEST_CASE("what the command leaves running ends with it, however it forks") {
  for (User user : users()) {
    Outcome outcome = run(in_notify(probe([] {
                            // Each forks on and ends, so that none is there for long.
                            for (int i = 0; i < 4; ++i) {
                              if (::fork() != 0) continue;
                              ::setsid();
                              while (::fork() <= 0) {
                              }
                              ::_exit(0);
                            }
                            write_all(1, fmt::format("{}", ::getpgrp()));
                            return 5;
                          })),
                          user);
    INFO(describe(outcome));
    CHECK(outcome.code == 5);  // and standard output was closed, or this would not return
  }
}
