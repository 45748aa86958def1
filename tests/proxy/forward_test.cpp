#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "config/base/encoding.hpp"
#include "tests/proxy/fixture.hpp"
#include "tests/support/process.hpp"

namespace nono::test {

namespace {

std::string get(std::uint16_t port, std::string_view path, std::string_view fields = "") {
  return fmt::format("GET http://127.0.0.1:{0}{1} HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n{2}\r\n", port,
                     path, fields);
}

Proxy::Setup any_port_on_loopback() {
  Proxy::Setup setup;
  setup.rules = allowing({"127.0.0.0/8:*"});
  return setup;
}

// One response with a Content-Length, off a connection that stays open.
std::string receive_response(Client& client) {
  const std::string head = client.receive_until("\r\n\r\n");
  const std::size_t at = head.find("Content-Length: ");
  if (at == std::string::npos) return head;
  return head + client.receive(static_cast<std::size_t>(std::stoi(head.substr(at + 16))));
}

}  // namespace

TEST_CASE(
    "requests of one connection are answered in order, pipelined ones too, over one upstream "
    "connection") {
  Origin origin(serve_http);
  Proxy proxy(any_port_on_loopback());
  Client client = proxy.connect();
  client.send(get(origin.port(), "/one") + get(origin.port(), "/two"));
  REQUIRE(receive_response(client).ends_with("GET /one HTTP/1.1"));
  REQUIRE(receive_response(client).ends_with("GET /two HTTP/1.1"));
  client.send(get(origin.port(), "/three"));
  REQUIRE(receive_response(client).ends_with("GET /three HTTP/1.1"));
  REQUIRE(origin.connections() == 1);
}

TEST_CASE("the token and hop-by-hop fields never reach the upstream") {
  std::string seen;
  Origin origin([&](Client& connection) {
    seen = connection.receive_until("\r\n\r\n");
    connection.send("HTTP/1.1 204 No Content\r\n\r\n");
  });
  Proxy::Setup setup = any_port_on_loopback();
  setup.trusted = false;
  Proxy proxy(std::move(setup));
  Client client = proxy.connect();
  client.send(
      get(origin.port(), "/",
          fmt::format(
              "Proxy-Authorization: Bearer {}\r\nProxy-Connection: keep-alive\r\n"
              "Connection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\nX-Kept: 1\r\n",
              Proxy::token)));
  REQUIRE(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 204 "));
  REQUIRE(seen.find(Proxy::token) == std::string::npos);
  for (const char* field : {"Proxy-Authorization", "Proxy-Connection", "X-Private", "Keep-Alive"}) {
    CAPTURE(field);
    REQUIRE(seen.find(field) == std::string::npos);
  }
  REQUIRE(seen.find("X-Kept: 1") != std::string::npos);
}

TEST_CASE("Via is added only where that is configured, to requests and responses, behind others'") {
  for (const bool via : {false, true}) {
    CAPTURE(via);
    std::string seen;
    Origin origin([&](Client& connection) {
      seen = connection.receive_until("\r\n\r\n");
      connection.send("HTTP/1.0 204 No Content\r\n\r\n");
    });
    Proxy::Setup setup = any_port_on_loopback();
    setup.via = via;
    Proxy proxy(std::move(setup));
    Client client = proxy.connect();
    client.send(get(origin.port(), "/", "Via: 1.0 before\r\n"));
    const std::string got = client.receive_until("\r\n\r\n");
    CHECK((seen.find("Via: 1.0 before\r\nVia: 1.1 nono\r\n") != std::string::npos) == via);
    CHECK((seen.find("nono") != std::string::npos) == via);
    CHECK((got.find("Via: 1.0 nono\r\n") != std::string::npos) == via);
  }
}

TEST_CASE("the session token in any other place than Proxy-Authorization goes to nobody") {
  Origin origin(serve_http);
  Proxy::Setup setup = any_port_on_loopback();
  const std::string token(64, 'd');
  setup.token = token;
  Proxy proxy(std::move(setup));
  const auto asked = [&](std::string_view path, const std::string& field) {
    Client client = proxy.connect();
    return client.exchange(get(origin.port(), path, field + "Connection: close\r\n"));
  };
  for (const std::string& field : {"Authorization: Bearer " + token, "Cookie: a=" + token,
                                   "Authorization: Basic " + base64_encode("nono:" + token)}) {
    CAPTURE(field);
    CHECK(asked("/", field + "\r\n").starts_with("HTTP/1.1 403 "));
  }
  CHECK(asked("/?t=" + token, "").starts_with("HTTP/1.1 403 "));
  CHECK(origin.connections() == 0);
  CHECK(asked("/", "Proxy-Authorization: Bearer " + token + "\r\n").starts_with("HTTP/1.1 200 "));
  proxy.stop();
  for (const audit::Record& record : proxy.refusals()) {
    CHECK(record.because.reason == Reason::phantom_elsewhere);
    CHECK(record.path.find(token) == std::string::npos);
  }
}

TEST_CASE("absolute form without the token is 407 and reaches nobody") {
  Origin origin(serve_http);
  Proxy::Setup setup = any_port_on_loopback();
  setup.trusted = false;
  Proxy proxy(std::move(setup));
  Client client = proxy.connect();
  REQUIRE(client.exchange(get(origin.port(), "/")).starts_with("HTTP/1.1 407 "));
  REQUIRE(origin.connections() == 0);
}

TEST_CASE("chunked bodies pass both ways") {
  std::string body;
  Origin origin([&](Client& connection) {
    connection.receive_until("\r\n\r\n");
    body = connection.receive_until("0\r\n\r\n");
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  });
  Proxy proxy(any_port_on_loopback());
  Client client = proxy.connect();
  client.send(
      fmt::format("POST http://127.0.0.1:{0}/ HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
                  origin.port()));
  const std::string head = client.receive_until("\r\n\r\n");
  REQUIRE(head.find("Transfer-Encoding: chunked") != std::string::npos);
  REQUIRE(client.receive_until("0\r\n\r\n").find("hello") != std::string::npos);
  REQUIRE(body.find("abc") != std::string::npos);
  REQUIRE(body.find("defg") != std::string::npos);
}

TEST_CASE("HEAD, 204 and 304 have no body and keep the connection") {
  Origin origin([&](Client& connection) {
    connection.receive_until("\r\n\r\n");
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    connection.receive_until("\r\n\r\n");
    connection.send("HTTP/1.1 204 No Content\r\n\r\n");
    connection.receive_until("\r\n\r\n");
    connection.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n");
  });
  Proxy proxy(any_port_on_loopback());
  Client client = proxy.connect();
  client.send(fmt::format("HEAD http://127.0.0.1:{0}/ HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n\r\n",
                          origin.port()));
  REQUIRE(client.receive_until("\r\n\r\n").find("Content-Length: 1000") != std::string::npos);
  client.send(get(origin.port(), "/"));
  REQUIRE(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 204 "));
  client.send(get(origin.port(), "/"));
  REQUIRE(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 304 "));
}

TEST_CASE("Expect: 100-continue is passed on and its 100 relayed before the body goes") {
  Origin origin([&](Client& connection) {
    connection.receive_until("\r\n\r\n");
    connection.send("HTTP/1.1 100 Continue\r\n\r\n");
    const std::string body = connection.receive(3);
    connection.send(fmt::format("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", body));
  });
  Proxy proxy(any_port_on_loopback());
  Client client = proxy.connect();
  client.send(fmt::format(
      "PUT http://127.0.0.1:{0}/ HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\nExpect: 100-continue\r\n"
      "Content-Length: 3\r\n\r\n",
      origin.port()));
  REQUIRE(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 100 "));
  client.send("abc");
  REQUIRE(receive_response(client).ends_with("abc"));
}

TEST_CASE("a kept upstream connection that was closed meanwhile costs the client nothing") {
  Origin origin([&](Client& connection) {
    connection.receive_until("\r\n\r\n");
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  });
  Proxy proxy(any_port_on_loopback());
  Client client = proxy.connect();
  for (int round = 0; round < 3; ++round) {
    client.send(get(origin.port(), "/"));
    REQUIRE(receive_response(client).ends_with("ok"));
  }
  REQUIRE(origin.connections() == 3);
}

TEST_CASE("a Host that names another place than the target is 421") {
  Origin origin(serve_http);
  Proxy proxy(any_port_on_loopback());
  Client client = proxy.connect();
  const std::string request = fmt::format(
      "GET http://127.0.0.1:{}/ HTTP/1.1\r\nHost: other.example\r\n\r\n", origin.port());
  REQUIRE(client.exchange(request).starts_with("HTTP/1.1 421 "));
  REQUIRE(origin.connections() == 0);
}

TEST_CASE("an unlisted host is 403 with a problem body, and the connection may go on") {
  Origin origin(serve_http);
  Proxy proxy(any_port_on_loopback());
  Client client = proxy.connect();
  client.send("GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  const std::string refusal = receive_response(client);
  REQUIRE(refusal.starts_with("HTTP/1.1 403 Forbidden\r\n"));
  REQUIRE(refusal.find("--allow-domain evil.example") != std::string::npos);
  client.send(get(origin.port(), "/after"));
  REQUIRE(receive_response(client).ends_with("GET /after HTTP/1.1"));
}

TEST_CASE("smuggling attempts are refused and nothing goes upstream") {
  Origin origin(serve_http);
  Proxy proxy(any_port_on_loopback());
  const std::string base =
      fmt::format("POST http://127.0.0.1:{0}/ HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n", origin.port());
  for (const std::string fields :
       {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n", "Transfer-Encoding: xchunked\r\n",
        "Content-Length: +5\r\n", "Content-Length : 5\r\n", "X: a\r\n folded\r\n",
        "Host: twice.example\r\n"}) {
    CAPTURE(fields);
    Client client = proxy.connect();
    REQUIRE(client.exchange(base + fields + "\r\nhello").starts_with("HTTP/1.1 400 "));
  }
  REQUIRE(origin.connections() == 0);
}

TEST_CASE("a response that cannot be framed is 502 and nothing of it reaches the client") {
  for (const std::string answer :
       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello"}) {
    CAPTURE(answer);
    Origin origin([&](Client& connection) {
      connection.receive_until("\r\n\r\n");
      connection.send(answer);
    });
    Proxy proxy(any_port_on_loopback());
    Client client = proxy.connect();
    const std::string got = client.exchange(get(origin.port(), "/"));
    REQUIRE(got.starts_with("HTTP/1.1 502 "));
    REQUIRE(got.find("hello") == std::string::npos);
  }
}

TEST_CASE("an upstream that never answers is 504 after the first-byte time") {
  Origin origin([](Client& connection) { connection.receive_all(); });
  Proxy::Setup setup = any_port_on_loopback();
  setup.limits.first_byte_time_max = std::chrono::milliseconds(300);
  Proxy proxy(std::move(setup));
  Client client = proxy.connect();
  client.send(get(origin.port(), "/"));
  REQUIRE(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 504 "));
}

TEST_CASE(
    "https in absolute form, an unknown scheme and a bare path get a 400 that says what to do") {
  Proxy proxy(any_port_on_loopback());
  for (const std::string target :
       {"https://example.com/", "ftp://example.com/", "/no-such-credential/x"}) {
    CAPTURE(target);
    Client client = proxy.connect();
    const std::string answer =
        client.exchange(fmt::format("GET {} HTTP/1.1\r\nHost: example.com\r\n\r\n", target));
    REQUIRE(answer.starts_with("HTTP/1.1 400 "));
    REQUIRE(answer.find("\"fix\":\"") != std::string::npos);
  }
}

TEST_CASE("what is read away behind a refusal is bounded in size and time, as the limits say") {
  const auto refused = [](const Limits& limits) {
    Proxy::Setup setup = any_port_on_loopback();
    setup.trusted = false;
    setup.limits = limits;
    return setup;
  };
  constexpr std::string_view head =
      "POST http://127.0.0.1:9/ HTTP/1.1\r\nHost: 127.0.0.1:9\r\nContent-Length: 16777216\r\n\r\n";
  const std::string body(16 << 20, 'x');
  for (const bool all : {true, false}) {
    CAPTURE(all);
    Limits limits;
    limits.drain_time_max = std::chrono::seconds(60);
    limits.drain_bytes_max = all ? body.size() : 64 * 1024;
    Proxy proxy(refused(limits));
    Client client = proxy.connect();
    client.send(head);
    REQUIRE(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 407 "));
    CHECK(client.send(body) == all);
  }
  Limits limits;
  limits.drain_time_max = std::chrono::seconds(4);
  Proxy proxy(refused(limits));
  Client client = proxy.connect();
  const auto begun = std::chrono::steady_clock::now();
  client.send(head);
  CHECK(testing::eventually([&] { return !client.send("x"); }));
  CHECK(std::chrono::steady_clock::now() - begun > std::chrono::milliseconds(3500));
}

}  // namespace nono::test
