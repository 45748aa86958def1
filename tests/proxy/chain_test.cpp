#include "proxy/chain.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <catch2/catch.hpp>
#include <optional>

#include "config/upstream_proxy.hpp"
#include "tests/proxy/fixture.hpp"
#include "tests/support/fake_dns.hpp"

namespace nono::test {

namespace {

std::string connect_to(std::string_view host) {
  return fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", host);
}

Proxy::Setup chained(std::uint16_t parent, const std::string& user_info = "",
                     const std::vector<std::string>& bypass = {}) {
  Proxy::Setup setup;
  setup.rules = allowing({"allowed.example:*", "direct.example:*"});
  auto proxy =
      parse_upstream_proxy(fmt::format("http://{}127.0.0.1:{}", user_info, parent), bypass);
  REQUIRE(proxy);
  setup.upstream_proxy = std::move(*proxy);
  return setup;
}

}  // namespace

TEST_CASE(
    "a tunnel goes through the upstream proxy, with its credentials, and the name is not looked up "
    "here") {
  std::string asked;
  FakeDns dns;
  {
    Origin parent([&](Client& connection) {
      asked = connection.receive_until("\r\n\r\n");
      connection.send("HTTP/1.1 200 OK\r\nX-Noise: 1\r\n\r\n220 first words");
      connection.receive_all();
    });
    Proxy::Setup setup = chained(parent.port(), "us%65r:p%40ss@");
    setup.dns_servers = {dns.endpoint()};
    Proxy proxy(std::move(setup));
    Client client = proxy.connect();
    client.send(connect_to("allowed.example:2222"));
    REQUIRE(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
    REQUIRE(client.receive(15) ==
            "220 first words");  // what the tunnel brought is the client's, whole
  }
  REQUIRE(
      asked.starts_with("CONNECT allowed.example:2222 HTTP/1.1\r\nHost: allowed.example:2222\r\n"));
  REQUIRE(asked.find("Proxy-Authorization: Basic dXNlcjpwQHNz\r\n") != std::string::npos);
  REQUIRE(dns.queries().empty());
}

TEST_CASE("what the policy refuses never reaches the upstream proxy") {
  Origin parent([](Client& connection) { connection.receive_all(); });
  Proxy proxy(chained(parent.port()));
  Client client = proxy.connect();
  REQUIRE(client.exchange(connect_to("evil.example:443")).starts_with("HTTP/1.1 403 "));
  Client metadata = proxy.connect();
  REQUIRE(metadata.exchange(connect_to("169.254.169.254:80")).starts_with("HTTP/1.1 403 "));
  REQUIRE(parent.connections() == 0);
}

TEST_CASE(
    "an upstream proxy that refuses, wants other credentials or talks nonsense is 502 and says "
    "which") {
  const std::pair<std::string, std::string> answers[] = {
      {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "answered 403"},
      {"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
       "wants other credentials"},
      {"nonsense\r\n\r\n", "malformed"},
      {"", "closed without an answer"},
  };
  for (const auto& [answer, said] : answers) {
    CAPTURE(answer);
    Origin parent([&](Client& connection) {
      connection.receive_until("\r\n\r\n");
      connection.send(answer);
    });
    Proxy proxy(chained(parent.port()));
    Client client = proxy.connect();
    const std::string got = client.exchange(connect_to("allowed.example:443"));
    REQUIRE(got.starts_with("HTTP/1.1 502 "));
    REQUIRE(got.find(said) != std::string::npos);
  }
}

TEST_CASE(
    "plain HTTP goes to the upstream proxy in absolute form, and its credentials only there") {
  std::string asked;
  {
    Origin parent([&](Client& connection) {
      asked = connection.receive_until("\r\n\r\n");
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    Proxy proxy(chained(parent.port(), "user:pass@"));
    Client client = proxy.connect();
    const std::string got = client.exchange(
        "GET http://allowed.example/path?q=1 HTTP/1.1\r\nHost: allowed.example\r\n\r\n");
    REQUIRE(got.ends_with("ok"));
    REQUIRE(got.find("Basic") == std::string::npos);
  }
  REQUIRE(asked.starts_with("GET http://allowed.example/path?q=1 HTTP/1.1\r\n"));
  REQUIRE(asked.find("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n") != std::string::npos);
}

TEST_CASE("an upstream proxy that wants other credentials is no concern of the client's") {
  Origin parent([](Client& connection) {
    connection.receive_until("\r\n\r\n");
    connection.send(
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n"
        "Content-Length: 4\r\n\r\nkeys");
  });
  Proxy proxy(chained(parent.port()));
  Client client = proxy.connect();
  const std::string got =
      client.exchange("GET http://allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\n\r\n");
  CHECK(got.starts_with("HTTP/1.1 502 "));
  CHECK(got.find("wants other credentials") != std::string::npos);
  CHECK(got.find("--upstream-proxy") != std::string::npos);
}

TEST_CASE("a bypassed host is resolved and reached directly") {
  FakeDns dns;
  dns.add_a("direct.example", "127.0.0.1");
  Origin parent([](Client& connection) { connection.receive_all(); });
  Origin origin(serve_http);
  Proxy::Setup setup = chained(parent.port(), "", {"*.other.example", "direct.example"});
  setup.dns_servers = {dns.endpoint()};
  Proxy proxy(std::move(setup));
  Client client = proxy.connect();
  const std::string host = fmt::format("direct.example:{}", origin.port());
  const std::string got =
      client.exchange(fmt::format("GET http://{0}/x HTTP/1.1\r\nHost: {0}\r\n\r\n", host));
  REQUIRE(got.ends_with("GET /x HTTP/1.1"));
  REQUIRE(parent.connections() == 0);
}

TEST_CASE("one nono may be the upstream proxy of another") {
  Origin origin([](Client& connection) { connection.send("hello " + connection.receive(3)); });
  FakeDns dns;
  dns.add_a("allowed.example", "127.0.0.1");
  Proxy::Setup outer;
  outer.rules = allowing({"allowed.example:*"});
  outer.trusted = false;
  outer.dns_servers = {dns.endpoint()};
  Proxy parent(std::move(outer));
  Proxy proxy(chained(parent.port(), std::string("nono:") + Proxy::token + "@"));
  Client client = proxy.connect();
  client.send(connect_to(fmt::format("allowed.example:{}", origin.port())));
  REQUIRE(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
  client.send("me\n");
  REQUIRE(client.receive_all() == "hello me\n");
}

TEST_CASE("an upstream proxy is read strictly, and no error repeats its password") {
  for (const std::string text :
       {"https://proxy.example:3128", "socks5://proxy.example:1080", "proxy.example",
        "http://user@proxy.example:3128", "http://u:s3cret%zz@proxy.example:3128",
        "http://u:s3cret@proxy.example:port", "http://proxy.example:3128/path"}) {
    CAPTURE(text);
    const auto proxy = parse_upstream_proxy(text, {});
    REQUIRE_FALSE(proxy);
    REQUIRE(proxy.error().what.find("s3cret") == std::string::npos);
    REQUIRE_FALSE(proxy.error().fix.empty());
  }
  REQUIRE_FALSE(parse_upstream_proxy("proxy.example:3128", {"not a host"}));
  const auto proxy = parse_upstream_proxy("proxy.example:3128", {"*.in.example", "10.0.0.0/8"});
  REQUIRE(proxy);
  REQUIRE(bypasses(*proxy, *parse_host("a.in.example")));
  REQUIRE_FALSE(bypasses(*proxy, *parse_host("in.example")));
  REQUIRE_FALSE(bypasses(*proxy, *parse_host("evilin.example")));
  REQUIRE(bypasses(*proxy, *parse_host("10.1.2.3")));
}

TEST_CASE("an upstream proxy that stops in the middle of its answer costs nothing meanwhile") {
  net::io_context io{1};
  Deadlines deadlines(io.get_executor());
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const UniqueFd peer(ends[1]);
  TcpStream stream{UniqueFd(ends[0]), io.get_executor(), deadlines};
  const auto parent = parse_upstream_proxy("http://127.0.0.1:3128", {});
  const auto target = parse_host_port("allowed.example:443");
  REQUIRE(parent);
  REQUIRE(target);
  std::optional<bool> through;
  auto ask = [&]() -> Awaitable<void> {
    const http::HeadLimits limits;
    auto answered = co_await connect_through(stream, *parent, *target, limits);
    through = answered.has_value();
  };
  net::co_spawn(io.get_executor(), ask(), net::detached);
  const std::string_view half = "HTTP/1.1 200 OK\r\n";
  REQUIRE(::send(peer.get(), half.data(), half.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(half.size()));
  CHECK(io.run_for(std::chrono::milliseconds(200)) < 50);  // handlers
  REQUIRE(::send(peer.get(), "\r\n", 2, MSG_NOSIGNAL) == 2);
  io.run_for(std::chrono::seconds(5));
  CHECK(through == true);
}

}  // namespace nono::test
