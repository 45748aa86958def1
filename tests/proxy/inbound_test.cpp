#include <netinet/in.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <thread>

#include "tests/proxy/fixture.hpp"

namespace nono::test {

namespace {

// Stands in for a sandbox: sockets of this machine's own network.
class SocketsHere final : public InnerSockets {
 public:
  enum class Mood : std::uint8_t { gives, refuses, gives_none, is_over };
  explicit SocketsHere(Mood mood) : mood_(mood) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("pipe");
    read_ = UniqueFd(ends[0]);
    write_ = UniqueFd(ends[1]);
  }
  bool ask(bool v6) override {
    if (mood_ == Mood::refuses) return false;
    asked_.push_back(v6);
    [[maybe_unused]] const ssize_t told = ::write(write_.get(), "x", 1);
    return true;
  }
  Taken take() override {
    if (mood_ == Mood::is_over) return {Taken::State::over, {}};
    if (asked_.empty()) return {};
    char byte = 0;
    [[maybe_unused]] const ssize_t got = ::read(read_.get(), &byte, 1);
    const int family = asked_.front() ? AF_INET6 : AF_INET;
    asked_.erase(asked_.begin());
    if (mood_ == Mood::gives_none) return {Taken::State::none, {}};
    return {Taken::State::one,
            UniqueFd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))};
  }
  int fd() const override { return read_.get(); }

 private:
  Mood mood_;
  UniqueFd read_, write_;
  std::vector<bool> asked_;
};

Proxy::Setup leading_to(std::uint16_t port, SocketsHere::Mood mood = SocketsHere::Mood::gives) {
  Proxy::Setup setup;
  setup.rules = allowing({});
  setup.inner_sockets = std::make_shared<SocketsHere>(mood);
  setup.inner_port = port;
  return setup;
}

void echo(Client& connection) {
  connection.send(connection.receive_until("\n"));
}

}  // namespace

TEST_CASE("a connection to a listen port reaches the server inside, and is recorded") {
  Origin origin(echo);
  Proxy proxy(leading_to(origin.port()));
  {
    Client client = proxy.connect_inward();
    client.send("there and back\n");
    CHECK(client.receive_all() == "there and back\n");
  }
  proxy.stop();
  const std::vector<audit::Record> records = proxy.records();
  REQUIRE(records.size() == 2);
  CHECK(records[0].way == audit::Way::inbound);
  CHECK(records[0].allowed);
  CHECK(records[0].because.rule == "--listen-port " + std::to_string(origin.port()));
  CHECK(records[1].bytes_to_client == 15);
}

TEST_CASE("many connections wait for their sockets at once, and each gets its own") {
  Origin origin(echo);
  Proxy proxy(leading_to(origin.port()));
  std::vector<Client> clients;
  for (int i = 0; i < 50; ++i) clients.push_back(proxy.connect_inward());
  for (int i = 0; i < 50; ++i) clients[static_cast<std::size_t>(i)].send(std::to_string(i) + "\n");
  for (int i = 0; i < 50; ++i) {
    CHECK(clients[static_cast<std::size_t>(i)].receive_all() == std::to_string(i) + "\n");
  }
}

TEST_CASE("where nothing listens inside, or no socket can be had, the connection is broken off") {
  std::uint16_t nobody = 0;
  {
    Origin gone(echo);
    nobody = gone.port();
  }
  using Mood = SocketsHere::Mood;
  for (const Mood mood : {Mood::gives, Mood::refuses, Mood::gives_none, Mood::is_over}) {
    Proxy proxy(leading_to(nobody, mood));
    CHECK(proxy.connect_inward().reset_by_peer());
    proxy.stop();
    const std::vector<audit::Record> records = proxy.records();
    REQUIRE(records.size() == 2);
    CHECK(records[1].because.reason == Reason::upstream_failed);
  }
}

}  // namespace nono::test
