// The dialler against real sockets of this machine.

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <optional>
#include <thread>

#include "dns/ares_resolver.hpp"
#include "proxy/dialer.hpp"
#include "proxy/policy/engine.hpp"
#include "tests/proxy/fixture.hpp"
#include "tests/support/fake_dns.hpp"
#include "tests/support/run_coroutine.hpp"

namespace nono::test {

namespace {

using namespace std::chrono_literals;

// A listener on 127.0.0.1, whose backlog the kernel serves.
struct Target {
  Target() : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = static_cast<sockaddr*>(static_cast<void*>(&address));
    REQUIRE(::bind(fd.get(), generic, size) == 0);
    REQUIRE(::listen(fd.get(), 8) == 0);
    REQUIRE(::getsockname(fd.get(), generic, &size) == 0);
    port = ntohs(address.sin_port);
  }
  UniqueFd fd;
  std::uint16_t port = 0;
};

// Dials `host` at `port`, with loopback allowed and names from `dns`.
struct Dialling {
  Result<Dialled> dial_to(const std::string& host, std::uint16_t port, FakeDns* dns = nullptr) {
    const NetworkRules rules = allowing({host + ":" + std::to_string(port)});
    auto engine = policy::Engine::make(rules, {});
    REQUIRE(engine);
    const Decision decision =
        (*engine)->decide(*parse_host_port(host + ":" + std::to_string(port)));
    const Permit* permit = std::get_if<Permit>(&decision);
    REQUIRE(permit != nullptr);
    dns::ResolverOptions options;
    options.hosts_file = "";
    if (dns != nullptr) options.servers = {dns->endpoint()};
    auto resolver = dns::make_resolver(io.get_executor(), options);
    REQUIRE(resolver);
    auto dialled = run_coroutine(io, resolve_and_dial(**resolver, *permit));
    if (after_dial) after_dial();
    return dialled;
  }
  Awaitable<Result<Dialled>> resolve_and_dial(dns::Resolver& resolver, const Permit& permit) {
    const auto deadline = std::chrono::steady_clock::now() + 5s;
    auto vetted = co_await resolver.resolve(permit, deadline);
    if (!vetted) co_return fail(vetted.error());
    if (before_dial) before_dial();
    co_return co_await dial(permit, *vetted, deadlines, 5s);
  }

  net::io_context io{1};
  Deadlines deadlines{io.get_executor()};
  std::function<void()> before_dial, after_dial;
};

// From here on epoll_ctl(2) answers this thread as it does where too many sockets are watched.
bool let_nothing_be_watched() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_ctl, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSPC),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(code)), code};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace

TEST_CASE("a dialled socket is connected, watched, and closed in programs that are started") {
  const Target target;
  Dialling dialling;
  auto dialled = dialling.dial_to("127.0.0.1", target.port);
  REQUIRE(dialled);
  CHECK(dialled->address.to_string() == "127.0.0.1");
  CHECK((::fcntl(dialled->stream->native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
  const UniqueFd accepted(::accept4(target.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(::send(accepted.get(), "hi", 2, MSG_NOSIGNAL) == 2);
  std::string text(10, '\0');
  auto got = run_coroutine(dialling.io, dialled->stream->read_some(text));
  REQUIRE(got);
  CHECK(text.substr(0, *got) == "hi");
}

TEST_CASE("a port where nobody listens is the upstream's failure") {
  std::uint16_t port = 0;
  {
    const Target gone;
    port = gone.port;
  }
  Dialling dialling;
  auto dialled = dialling.dial_to("127.0.0.1", port);
  REQUIRE_FALSE(dialled);
  CHECK(dialled.error().code == ErrorCode::connect_failed);
  CHECK(dialled.error().side == Side::upstream);
}

TEST_CASE("of several addresses the one that answers is taken, and is told") {
  const Target target;  // on 127.0.0.1 alone
  FakeDns dns;
  dns.add_a("several.test", "127.0.0.9");
  dns.add_a("several.test", "127.0.0.1");
  dns.add_a("several.test", "127.0.0.8");
  Dialling dialling;
  auto dialled = dialling.dial_to("several.test", target.port, &dns);
  REQUIRE(dialled);
  CHECK(dialled->address.to_string() == "127.0.0.1");
  CHECK((::fcntl(dialled->stream->native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("where none of several addresses answers the last reason is told") {
  std::uint16_t port = 0;
  {
    const Target gone;
    port = gone.port;
  }
  FakeDns dns;
  dns.add_a("nobody.test", "127.0.0.9");
  dns.add_a("nobody.test", "127.0.0.8");
  Dialling dialling;
  auto dialled = dialling.dial_to("nobody.test", port, &dns);
  REQUIRE_FALSE(dialled);
  CHECK(dialled.error().code == ErrorCode::connect_failed);
  CHECK(dialled.error().what.find("refused") != std::string::npos);
}

TEST_CASE("without a descriptor left the failure is ours, and says what to raise") {
  const Target target;
  FakeDns dns;
  dns.add_a("several.test", "127.0.0.1");
  dns.add_a("several.test", "127.0.0.2");
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  for (const std::string host : {"127.0.0.1", "several.test"}) {
    Dialling dialling;
    dialling.before_dial = [&] {
      rlimit none = before;
      none.rlim_cur = 0;
      ::setrlimit(RLIMIT_NOFILE, &none);
    };
    dialling.after_dial = [&] { ::setrlimit(RLIMIT_NOFILE, &before); };
    auto dialled = dialling.dial_to(host, target.port, &dns);
    REQUIRE_FALSE(dialled);
    CHECK(dialled.error().side == Side::self);
    CHECK(dialled.error().code == ErrorCode::limit);
    CHECK(dialled.error().fix.find("open files") != std::string::npos);
  }
}

TEST_CASE("where no more sockets may be watched the failure is ours, and says what to raise") {
  const Target target;
  FakeDns dns;
  dns.add_a("several.test", "127.0.0.1");
  dns.add_a("several.test", "127.0.0.2");
  for (const std::string host : {"127.0.0.1", "several.test"}) {
    Dialling dialling;
    net::use_service<Poller>(dialling.io);  // as a worker has it
    bool filtered = false;
    dialling.before_dial = [&] { filtered = let_nothing_be_watched(); };
    std::optional<Result<Dialled>> dialled;
    std::thread thread([&] { dialled = dialling.dial_to(host, target.port, &dns); });
    thread.join();  // and its filter is gone
    REQUIRE(filtered);
    REQUIRE_FALSE(*dialled);
    CHECK(dialled->error().side == Side::self);
    CHECK(dialled->error().code == ErrorCode::limit);
    CHECK(dialled->error().fix.find("max_user_watches") != std::string::npos);
  }
}

}  // namespace nono::test
