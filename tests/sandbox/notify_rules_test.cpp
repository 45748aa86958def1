// The pure parts of the notify backend: its filter in user space, routes, the table of ports.

#include <linux/audit.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "sandbox/linux/notify/loopback_socket.hpp"
#include "sandbox/linux/notify/route.hpp"
#include "sandbox/linux/seccomp.hpp"
#include "sandbox/linux/uapi.hpp"
#include "tests/sandbox/bpf_interpreter.hpp"
#include "tests/sandbox/notify_fixture.hpp"

using namespace nono;
using namespace nono::sandbox;
using nono::sandbox::test::address_of;
using nono::sandbox::test::AnyAddress;
using nono::sandbox::test::interpret;

namespace {

#if defined(__x86_64__)
constexpr std::uint32_t native = AUDIT_ARCH_X86_64;
#else
constexpr std::uint32_t native = AUDIT_ARCH_AARCH64;
#endif
constexpr std::uint32_t allow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t asks = SECCOMP_RET_USER_NOTIF;
constexpr std::uint64_t junk = 0xdeadbeef00000000;

std::uint32_t error(int value) {
  return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(value);
}

using Arguments = std::array<std::uint64_t, 6>;

std::uint32_t ask(const NotifyRules& rules, long number, Arguments arguments = {}) {
  FilterOptions options;
  options.free_internet_sockets = rules.connecting == Connecting::free;
  options.notify = rules;
  seccomp_data data = {};
  data.arch = native;
  data.nr = static_cast<int>(number);
  for (std::size_t i = 0; i < arguments.size(); ++i) data.args[i] = arguments[i];
  return interpret(build_filter(options), data);
}

const NotifyRules supervised{Connecting::asks, false};

Route route_to(const std::string& address, std::uint16_t port, const RouteTable& table) {
  const AnyAddress any = address_of(address, port);
  return find_route(std::as_bytes(std::span(&any.storage, 1)).first(any.size), table);
}

RouteTable full_table() {
  RouteTable table;
  table.proxy_port = 3128;
  table.proxy_listener = 1001;
  table.dns_listener = 1002;
  table.capture_listener = 1003;
  table.all_ports = true;
  return table;
}

}  // namespace

TEST_CASE("connecting asks the supervisor, is refused or is free, as the network is") {
  CHECK(ask(supervised, SYS_connect) == asks);
  CHECK(ask({Connecting::refused, false}, SYS_connect) == error(ECONNREFUSED));
  CHECK(ask({Connecting::free, false}, SYS_connect) == allow);
  CHECK(ask(supervised, SYS_listen) == error(EPERM));
  CHECK(ask({Connecting::asks, true}, SYS_listen) == asks);
  CHECK(ask({Connecting::free, false}, SYS_listen) == allow);
}

TEST_CASE("binding is refused but for the address of a netlink socket, which is shorter than all") {
  CHECK(ask(supervised, SYS_bind, {3, 0, sizeof(sockaddr_in)}) == error(EPERM));
  CHECK(ask(supervised, SYS_bind, {3, 0, sizeof(sockaddr_in6)}) == error(EPERM));
  CHECK(ask(supervised, SYS_bind, {3, 0, sizeof(sockaddr_nl)}) == allow);
  CHECK(ask({Connecting::asks, true}, SYS_bind, {3, 0, sizeof(sockaddr_in)}) == asks);
  STATIC_REQUIRE(sizeof(sockaddr_nl) < sizeof(sockaddr_in));
}

TEST_CASE("what connects without connect, or leads elsewhere than connect says, is refused") {
  CHECK(ask(supervised, SYS_sendto, {3, 0, 1, MSG_FASTOPEN}) == error(EOPNOTSUPP));
  CHECK(ask(supervised, SYS_sendto, {3, 0, 1, junk | MSG_FASTOPEN | MSG_NOSIGNAL}) ==
        error(EOPNOTSUPP));
  CHECK(ask(supervised, SYS_sendto, {3, 0, 1, MSG_NOSIGNAL}) == allow);
  CHECK(ask(supervised, SYS_sendmsg, {3, 0, MSG_FASTOPEN}) == error(EOPNOTSUPP));
  CHECK(ask(supervised, SYS_sendmmsg, {3, 0, 1, MSG_FASTOPEN}) == error(EOPNOTSUPP));
  for (std::uint64_t option : {TCP_FASTOPEN_CONNECT, TCP_ULP, TCP_REPAIR}) {
    CHECK(ask(supervised, SYS_setsockopt, {3, IPPROTO_TCP, option}) == error(ENOPROTOOPT));
    CHECK(ask(supervised, SYS_setsockopt, {3, junk | IPPROTO_TCP, junk | option}) ==
          error(ENOPROTOOPT));
  }
  CHECK(ask(supervised, SYS_setsockopt, {3, IPPROTO_TCP, TCP_NODELAY}) == allow);
  CHECK(ask(supervised, SYS_setsockopt, {3, IPPROTO_IP, IP_OPTIONS}) == error(EPERM));
  CHECK(ask(supervised, SYS_setsockopt, {3, IPPROTO_IP, IP_TOS}) == allow);
  CHECK(ask(supervised, SYS_setsockopt, {3, IPPROTO_IPV6, IPV6_RTHDR}) == error(EPERM));
  CHECK(ask(supervised, SYS_setsockopt, {3, IPPROTO_IPV6, IPV6_V6ONLY}) == allow);
  CHECK(ask(supervised, SYS_setsockopt, {3, SOL_SOCKET, SO_REUSEADDR}) == allow);
  CHECK(ask(supervised, SYS_setsockopt, {3, SOL_SOCKET, SO_BINDTODEVICE}) == error(EPERM));
}

TEST_CASE("sockets other than plain TCP are refused, and not where the network is open") {
  CHECK(ask(supervised, SYS_socket, {AF_INET, SOCK_STREAM, 0}) == allow);
  CHECK(ask(supervised, SYS_socket, {AF_INET, SOCK_DGRAM, 0}) == error(EPERM));
  CHECK(ask(supervised, SYS_socket, {AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP}) ==
        error(EPERM));
  CHECK(ask({Connecting::free, false}, SYS_socket, {AF_INET, SOCK_DGRAM, 0}) == allow);
  CHECK(ask({Connecting::free, false}, SYS_socket, {AF_UNIX, SOCK_STREAM, 0}) == error(EPERM));
}

TEST_CASE("other processes' limits, shared memory and a second supervisor are out of reach") {
  for (Connecting connecting : {Connecting::asks, Connecting::refused, Connecting::free}) {
    const NotifyRules rules{connecting, false};
    CHECK(ask(rules, SYS_prlimit64, {0}) == allow);
    CHECK(ask(rules, SYS_prlimit64, {1}) == error(EPERM));
    CHECK(ask(rules, SYS_prlimit64, {junk}) == allow);  // the kernel takes 32 bits
    CHECK(ask(rules, SYS_setpriority, {PRIO_PROCESS, 0, 5}) == allow);
    CHECK(ask(rules, SYS_setpriority, {PRIO_PGRP, 0, 5}) == error(EPERM));
    CHECK(ask(rules, SYS_ioprio_set, {3, 0, 0}) == error(EPERM));
    CHECK(ask(rules, SYS_seccomp, {1, SECCOMP_FILTER_FLAG_NEW_LISTENER}) == error(EBUSY));
    CHECK(ask(rules, SYS_seccomp, {1, SECCOMP_FILTER_FLAG_TSYNC}) == allow);
    for (long call : {SYS_shmget, SYS_shmat, SYS_msgget, SYS_msgrcv, SYS_semget, SYS_semop,
                      SYS_fchown, SYS_fchownat, SYS_setxattr, SYS_fremovexattr}) {
      CHECK(ask(rules, call) == error(EPERM));
    }
    CHECK(ask(rules, uapi::sys_io_uring_setup) == error(ENOSYS));
  }
}

TEST_CASE("the filter of the notify backend fits the kernel's limit") {
  FilterOptions options;
  options.notify = supervised;
  CHECK(build_filter(options).size() < 600);
}

TEST_CASE("a route leads to one of our listeners or nowhere") {
  const RouteTable table = full_table();
  CHECK(route_to("192.0.2.1", 443, table).port == 1003);
  CHECK(route_to("2001:db8::1", 443, table).port == 1003);
  CHECK(route_to("127.0.0.1", 3128, table).port == 1001);
  CHECK(route_to("192.0.2.1", 3128, table).port == 1003);  // somebody else's proxy
  CHECK(route_to("192.0.2.1", 53, table).port == 1002);
  for (const char* here : {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::"}) {
    CHECK(route_to(here, 22, table).error == ECONNREFUSED);
    CHECK(route_to(here, 53, table).port == 1002);
  }
  CHECK(route_to("192.0.2.1", 0, table).error == ECONNREFUSED);
  const Route mapped = route_to("::ffff:192.0.2.1", 443, table);
  CHECK(mapped.v6_socket);
  CHECK(mapped.destination.address.to_string() == "192.0.2.1");
}

TEST_CASE("without a listener of its kind a connection is refused") {
  RouteTable table;
  table.all_ports = true;
  CHECK(route_to("192.0.2.1", 443, table).error == ECONNREFUSED);
  CHECK(route_to("192.0.2.1", 53, table).error == ECONNREFUSED);
  CHECK(route_to("127.0.0.1", 0, table).error == ECONNREFUSED);
}

TEST_CASE("an address that is too short for its family is none") {
  const RouteTable table = full_table();
  const AnyAddress v4 = address_of("192.0.2.1", 443);
  const AnyAddress v6 = address_of("2001:db8::1", 443);
  const auto bytes_of = [](const AnyAddress& address) {
    return std::as_bytes(std::span(&address.storage, 1));
  };
  CHECK(find_route(bytes_of(v4).first(0), table).error == EINVAL);
  CHECK(find_route(bytes_of(v4).first(1), table).error == EINVAL);
  CHECK(find_route(bytes_of(v4).first(15), table).error == EINVAL);
  CHECK(find_route(bytes_of(v6).first(23), table).error == EINVAL);
  CHECK(find_route(bytes_of(v6).first(24), table).error == 0);
  CHECK(find_route(bytes_of(AnyAddress{}).first(16), table).error == EAFNOSUPPORT);
}

TEST_CASE("a registered port is taken once, by its own source, from any process") {
  Result<std::shared_ptr<RegisteredPorts>> made = RegisteredPorts::make();
  REQUIRE(made);
  RegisteredPorts& ports = **made;
  const Destination first{*IpAddress::parse("192.0.2.1"), 443};
  const Destination second{*IpAddress::parse("2001:db8::7"), 65535};
  const pid_t child = ::fork();
  if (child == 0) {
    ports.add({INADDR_LOOPBACK, 40000}, first);
    ports.add({INADDR_LOOPBACK, 65535}, second);
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  CHECK_FALSE(ports.take({INADDR_LOOPBACK, 40001}));
  CHECK_FALSE(ports.take({INADDR_LOOPBACK + 1, 40000}));
  CHECK(ports.take({INADDR_LOOPBACK, 40000}) == first);
  CHECK_FALSE(ports.take({INADDR_LOOPBACK, 40000}));
  CHECK(ports.take({INADDR_LOOPBACK, 65535}) == second);
  ports.add({INADDR_LOOPBACK, 0}, first);
  ports.remove({INADDR_LOOPBACK, 0});
  CHECK_FALSE(ports.take({INADDR_LOOPBACK, 0}));

  Result<std::shared_ptr<RegisteredPorts>> expired =
      RegisteredPorts::make(std::chrono::seconds(-1));
  REQUIRE(expired);
  (*expired)->add({INADDR_LOOPBACK, 40000}, first);
  CHECK_FALSE((*expired)->take({INADDR_LOOPBACK, 40000}));
}

TEST_CASE("a port of the next address leaves the connection from the same port before alone") {
  Result<std::shared_ptr<RegisteredPorts>> made = RegisteredPorts::make();
  REQUIRE(made);
  RegisteredPorts& ports = **made;
  LoopbackSources sources;
  const auto bind_one = [&] {
    const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return sources.bind(socket.get(), false);
  };
  const Destination first{*IpAddress::parse("192.0.2.1"), 443};
  const Destination second{*IpAddress::parse("192.0.2.2"), 80};
  std::optional<Source> source = bind_one();
  constexpr int binds_max = 20000;
  for (int change = 0; change < 2; ++change) {
    REQUIRE(source);
    const Source waiting = *source;  // connected, and not accepted yet
    ports.add(waiting, first);
    for (int i = 0; i < binds_max && source && source->address == waiting.address; ++i) {
      source = bind_one();
    }
    REQUIRE(source);
    REQUIRE(source->address != waiting.address);
    const Source next{source->address, waiting.port};
    ports.add(next, second);
    CHECK(ports.take(waiting) == first);
    CHECK(ports.take(next) == second);
  }
}
