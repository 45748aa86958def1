// The notify backend: a supervisor connects in the command's place, to the parent's listeners and
// nowhere else.

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "tests/sandbox/notify_fixture.hpp"

using namespace nono;
using namespace nono::sandbox;
using namespace nono::sandbox::test;

namespace {

const std::string somewhere = "198.51.100.7";

// As the surroundings of a container do: the call is refused.
bool refuse(std::uint32_t call) {
  std::array<sock_filter, 4> code = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  sock_fprog program = {code.size(), code.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

// In a process of its own, whose exit code is the result.
int in_process(const std::function<int()>& body) {
  pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int try_destinations() {
  Expectations expect;
  using Text = std::string;
  expect.equal("IPv4", ask(somewhere, 443), Text("captured 198.51.100.7 443"));
  expect.equal("another port", ask(somewhere, 65535), Text("captured 198.51.100.7 65535"));
  expect.equal("IPv6", ask("2001:db8::5", 80), Text("captured 2001:db8::5 80"));
  expect.equal("mapped", ask("::ffff:198.51.100.7", 80), Text("captured 198.51.100.7 80"));
  expect.equal("DNS", ask("192.0.2.1", 53), Text("dns 192.0.2.1 53"));
  expect.equal("DNS of this host", ask("127.0.0.53", 53), Text("dns 127.0.0.53 53"));
  expect.equal("the proxy", ask("127.0.0.1", 3128), Text("proxy 127.0.0.1 3128"));
  expect.equal("the proxy by IPv6", ask("::1", 3128), Text("proxy ::1 3128"));
  expect.equal("this host", ask("127.0.0.1", 22), Text("ECONNREFUSED"));
  expect.equal("this host by IPv6", ask("::1", 22), Text("ECONNREFUSED"));
  expect.equal("this host, mapped", ask("::ffff:127.0.0.1", 22), Text("ECONNREFUSED"));
  expect.equal("this host, unspecified", ask("0.0.0.0", 22), Text("ECONNREFUSED"));
  expect.equal("this host, unspecified IPv6", ask("::", 22), Text("ECONNREFUSED"));
  expect.equal("port 0", ask(somewhere, 0), Text("ECONNREFUSED"));
  return expect.count();
}

}  // namespace

TEST_CASE("a command runs to its end in the notify backend") {
  for (User user : users()) {
    Outcome outcome = run(in_notify(shell("echo hello; exit 7")), user);
    INFO(describe(outcome));
    CHECK(outcome.code == 7);
    CHECK(outcome.out == "hello\n");
  }
}

TEST_CASE("each connection is led to the listener of its kind and known by its destination") {
  OwnNetwork network;
  if (!network.entered()) return;
  for (User user : users()) {
    OutsideCanary canary(SOCK_STREAM, 443);
    OutsideCanary ssh(SOCK_STREAM, 22);
    Outcome outcome = run(in_notify(probe(try_destinations)), user, tell_and_wait);
    INFO(describe(outcome));
    CHECK(outcome.ok);
    CHECK(outcome.code == 0);
    CHECK(canary.hits() == 0);
    CHECK(ssh.hits() == 0);
  }
}

TEST_CASE("the same where descriptors cannot be duplicated, as in a container") {
  OwnNetwork network;
  if (!network.entered()) return;
  for (User user : users()) {
    OutsideCanary canary(SOCK_STREAM, 443);
    int code = in_process([&] {
      if (!refuse(SYS_pidfd_getfd)) return 98;
      Outcome outcome = run(in_notify(probe([] {
                              int failures = try_destinations();
                              Expectations expect;
                              // The new socket has the old one's flags.
                              const AnyAddress address = address_of(somewhere, 443);
                              UniqueFd socket = tcp_socket(address, SOCK_NONBLOCK);
                              int result = ::connect(socket.get(), address.get(), address.size);
                              expect.fails("without blocking", result, EINPROGRESS);
                              int flags = ::fcntl(socket.get(), F_GETFL);
                              expect.equal("O_NONBLOCK", (flags & O_NONBLOCK) != 0, true);
                              flags = ::fcntl(socket.get(), F_GETFD);
                              expect.equal("FD_CLOEXEC", flags & FD_CLOEXEC, FD_CLOEXEC);
                              return failures + expect.count();
                            })),
                            user, tell_and_wait);
      write_all(2, outcome.ok && outcome.code == 0 ? "" : describe(outcome));
      return outcome.ok ? outcome.code : 97;
    });
    CHECK(code == 0);
    CHECK(canary.hits() == 0);
  }
}

TEST_CASE(
    "a supervisor that may not see what the command asks for stops the run before it begins") {
  for (User user : users()) {
    const int code = in_process([&] {
      if (!refuse(SYS_process_vm_readv)) return 98;
      Outcome outcome = run(in_notify(shell("echo ran")), user);
      write_all(2, outcome.ok ? describe(outcome) : "");
      const bool named = outcome.error.find("process_vm_readv") != std::string::npos;
      return !outcome.ok && named && outcome.out.empty() ? 0 : 1;
    });
    CHECK(code == 0);
  }
}

TEST_CASE("only the ports that are listed are captured where not all are wanted") {
  OwnNetwork network;
  if (!network.entered()) return;
  SandboxPlan plan = in_notify(probe([] {
    Expectations expect;
    expect.equal("listed", ask(somewhere, 443), std::string("captured 198.51.100.7 443"));
    expect.equal("not listed", ask(somewhere, 80), std::string("ECONNREFUSED"));
    expect.equal("open", ask("127.0.0.1", 5432), std::string("captured 127.0.0.1 5432"));
    expect.equal("elsewhere", ask(somewhere, 5432), std::string("ECONNREFUSED"));
    expect.equal("no DNS", ask("192.0.2.1", 53), std::string("ECONNREFUSED"));
    return expect.count();
  }));
  plan.capture = Capture{{Port(443)}, AllPorts::off, {Port(5432)}, false};
  Outcome outcome = run(plan, users().back(), tell_and_wait);
  INFO(describe(outcome));
  CHECK(outcome.code == 0);
}

TEST_CASE("a connection that the supervisor did not make is told from the command's") {
  User user = users().back();
  Outcome outcome = run(in_notify(probe([] { return 0; })), user, [](SandboxChannel& channel) {
    SandboxSockets sockets = channel.take_sockets();
    std::shared_ptr<RegisteredPorts> ports = channel.registered_ports();
    sockaddr_in address = {};
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    ::getsockname(sockets.captured[0].get(), generic, &size);
    UniqueFd stranger(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(stranger.get(), generic, size) != 0) ::_exit(96);
    UniqueFd accepted(::accept(sockets.captured[0].get(), nullptr, nullptr));
    if (!accepted || ports->take_for(accepted.get())) ::_exit(97);
    return go_and_wait(channel);
  });
  INFO(describe(outcome));
  CHECK(outcome.code == 0);
}

TEST_CASE("sockets that do not block behave as ever") {
  OwnNetwork network;
  if (!network.entered()) return;
  Outcome outcome =
      run(in_notify(probe([] {
            Expectations expect;
            const AnyAddress address = address_of(somewhere, 443);
            UniqueFd socket = tcp_socket(address, SOCK_NONBLOCK);
            auto connect = [&] { return ::connect(socket.get(), address.get(), address.size); };
            expect.fails("at first", connect(), EINPROGRESS);
            pollfd poll = {socket.get(), POLLOUT, 0};
            expect.equal("ready", ::poll(&poll, 1, 10'000), 1);
            int error = -1;
            socklen_t size = sizeof error;
            ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
            expect.equal("outcome", error, 0);
            connect();  // the kernel says once that it is done
            expect.fails("again", connect(), EISCONN);
            poll.events = POLLIN;
            ::poll(&poll, 1, 10'000);
            expect.equal("told", read_all(socket.get()), std::string("captured 198.51.100.7 443"));
            int flags = ::fcntl(socket.get(), F_GETFL);
            expect.equal("still does not block", (flags & O_NONBLOCK) != 0, true);
            return expect.count();
          })),
          users().back(), tell_and_wait);
  INFO(describe(outcome));
  CHECK(outcome.code == 0);
}

TEST_CASE("wrong arguments of connect are answered as the kernel answers them") {
  OwnNetwork network;
  if (!network.entered()) return;
  Outcome outcome =
      run(in_notify(probe([] {
            Expectations expect;
            const AnyAddress v4 = address_of(somewhere, 443);
            const AnyAddress v6 = address_of("2001:db8::5", 443);
            UniqueFd socket = tcp_socket(v4);
            int fd = socket.get();
            auto* nowhere = reinterpret_cast<const sockaddr*>(8);
            expect.fails("fault", ::connect(fd, nowhere, 16), EFAULT);
            expect.fails("short", ::connect(fd, v4.get(), 8), EINVAL);
            expect.fails("long", ::connect(fd, v4.get(), 4096), EINVAL);
            expect.fails("family", ::connect(fd, v6.get(), v6.size), EAFNOSUPPORT);
            expect.fails("no descriptor", ::connect(99, v4.get(), 16), EBADF);
            Pipe pipe;
            expect.fails("a pipe", ::connect(pipe.read.get(), v4.get(), 16), ENOTSOCK);
            sockaddr unspecified = {};
            expect.fails("unspecified", ::connect(fd, &unspecified, 16), EAFNOSUPPORT);
            return expect.count();
          })),
          users().back(), tell_and_wait);
  INFO(describe(outcome));
  CHECK(outcome.code == 0);
}

TEST_CASE("twenty thousand connections one after another are all made") {
  OwnNetwork network;
  if (!network.entered()) return;
  Outcome outcome = run(in_notify(probe([] {
                          Expectations expect;
                          for (int i = 0; i < 20'000 && expect.count() == 0; ++i) {
                            auto port = static_cast<std::uint16_t>(1024 + i);
                            const AnyAddress address = address_of(somewhere, port);
                            UniqueFd socket = tcp_socket(address);
                            int made = ::connect(socket.get(), address.get(), address.size);
                            expect.equal(fmt::format("connection {}", i), made, 0);
                          }
                          return expect.count();
                        })),
                        users().back(), tell_and_wait);
  INFO(describe(outcome));
  CHECK(outcome.code == 0);
}

TEST_CASE("the command may listen on the ports that were granted, on loopback, and on no other") {
  OwnNetwork network;
  if (!network.entered()) return;
  for (User user : users()) {
    SandboxPlan plan = in_notify(probe([] {
      Expectations expect;
      auto bind_to = [](const std::string& text, std::uint16_t port) {
        const AnyAddress address = address_of(text, port);
        UniqueFd socket = tcp_socket(address);
        return ::bind(socket.get(), address.get(), address.size);
      };
      expect.fails("another port", bind_to("127.0.0.1", 8081), EACCES);
      expect.fails("any port", bind_to("127.0.0.1", 0), EACCES);
      expect.fails("another address", bind_to(somewhere, 8080), EACCES);
      const AnyAddress any = address_of("0.0.0.0", 8080);
      UniqueFd unbound = tcp_socket(any);
      expect.fails("unbound", ::listen(unbound.get(), 1), EACCES);
      UniqueFd server = tcp_socket(any);
      expect.equal("bind", ::bind(server.get(), any.get(), any.size), 0);
      expect.equal("listen", ::listen(server.get(), 8), 0);
      UniqueFd client(::accept(server.get(), nullptr, nullptr));
      expect.equal("asked", read_all(client.get()), std::string("hello"));
      return expect.count();
    }));
    plan.listen_ports = {Port(8080)};
    Outcome outcome = run(plan, user, [](SandboxChannel& channel) {
      if (!channel.go()) ::_exit(96);
      const AnyAddress here = address_of("127.0.0.1", 8080);
      UniqueFd client;
      eventually([&] {
        client = tcp_socket(here);
        return ::connect(client.get(), here.get(), here.size) == 0;
      });
      write_all(client.get(), "hello");
      client.reset();
      return channel.wait();
    });
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("with the network blocked nothing is reached, and open means open") {
  OwnNetwork network;
  if (!network.entered()) return;
  for (User user : users()) {
    OutsideCanary canary(SOCK_STREAM, 443);
    SandboxPlan blocked = in_notify(probe([] {
      Expectations expect;
      expect.equal("somewhere", ask(somewhere, 443), std::string("ECONNREFUSED"));
      expect.equal("this host", ask("127.0.0.1", 443), std::string("ECONNREFUSED"));
      return expect.count();
    }));
    blocked.network = Network::blocked;
    Outcome outcome = run(blocked, user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
    CHECK(canary.hits() == 0);

    SandboxPlan open = in_notify(probe([] {
      const AnyAddress address = address_of(somewhere, 443);
      UniqueFd socket = tcp_socket(address);
      return ::connect(socket.get(), address.get(), address.size) == 0 ? 0 : 1;
    }));
    open.network = Network::open;
    outcome = run(open, user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
    CHECK(canary.hits() == 1);
  }
}
