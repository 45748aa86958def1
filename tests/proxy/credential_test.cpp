#include <fmt/format.h>
#include <catch2/catch.hpp>

#include <future>
#include <mutex>

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

TEST_CASE("the reverse form never leaves the base path, in no spelling of dots and slashes") {
  std::vector<std::string> lines;
  std::mutex mutex;
  Origin origin([&](Client& connection) {
    const std::string head = connection.receive_until("\r\n\r\n");
    const std::lock_guard lock(mutex);
    lines.push_back(head.substr(0, head.find("\r\n")));
    connection.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
  });
  LoadedCredential credential = credential_for(origin.port());
  credential.route.base_path = "/v1";
  const std::string phantom = credential.phantom;
  Proxy::Setup setup;
  setup.rules = allowing({"127.0.0.0/8:*"});
  setup.credentials.push_back(std::move(credential));
  Proxy proxy(std::move(setup));
  const auto asked = [&](std::string_view path) {
    Client client = proxy.connect();
    return client.exchange(fmt::format("GET /vendor{} HTTP/1.1\r\nHost: p\r\nConnection: close\r\n"
                                       "Authorization: Bearer {}\r\n\r\n",
                                       path, phantom));
  };
  for (const char* path : {"/../etc", "/..", "/a/../../etc", "/%2e%2E/etc", "/.%2e/etc", "/..%2fetc",
                           "/..\\etc", "/%5c..%5cetc", "/a%2fb/../../etc", "/a/../.././x?y=/../a"}) {
    CAPTURE(path);
    CHECK(asked(path).starts_with("HTTP/1.1 400 "));
  }
  CHECK(origin.connections() == 0);
  for (const char* path : {"/a/../b", "/a/..", "", "?x=/../..", "/a%2Fb", "/...", "/a..b/..c"}) {
    CAPTURE(path);
    CHECK(asked(path).starts_with("HTTP/1.1 204 "));
  }
  const std::lock_guard lock(mutex);
  for (const std::string& line : lines) CHECK(line.starts_with("GET /v1"));
}

TEST_CASE("a phantom of another session is refused on its way to anyone, in head and body") {
  Origin origin(serve_http);
  SessionSetup other;
  other.config.name = "other";
  other.config.network = allowing({"127.0.0.0/8:*"});
  other.credentials.push_back(credential_for(origin.port()));
  const std::string phantom = other.credentials.front().phantom;
  other.token = Secret("another-token-0123456789");
  Proxy::Setup setup;
  setup.rules = allowing({"127.0.0.0/8:*"});
  setup.sessions.push_back(std::move(other));
  Proxy proxy(std::move(setup));
  const std::string begin =
      fmt::format(" http://127.0.0.1:{0}/ HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n", origin.port());
  Client head = proxy.connect();
  CHECK(head.exchange("GET" + begin + "X-Data: " + phantom + "\r\n\r\n")
            .starts_with("HTTP/1.1 403 "));
  Client body = proxy.connect();
  const std::string sent =
      fmt::format("POST{}Content-Length: {}\r\n\r\n{}", begin, phantom.size(), phantom);
  CHECK(body.exchange(sent).starts_with("HTTP/1.1 403 "));
  // What only looks like one is no secret of anybody's.
  Client fine = proxy.connect();
  CHECK(fine.exchange("GET" + begin + "X-Data: " + make_phantom("") + "\r\n\r\n")
            .starts_with("HTTP/1.1 200 "));
}

}  // namespace nono::test
