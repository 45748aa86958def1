#include <fmt/format.h>
#include <sys/socket.h>
#include <catch2/catch.hpp>

#include <array>
#include <future>

#include "proxy/request.hpp"
#include "tests/proxy/fixture.hpp"

namespace nono::test {

namespace {

constexpr std::string_view key = "sk-live-4f9d2c7ab81e63055TheRealOne";

LoadedCredential credential_for(std::uint16_t port) {
  LoadedCredential credential;
  credential.route.name = "vendor";
  credential.route.tls = false;
  credential.route.upstream = *parse_host_port(fmt::format("127.0.0.1:{}", port));
  credential.route.injection.header = "Authorization";
  credential.route.injection.format = "Bearer {}";
  credential.secret = Secret(key);
  credential.phantom = make_phantom("");
  return credential;
}

struct Vendor {
  explicit Vendor(std::uint16_t port, std::chrono::milliseconds idle = std::chrono::seconds(10))
      : credential(credential_for(port)), proxy(setup(idle)) {}
  Proxy::Setup setup(std::chrono::milliseconds idle) const {
    Proxy::Setup made;
    made.rules = allowing({"127.0.0.0/8:*"});
    made.limits.idle_time_max = idle;
    made.credentials.push_back(credential_for(credential.route.upstream->port.value()));
    made.credentials.front().phantom = credential.phantom;
    return made;
  }
  std::string request(std::string_view fields = "") const {
    return fmt::format("GET /vendor/x HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {}\r\n{}\r\n",
                       credential.phantom, fields);
  }
  LoadedCredential credential;
  Proxy proxy;
};

constexpr std::string_view upgrade =
    "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";

}  // namespace

TEST_CASE("a key that the upstream repeats in an interim response does not reach the client") {
  std::string seen;
  Origin origin([&](Client& connection) {
    seen = connection.receive_until("\r\n\r\n");
    connection.send(
        fmt::format("HTTP/1.1 103 {0}\r\nLink: <{0}>\r\n\r\n"
                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                    key));
  });
  const Vendor vendor(origin.port());
  Client client = vendor.proxy.connect();
  const std::string got = client.exchange(vendor.request("Connection: close\r\n"));
  REQUIRE(seen.find(key) != std::string::npos);
  REQUIRE(got.find("HTTP/1.1 103 ") != std::string::npos);
  REQUIRE(got.find("HTTP/1.1 200 ") != std::string::npos);
  REQUIRE(got.find(key) == std::string::npos);
}

TEST_CASE("a key that the upstream repeats in a WebSocket does not reach the client") {
  std::string seen;
  Origin origin([&](Client& connection) {
    seen = connection.receive_until("\r\n\r\n");
    connection.send(
        fmt::format("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                    "X-Echo: {0}\r\n\r\n\x81{1}{0}",
                    key, static_cast<char>(key.size())));
    connection.receive_all();
  });
  const Vendor vendor(origin.port());
  Client client = vendor.proxy.connect();
  const std::string got = client.exchange(vendor.request(upgrade));
  REQUIRE(seen.find(key) != std::string::npos);
  REQUIRE(seen.find("permessage-deflate") == std::string::npos);
  REQUIRE(got.find("HTTP/1.1 101 ") != std::string::npos);
  REQUIRE(got.find(std::string(key.size(), '*')) != std::string::npos);
  REQUIRE(got.find(key) == std::string::npos);
}

TEST_CASE("an upgraded connection whose client has ended its side ends when idle") {
  std::promise<void> over;
  Origin origin([held = over.get_future().share()](Client& connection) {
    connection.receive_until("\r\n\r\n");
    connection.send("HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    held.wait();  // neither speaks nor closes
  });
  Vendor vendor(origin.port(), std::chrono::milliseconds(300));
  Client client = vendor.proxy.connect();
  client.send(vendor.request(upgrade));
  client.receive_until("\r\n\r\n");
  client.finish_sending();
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(8);
  while (vendor.proxy.records().size() < 2 && std::chrono::steady_clock::now() < limit)
    std::this_thread::yield();
  over.set_value();
  REQUIRE(vendor.proxy.records().size() == 2);
  REQUIRE(vendor.proxy.records()[1].kind == audit::Kind::end);
}

TEST_CASE("a client that leaves while it waits for the answer ends the exchange upstream") {
  std::promise<std::string> rest;
  Origin origin([&](Client& connection) {
    connection.receive_until("\r\n\r\n");
    rest.set_value(connection.receive_all());  // returns only when the proxy lets go
  });
  Proxy::Setup setup;
  setup.rules = allowing({"127.0.0.0/8:*"});
  Proxy proxy(std::move(setup));
  {
    Client client = proxy.connect();
    client.send(fmt::format("GET http://127.0.0.1:{0}/ HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n\r\n",
                            origin.port()));
    while (origin.connections() == 0) std::this_thread::yield();
  }
  const auto done = rest.get_future();
  REQUIRE(done.wait_for(std::chrono::seconds(8)) == std::future_status::ready);
  proxy.stop();
  const std::vector<audit::Record> records = proxy.records();
  REQUIRE(records.size() == 2);
  REQUIRE(records[0].allowed);
  REQUIRE(records[1].kind == audit::Kind::end);
  REQUIRE(records[1].detail == "the client left before it was answered");
  REQUIRE(proxy.refusals().empty());
  REQUIRE(origin.connections() == 1);  // not tried again
}

TEST_CASE("a kept TLS upstream with an end behind its last bytes is not used again") {
  net::io_context context;
  Deadlines deadlines(context.get_executor());
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  UniqueFd peer(ends[1]);
  auto stream =
      std::make_unique<TcpStream>(TcpSocket(context, net::ip::tcp::v4(), ends[0]), deadlines);
  const HostPort target = *parse_host_port("api.example:443");
  Upstream upstream;
  upstream.tcp = stream.get();
  upstream.stream = std::move(stream);
  upstream.target = target;
  upstream.tls = true;
  REQUIRE(upstream.usable_for(target, true));
  REQUIRE_FALSE(upstream.usable_for(target, false));
  REQUIRE(::send(peer.get(), "ticket", 6, 0) == 6);
  REQUIRE(upstream.usable_for(target, true));
  peer.reset();
  REQUIRE_FALSE(upstream.usable_for(target, true));
}

}  // namespace nono::test
