// Connections that go elsewhere than to the proxy: which are caught, and what they are seen as.

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

#include "tests/sandbox/harness.hpp"

using namespace nono;
using namespace nono::sandbox;
using namespace nono::sandbox::test;

namespace {

struct Target {
  const char* address;
  std::uint16_t port;
};

sockaddr_storage socket_address(Target target, socklen_t& size) {
  sockaddr_storage storage = {};
  if (std::string(target.address).find(':') == std::string::npos) {
    auto& in = reinterpret_cast<sockaddr_in&>(storage);
    in.sin_family = AF_INET;
    in.sin_port = htons(target.port);
    ::inet_pton(AF_INET, target.address, &in.sin_addr);
    size = sizeof in;
  } else {
    auto& in6 = reinterpret_cast<sockaddr_in6&>(storage);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(target.port);
    ::inet_pton(AF_INET6, target.address, &in6.sin6_addr);
    size = sizeof in6;
  }
  return storage;
}

UniqueFd connect_to(Target target) {
  socklen_t size = 0;
  const sockaddr_storage address = socket_address(target, size);
  UniqueFd socket(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) return {};
  return socket;
}

int connect_error(Target target) {
  return connect_to(target) ? 0 : errno;
}

// What the listener's side of a connection says that it is: "192.0.2.9:5432".
std::string own_address(int socket) {
  sockaddr_in6 own = {};
  socklen_t size = sizeof own;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &size);
  std::array<char, INET6_ADDRSTRLEN> text = {};
  const bool v6 = own.sin6_family == AF_INET6;
  const void* from =
      v6 ? static_cast<const void*>(&own.sin6_addr) : &reinterpret_cast<sockaddr_in&>(own).sin_addr;
  ::inet_ntop(own.sin6_family, from, text.data(), text.size());
  return std::string(text.data()) + " " + std::to_string(ntohs(own.sin6_port));
}

// Tells each connection what it is seen as, until the command has ended.
Result<ExitStatus> tell_destinations(SandboxChannel& channel) {
  SandboxSockets sockets = channel.take_sockets();
  if (Result<void> gone = channel.go(); !gone) return fail(gone.error());
  for (;;) {
    std::vector<pollfd> polls = {{channel.ended_fd(), POLLIN, 0}};
    for (const UniqueFd& listener : sockets.captured) polls.push_back({listener.get(), POLLIN, 0});
    if (::poll(polls.data(), polls.size(), 20'000) <= 0) return fail(ErrorCode::internal, "hangs");
    for (std::size_t i = 1; i < polls.size(); ++i) {
      UniqueFd accepted(::accept(polls[i].fd, nullptr, nullptr));
      if (accepted) write_all(accepted.get(), own_address(accepted.get()));
    }
    if (polls[0].revents != 0) return channel.wait();
  }
}

// Inside: what the parent saw of a connection to there; "refused" where it was.
std::string seen_as(Target target) {
  const UniqueFd socket = connect_to(target);
  if (!socket) return errno == ECONNREFUSED ? "refused" : std::to_string(errno);
  return read_all(socket.get());
}

// Inside: prints what is not as expected; the number of such places.
int expect(std::initializer_list<std::pair<Target, const char*>> wanted) {
  int wrong = 0;
  for (const auto& [target, seen] : wanted) {
    const std::string got = seen_as(target);
    if (got == seen) continue;
    write_all(1, std::string(target.address) + ": " + got + ", not " + seen + "\n");
    ++wrong;
  }
  return wrong;
}

UniqueFd listen_on(Target target) {
  socklen_t size = 0;
  const sockaddr_storage address = socket_address(target, size);
  UniqueFd socket(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) return {};
  if (::listen(socket.get(), 4) != 0) return {};
  return socket;
}

}  // namespace

TEST_CASE("listed ports are caught at every address, and all others refused") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    SandboxPlan plan = probe([] {
      return expect({{{"192.0.2.9", 443}, "::ffff:192.0.2.9 443"},
                     {{"198.18.0.1", 5432}, "::ffff:198.18.0.1 5432"},
                     {{"2001:db8::9", 443}, "2001:db8::9 443"},
                     {{"::ffff:192.0.2.9", 443}, "::ffff:192.0.2.9 443"},
                     {{"127.0.0.1", 443}, "::ffff:127.0.0.1 443"},
                     {{"192.0.2.9", 80}, "refused"},
                     {{"2001:db8::9", 80}, "refused"},
                     {{"192.0.2.9", 3128}, "refused"}});
    });
    plan.capture.ports = {Port(443), Port(5432)};
    const Outcome outcome = run(plan, user, tell_destinations);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("more ports than descriptors fit into one message are caught") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    SandboxPlan plan = probe([] {
      int wrong = 0;
      for (int port = 2000; port < 2100; ++port) {
        const std::string seen = seen_as({"192.0.2.9", static_cast<std::uint16_t>(port)});
        wrong += seen == "::ffff:192.0.2.9 " + std::to_string(port) ? 0 : 1;
      }
      return wrong;
    });
    for (int port = 2000; port < 2100; ++port) {
      plan.capture.ports.emplace_back(static_cast<std::uint16_t>(port));
    }
    const Outcome outcome = run(plan, user, tell_destinations);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("with redirection every port is caught, but none of loopback's") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    SandboxPlan plan = probe([] {
      return expect({{{"192.0.2.9", 1}, "192.0.2.9 1"},
                     {{"192.0.2.9", 443}, "192.0.2.9 443"},
                     {{"192.0.2.9", 65535}, "192.0.2.9 65535"},
                     {{"192.0.2.9", 3128}, "192.0.2.9 3128"},
                     {{"2001:db8::9", 22}, "2001:db8::9 22"},
                     {{"::ffff:192.0.2.9", 22}, "192.0.2.9 22"},
                     {{"192.0.2.9", 53}, "192.0.2.9 53"},
                     {{"127.0.0.1", 443}, "refused"},
                     {{"127.9.9.9", 443}, "refused"},
                     {{"::1", 443}, "refused"}});
    });
    plan.capture.all_ports = AllPorts::required;
    const Outcome outcome = run(plan, user, tell_destinations);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("the command's own servers on loopback work although every port is redirected") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    SandboxPlan plan = probe([] {
      int wrong = 0;
      for (const Target place : {Target{"127.0.0.1", 8080}, Target{"127.1.2.3", 443 + 8000},
                                 Target{"::1", 8080}, Target{"0.0.0.0", 5000}}) {
        const UniqueFd server = listen_on(place);
        if (!server) return 100;
        const Target to = place.port == 5000 ? Target{"127.0.0.1", place.port}
                                             : Target{place.address, place.port};
        const UniqueFd client = connect_to(to);
        const UniqueFd accepted(client ? ::accept(server.get(), nullptr, nullptr) : -1);
        if (!accepted) {
          ++wrong;
          continue;
        }
        write_all(accepted.get(), "own");
        char text[4] = {};
        wrong +=
            ::recv(client.get(), text, 3, MSG_WAITALL) == 3 && std::string(text) == "own" ? 0 : 1;
      }
      return wrong;
    });
    plan.capture.all_ports = AllPorts::required;
    const Outcome outcome = run(plan, user, tell_destinations);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("ports for loopback are listened on beside redirection") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    SandboxPlan plan = probe([] {
      return expect({{{"127.0.0.1", 8000}, "::ffff:127.0.0.1 8000"},
                     {{"::1", 8000}, "::1 8000"},
                     {{"192.0.2.9", 8000}, "192.0.2.9 8000"},
                     {{"127.0.0.1", 8001}, "refused"}});
    });
    plan.capture.all_ports = AllPorts::required;
    plan.capture.loopback_ports = {Port(8000)};
    const Outcome outcome = run(plan, user, tell_destinations);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("large answers and many connections come through redirection whole") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    SandboxPlan plan = probe([] {
      for (int i = 0; i < 300; ++i) {
        if (seen_as({"192.0.2.9", 9999}) != "192.0.2.9 9999") return 1;
      }
      return 0;
    });
    plan.capture.all_ports = AllPorts::required;
    const Outcome outcome = run(plan, user, tell_destinations);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("DNS sockets are handed over, and the answer comes from the address that was asked") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    for (AllPorts all : {AllPorts::off, AllPorts::required}) {
      SandboxPlan plan = probe([] {
        int wrong = 0;
        for (const char* server : {"10.255.255.53", "127.0.0.53", "2001:db8::53"}) {
          socklen_t size = 0;
          const sockaddr_storage to = socket_address({server, 53}, size);
          UniqueFd socket(::socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
          const timeval patience = {5, 0};
          ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
          // A connected socket takes answers from that address alone.
          ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), size);
          char text[8] = {};
          if (::send(socket.get(), "ask", 3, 0) != 3 || ::recv(socket.get(), text, 8, 0) != 3) {
            wrong += 1;
          }
          if (connect_error({server, 53}) != 0) wrong += 100;
        }
        return wrong;
      });
      plan.capture.dns = true;
      plan.capture.all_ports = all;
      const auto echo = [](SandboxChannel& channel) -> Result<ExitStatus> {
        SandboxSockets sockets = channel.take_sockets();
        if (!sockets.dns_udp || !sockets.dns_tcp) return fail(ErrorCode::internal, "no DNS");
        const int on = 1;
        ::setsockopt(sockets.dns_udp.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
        if (Result<void> gone = channel.go(); !gone) return fail(gone.error());
        for (;;) {
          pollfd polls[] = {{channel.ended_fd(), POLLIN, 0}, {sockets.dns_udp.get(), POLLIN, 0}};
          if (::poll(polls, 2, 20'000) <= 0) return fail(ErrorCode::internal, "hangs");
          if (polls[0].revents != 0) return channel.wait();
          std::array<char, 64> data;
          alignas(cmsghdr) std::array<char, 128> control;
          sockaddr_in6 peer = {};
          iovec part = {data.data(), data.size()};
          msghdr message = {&peer, sizeof peer, &part, 1, control.data(), control.size(), 0};
          part.iov_len = static_cast<std::size_t>(::recvmsg(sockets.dns_udp.get(), &message, 0));
          // From the address that was asked, by whatever interface.
          in6_pktinfo asked = {};
          cmsghdr* header = CMSG_FIRSTHDR(&message);
          std::memcpy(&asked, CMSG_DATA(header), sizeof asked);
          asked.ipi6_ifindex = 0;
          std::memcpy(CMSG_DATA(header), &asked, sizeof asked);
          ::sendmsg(sockets.dns_udp.get(), &message, 0);
        }
      };
      const Outcome outcome = run(plan, user, echo);
      INFO(describe(outcome));
      CHECK(outcome.code == 0);
    }
  }
}

TEST_CASE("datagrams to any other port are refused at once, IPv6 too") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    SandboxPlan plan = probe([] {
      int wrong = 0;
      for (const Target to :
           {Target{"192.0.2.9", 443}, Target{"2001:db8::9", 443}, Target{"127.0.0.1", 5353}}) {
        socklen_t size = 0;
        const sockaddr_storage address = socket_address(to, size);
        UniqueFd socket(::socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        const timeval patience = {5, 0};
        ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size);
        char byte = 0;
        ::send(socket.get(), "x", 1, 0);
        if (::recv(socket.get(), &byte, 1, 0) >= 0 || errno != ECONNREFUSED) ++wrong;
      }
      return wrong;
    });
    plan.capture.dns = true;
    plan.capture.all_ports = AllPorts::required;
    const Outcome outcome = run(plan, user, tell_destinations);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}

TEST_CASE("a socket made inside reaches the command's server from outside") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    for (const bool v6 : {false, true}) {
      SandboxPlan plan = probe([v6] {
        const UniqueFd server = listen_on({v6 ? "::1" : "127.0.0.1", 3000});
        const UniqueFd started = connect_to({"192.0.2.9", 443});  // says that it listens
        UniqueFd accepted(::accept(server.get(), nullptr, nullptr));
        write_all(accepted.get(), "dev server");
        return 0;
      });
      plan.capture.ports = {Port(443)};
      std::string got;
      const auto drive = [v6](SandboxChannel& channel) -> Result<ExitStatus> {
        SandboxSockets sockets = channel.take_sockets();
        if (Result<void> gone = channel.go(); !gone) return fail(gone.error());
        pollfd started = {sockets.captured[0].get(), POLLIN, 0};
        ::poll(&started, 1, 10'000);
        if (!channel.ask_for_inner_socket(v6)) return fail(ErrorCode::internal, "cannot ask");
        pollfd answer = {channel.inner_sockets_fd(), POLLIN, 0};
        ::poll(&answer, 1, 10'000);
        SandboxChannel::InnerSocket inner = channel.take_inner_socket();
        if (inner.state != SandboxChannel::InnerSocket::State::one) {
          return fail(ErrorCode::internal, "no socket");
        }
        ::fcntl(inner.socket.get(), F_SETFL, 0);
        socklen_t size = 0;
        const sockaddr_storage to = socket_address({v6 ? "::1" : "127.0.0.1", 3000}, size);
        if (::connect(inner.socket.get(), reinterpret_cast<const sockaddr*>(&to), size) != 0) {
          return fail(ErrorCode::internal, "cannot connect");
        }
        if (read_all(inner.socket.get()) != "dev server") return fail(ErrorCode::internal, "text");
        return channel.wait();
      };
      const Outcome outcome = run(plan, user, drive);
      INFO(describe(outcome));
      CHECK(outcome.code == 0);
    }
  }
}

TEST_CASE("asking for sockets loses nothing of how the command ended") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    const Outcome outcome =
        run(shell("exit 7"), user, [](SandboxChannel& channel) -> Result<ExitStatus> {
          if (Result<void> gone = channel.go(); !gone) return fail(gone.error());
          for (int i = 0; i < 20; ++i) channel.ask_for_inner_socket(false);
          pollfd ended = {channel.ended_fd(), POLLIN, 0};
          ::poll(&ended, 1, 10'000);
          while (channel.take_inner_socket().state != SandboxChannel::InnerSocket::State::over) {
          }
          return channel.wait();
        });
    INFO(describe(outcome));
    CHECK(outcome.code == 7);
  }
}
