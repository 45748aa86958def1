#pragma once
// A stub server on a free port of 127.0.0.1 with a real engine as its judge, and a client.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <functional>
#include <map>
#include <optional>
#include <set>

#include "dns/stub_server.hpp"
#include "dns/synthetic_answers.hpp"
#include "dns/vetted_answers.hpp"
#include "tests/dns/fixture.hpp"
#include "tests/dns/wire.hpp"

namespace nono::test {

class RuleJudge final : public dns::NameJudge {
 public:
  explicit RuleJudge(const std::vector<std::string>& allow,
                     const std::vector<std::string>& allow_private = {}) {
    set(allow, allow_private);
  }
  void set(const std::vector<std::string>& allow, const std::vector<std::string>& allow_private) {
    NetworkRules rules;
    rules.mode = NetworkMode::filtered;
    for (const std::string& text : allow) {
      HostRule rule;
      rule.text = text;
      rules.allow.push_back(rule);
    }
    for (const std::string& range : allow_private) {
      rules.allow_private.push_back(Cidr::parse(range).value());
    }
    engine_ = policy::Engine::make(rules, {}).value();
  }
  Decision judge(const HostName& name) override {
    ++judged;
    return engine_->decide(HostPort{name, https_port});
  }
  std::size_t judged = 0;

 private:
  std::shared_ptr<const policy::Engine> engine_;
};

inline UniqueFd bound_socket(int type, const std::string& address, std::uint16_t port = 0) {
  const bool v4 = address.find(':') == std::string::npos;
  UniqueFd fd(::socket(v4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  REQUIRE(fd);
  sockaddr_in6 storage{};
  socklen_t size = v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (v4) {
    auto* to = reinterpret_cast<sockaddr_in*>(&storage);
    to->sin_family = AF_INET;
    to->sin_port = htons(port);
    REQUIRE(::inet_pton(AF_INET, address.c_str(), &to->sin_addr) == 1);
  } else {
    const int off = 0;
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    storage.sin6_family = AF_INET6;
    storage.sin6_port = htons(port);
    REQUIRE(::inet_pton(AF_INET6, address.c_str(), &storage.sin6_addr) == 1);
  }
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), size) == 0);
  if (type == SOCK_STREAM) REQUIRE(::listen(fd.get(), 64) == 0);
  return fd;
}

inline std::uint16_t port_of(int fd) {
  sockaddr_in6 address{};
  socklen_t size = sizeof address;
  REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.sin6_port);  // where sin_port is, too
}

inline UniqueFd connected_socket(int type, const std::string& address, std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  REQUIRE(::inet_pton(AF_INET, address.c_str(), &to.sin_addr) == 1);
  REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  return fd;
}

// Asks through sockets; the server runs on this thread while the client waits.
class StubFixture : public ResolverFixture {
 public:
  RuleJudge judge;
  dns::StubOptions stub;
  std::vector<dns::StubDecision> decisions;
  std::unique_ptr<dns::AnswerSource> source;
  std::unique_ptr<dns::StubServer> stub_server;
  std::string bind_to = "127.0.0.1";
  std::uint16_t udp_port = 0, tcp_port = 0;
  UniqueFd client;

  explicit StubFixture(const std::vector<std::string>& allow = {"www.example.org"},
                       const std::vector<std::string>& allow_private = {})
      : judge(allow, allow_private) {
    // The server's own name servers are fakes on this machine.
    options.query_timeout = 2s;
  }

  void start() {
    if (stub_server) return;
    make();
    if (!source) source = std::make_unique<dns::VettedAnswers>(*resolver);
    stub_server = std::make_unique<dns::StubServer>(
        context.get_executor(), judge, *source, stub,
        [this](const dns::StubDecision& decision) { decisions.push_back(decision); });
    UniqueFd udp = bound_socket(SOCK_DGRAM, bind_to), tcp = bound_socket(SOCK_STREAM, bind_to);
    udp_port = port_of(udp.get());
    tcp_port = port_of(tcp.get());
    REQUIRE(stub_server->serve_udp(std::move(udp)));
    REQUIRE(stub_server->serve_tcp(std::move(tcp)));
    client = connected_socket(SOCK_DGRAM, "127.0.0.1", udp_port);
  }

  // Runs the server until `done`; false when that took 10 s.
  bool run_until(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    context.restart();
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      context.run_one_for(5ms);
    }
    return true;
  }

  void send(const Message& message) {
    start();
    REQUIRE(::send(client.get(), message.data(), message.size(), 0) ==
            static_cast<ssize_t>(message.size()));
  }
  Message receive() {
    Message message(65536);
    ssize_t got = -1;
    const auto arrived = [&] {
      got = ::recv(client.get(), message.data(), message.size(), MSG_DONTWAIT);
      return got >= 0;
    };
    REQUIRE(run_until(arrived));
    message.resize(static_cast<std::size_t>(got));
    return message;
  }
  Reply ask(const Message& message) {
    send(message);
    return reply_of(receive());
  }
  Reply ask(const std::string& name, std::uint16_t type = dns::type_a, bool edns = false) {
    return ask(query_message(name, type, edns));
  }
};

}  // namespace nono::test
