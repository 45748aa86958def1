// The only way out of a proxied sandbox is the listener that the parent was handed.

#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include "tests/sandbox/harness.hpp"

using namespace nono;
using namespace nono::sandbox;
using namespace nono::sandbox::test;

namespace {

sockaddr_in loopback(std::uint16_t port, std::uint32_t address = INADDR_LOOPBACK) {
  sockaddr_in result = {};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  result.sin_addr.s_addr = htonl(address);
  return result;
}

template <class Address>
int connect_to(int socket, const Address& address) {
  return ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// A canary on the host's loopback: nothing from a closed sandbox may ever reach it.
class Canary {
 public:
  explicit Canary(int type) : socket_(::socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = loopback(0);
    ::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    if (type == SOCK_STREAM) ::listen(socket_.get(), 16);
    socklen_t size = sizeof address;
    ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    type_ = type;
  }
  std::uint16_t port() const { return port_; }
  bool was_hit() const {
    if (type_ == SOCK_STREAM) return UniqueFd(::accept(socket_.get(), nullptr, nullptr)).valid();
    char byte = 0;
    return ::recv(socket_.get(), &byte, 1, 0) >= 0;
  }

 private:
  UniqueFd socket_;
  std::uint16_t port_ = 0;
  int type_ = 0;
};

int tcp_error(std::uint16_t port, std::uint32_t address = INADDR_LOOPBACK) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM, 0));
  return connect_to(socket.get(), loopback(port, address)) == 0 ? 0 : errno;
}

}  // namespace

TEST_CASE("a listener on the host's loopback is refused to the command") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    for (Network network : {Network::proxied, Network::blocked}) {
      Canary tcp(SOCK_STREAM);
      Canary udp(SOCK_DGRAM);
      SandboxPlan plan = probe([&] {
        if (tcp_error(tcp.port()) != ECONNREFUSED) return 1;
        UniqueFd datagram(::socket(AF_INET, SOCK_DGRAM, 0));
        sockaddr_in to = loopback(udp.port());
        ::sendto(datagram.get(), "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
        UniqueFd fast(::socket(AF_INET, SOCK_STREAM, 0));
        sockaddr_in there = loopback(tcp.port());
        ::sendto(fast.get(), "x", 1, MSG_FASTOPEN, reinterpret_cast<sockaddr*>(&there),
                 sizeof there);
        return 0;
      });
      plan.network = network;
      Outcome outcome = run(plan, user);
      INFO(describe(outcome));
      CHECK(outcome.code == 0);
      CHECK_FALSE(tcp.was_hit());
      CHECK_FALSE(udp.was_hit());
    }
  }
}

TEST_CASE("any other address is refused at once, IPv6 too") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Outcome outcome = run(
        probe([] {
          if (tcp_error(443, 0x08080808) != ECONNREFUSED) return 1;
          if (tcp_error(80, 0xa9fea9fe) != ECONNREFUSED) return 2;
          UniqueFd six(::socket(AF_INET6, SOCK_STREAM, 0));
          if (!six) return 0;
          sockaddr_in6 address = {};
          address.sin6_family = AF_INET6;
          address.sin6_port = htons(443);
          ::inet_pton(AF_INET6, "2001:db8::1", &address.sin6_addr);
          if (connect_to(six.get(), address) == 0) return 3;
          return errno == ECONNREFUSED || errno == EADDRNOTAVAIL || errno == ENETUNREACH ? 0 : 4;
        }),
        user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE(
    "the proxy's listener is handed to the parent and reachable from inside, at its address "
    "alone") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    SandboxPlan plan = probe([] {
      if (tcp_error(3129) != ECONNREFUSED) return 1;
      if (tcp_error(3128, 0x08080808) != ECONNREFUSED) return 2;
      UniqueFd socket(::socket(AF_INET, SOCK_STREAM, 0));
      if (connect_to(socket.get(), loopback(3128)) != 0) return 3;
      char text[6] = {};
      return ::recv(socket.get(), text, 5, MSG_WAITALL) == 5 && std::string(text) == "hello" ? 0
                                                                                             : 4;
    });
    Outcome outcome = run(plan, user, [](SandboxChannel& channel) -> Result<ExitStatus> {
      SandboxSockets sockets = channel.take_sockets();
      if (!sockets.proxy) return fail(ErrorCode::internal, "no listener");
      if (Result<void> gone = channel.go(); !gone) return fail(gone.error());
      pollfd wait = {sockets.proxy.get(), POLLIN, 0};
      ::poll(&wait, 1, 10'000);
      UniqueFd connection(::accept(sockets.proxy.get(), nullptr, nullptr));
      if (!connection) return fail(ErrorCode::internal, "nothing to accept");
      write_all(connection.get(), "hello");
      return channel.wait();
    });
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("the proxy's port is the plan's, and cannot be taken over by the command") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    SandboxPlan plan = probe([] {
      UniqueFd socket(::socket(AF_INET, SOCK_STREAM, 0));
      int one = 1;
      ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
      ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
      sockaddr_in address = loopback(8181);
      if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0)
        return 1;
      if (errno != EADDRINUSE) return 2;
      address = loopback(0);  // other ports are its own
      return ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0
                                                                                              : 3;
    });
    plan.proxy.http = Port(8181);
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("a blocked network hands out no listener and refuses the proxy's port") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    SandboxPlan plan = probe([] { return tcp_error(3128) == ECONNREFUSED ? 0 : 1; });
    plan.network = Network::blocked;
    Outcome outcome = run(plan, user, [](SandboxChannel& channel) -> Result<ExitStatus> {
      const SandboxSockets sockets = channel.take_sockets();
      if (sockets.proxy || !sockets.captured.empty()) return fail(ErrorCode::internal, "a listener");
      return go_and_wait(channel);
    });
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("an open network reaches the host's, by internet sockets alone") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Canary tcp(SOCK_STREAM);
    SandboxPlan plan = probe([&] {
      if (tcp_error(tcp.port()) != 0) return 1;
      if (::socket(AF_UNIX, SOCK_STREAM, 0) >= 0) return 2;
      if (::socket(AF_VSOCK, SOCK_STREAM, 0) >= 0) return 3;
      return 0;
    });
    plan.network = Network::open;
    Outcome outcome = run(plan, user, [](SandboxChannel& channel) -> Result<ExitStatus> {
      const SandboxSockets sockets = channel.take_sockets();
      if (sockets.proxy || !sockets.captured.empty()) return fail(ErrorCode::internal, "a listener");
      return go_and_wait(channel);
    });
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
    CHECK(tcp.was_hit());
  }
}

TEST_CASE("no other kind of socket can be made") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Outcome outcome = run(probe([] {
                            int made = 0;
                            for (int family = 0; family < 64; ++family) {
                              if (family == AF_INET || family == AF_INET6 || family == AF_NETLINK)
                                continue;
                              for (int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET}) {
                                made += ::socket(family, type, 0) >= 0 ? 1 : 0;
                              }
                            }
                            for (int family : {AF_INET, AF_INET6}) {
                              made += ::socket(family, SOCK_RAW, IPPROTO_RAW) >= 0 ? 1 : 0;
                              made += ::socket(family, SOCK_STREAM, 262) >= 0 ? 1 : 0;
                              made += ::socket(family, SOCK_DGRAM, IPPROTO_ICMP) >= 0 ? 1 : 0;
                            }
                            for (int protocol : {4, 9, 12, 15, 16}) {
                              made += ::socket(AF_NETLINK, SOCK_RAW, protocol) >= 0 ? 1 : 0;
                            }
                            return made;
                          }),
                          user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("a Unix socket of the host's cannot be reached, even inside a grant") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::string path = place / "s";
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener.get(), 4) == 0);
    REQUIRE(::chmod(path.c_str(), 0777) == 0);
    SandboxPlan plan = probe([&] {
      UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
      if (socket && connect_to(socket.get(), address) == 0) return 1;
      int pair[2];
      return ::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 ? 0 : 2;
    });
    plan.grants.push_back({place.path(), true, true, true});
    Outcome outcome = run(plan, user);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
    CHECK(::accept(listener.get(), nullptr, nullptr) < 0);
  }
}
