#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "config/base/on_exit.hpp"
#include "proxy/http/head.hpp"
#include "proxy/tunnel_judge.hpp"
#include "tests/proxy/fixture.hpp"

namespace nono::test {

namespace {

using Verdict = FirstBytesJudge::Verdict;

std::string u16(std::size_t value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}

// A minimal ClientHello with (or, when empty, without) a server name.
std::string client_hello(const std::string& name) {
  std::string extensions;
  if (!name.empty()) {
    const std::string entry = std::string(1, '\0') + u16(name.size()) + name;
    const std::string list = u16(entry.size()) + entry;
    extensions = u16(0) + u16(list.size()) + list;
  }
  const std::string body = "\x03\x03" + std::string(32, 'r') + std::string(1, '\0') + u16(2) +
                           "\x13\x01" + std::string("\x01\0", 2) + u16(extensions.size()) +
                           extensions;
  const std::string message = std::string("\x01\0", 2) + u16(body.size()) + body;
  return "\x16\x03\x01" + u16(message.size()) + message;
}

std::shared_ptr<const policy::Engine> engine_for(std::vector<std::string> hosts) {
  auto engine = policy::Engine::make(allowing(std::move(hosts)), {});
  REQUIRE(engine);
  return *engine;
}

Verdict verdict_on(const policy::Engine& engine, std::string_view target, std::string_view bytes) {
  const Decision decision = engine.decide(*parse_host_port(target));
  const Permit* permit = std::get_if<Permit>(&decision);
  REQUIRE(permit != nullptr);
  const http::HeadLimits limits;
  TunnelJudge judge(engine, *permit, limits);
  return judge.judge(bytes);
}

std::string connect_to(std::uint16_t port) {
  return fmt::format("CONNECT 127.0.0.1:{0} HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n\r\n", port);
}

}  // namespace

TEST_CASE("TLS in a tunnel must name the host of the CONNECT, or one that the same rule allows") {
  const auto engine = engine_for({"api.example.com", "*.cdn.example.com", "other.example"});
  REQUIRE(verdict_on(*engine, "api.example.com:443", client_hello("api.example.com")) ==
          Verdict::pass);
  REQUIRE(verdict_on(*engine, "api.example.com:443", client_hello("API.example.com.")) ==
          Verdict::pass);
  REQUIRE(verdict_on(*engine, "a.cdn.example.com:443", client_hello("b.cdn.example.com")) ==
          Verdict::pass);
  REQUIRE(verdict_on(*engine, "api.example.com:443", client_hello("other.example")) ==
          Verdict::refuse);
  REQUIRE(verdict_on(*engine, "api.example.com:443", client_hello("evil.example")) ==
          Verdict::refuse);
  REQUIRE(verdict_on(*engine, "api.example.com:443", client_hello("")) == Verdict::refuse);
  REQUIRE(verdict_on(*engine, "api.example.com:443",
                     client_hello(std::string("api.example.com\0x", 17))) == Verdict::refuse);
}

TEST_CASE("a literal address needs no server name") {
  const auto engine = engine_for({"127.0.0.9"});
  REQUIRE(verdict_on(*engine, "127.0.0.9:443", client_hello("")) == Verdict::pass);
  REQUIRE(verdict_on(*engine, "127.0.0.9:443", client_hello("evil.example")) == Verdict::refuse);
}

TEST_CASE(
    "HTTP in a tunnel must name the same host, and other protocols need a port of their own") {
  const auto engine = engine_for({"a.example", "b.example", "git.example:22"});
  REQUIRE(verdict_on(*engine, "a.example:80", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n") ==
          Verdict::pass);
  REQUIRE(verdict_on(*engine, "a.example:80", "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n") ==
          Verdict::refuse);
  REQUIRE(verdict_on(*engine, "a.example:80", "GET / HTTP/1.1\r\nHost: a.example") ==
          Verdict::more);
  REQUIRE(verdict_on(*engine, "a.example:443", "SSH-2.0-OpenSSH_9\r\n") == Verdict::refuse);
  REQUIRE(verdict_on(*engine, "git.example:22", "SSH-2.0-OpenSSH_9\r\n") == Verdict::pass);
}

TEST_CASE(
    "a protocol whose first line looks like HTTP's passes on a port that a rule names for it") {
  const auto engine = engine_for({"mail.example:25", "a.example"});
  REQUIRE(verdict_on(*engine, "mail.example:25", "EHLO me.example") == Verdict::more);
  REQUIRE(verdict_on(*engine, "mail.example:25", "EHLO me.example\r\n") == Verdict::pass);
  REQUIRE(verdict_on(*engine, "a.example:80", "EHLO me.example\r\n") == Verdict::refuse);
  REQUIRE(verdict_on(*engine, "mail.example:25", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n") ==
          Verdict::refuse);
}

TEST_CASE("HTTP in a tunnel may not name another place in its target, whatever Host says") {
  const auto engine = engine_for({"a.example"});
  for (const char* line :
       {"GET http://evil.example/ HTTP/1.1", "CONNECT evil.example:443 HTTP/1.1"}) {
    CAPTURE(line);
    const std::string head = std::string(line) + "\r\nHost: a.example\r\n\r\n";
    REQUIRE(verdict_on(*engine, "a.example:80", head) == Verdict::refuse);
  }
}

TEST_CASE("not a byte of a fronted request goes upstream, and the client is told 421") {
  std::string got = "never connected";
  {
    Origin origin([&](Client& connection) { got = connection.receive_all(); });
    Proxy::Setup setup;
    setup.rules = allowing({"127.0.0.0/8:*"});
    Proxy proxy(std::move(setup));
    Client client = proxy.connect();
    client.send(fmt::format("CONNECT 127.0.0.1:{0} HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n\r\n",
                            origin.port()));
    client.receive_until("\r\n\r\n");
    client.send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    REQUIRE(client.receive_all().starts_with("HTTP/1.1 421 "));
    proxy.stop();
    REQUIRE(proxy.refusals().size() == 1);
    REQUIRE(proxy.refusals()[0].because.reason == Reason::authority_mismatch);
  }
  REQUIRE(got.empty());
}

TEST_CASE("a hello in one-byte pieces passes whole") {
  std::string got;
  {
    Origin origin([&](Client& connection) { got = connection.receive_all(); });
    Proxy::Setup setup;
    setup.rules = allowing({"127.0.0.0/8:*"});
    Proxy proxy(std::move(setup));
    Client client = proxy.connect();
    client.send(connect_to(origin.port()));
    client.receive_until("\r\n\r\n");
    for (const char byte : client_hello("")) client.send(std::string(1, byte));
    client.finish_sending();
    client.receive_all();
  }
  REQUIRE(got == client_hello(""));
}

TEST_CASE("a hello that never ends is refused in time, and nothing of it goes upstream") {
  std::string got = "never connected";
  {
    Origin origin([&](Client& connection) { got = connection.receive_all(); });
    Proxy::Setup setup;
    setup.rules = allowing({"127.0.0.0/8:*"});
    setup.limits.peek_time_max = std::chrono::milliseconds(300);
    Proxy proxy(std::move(setup));
    Client client = proxy.connect();
    client.send(connect_to(origin.port()));
    client.receive_until("\r\n\r\n");
    client.send(client_hello("").substr(0, 10));
    REQUIRE(client.receive_all().empty());
  }
  REQUIRE(got.empty());
}

TEST_CASE("a server that speaks first is heard before the client says anything") {
  Origin origin([](Client& connection) {
    connection.send("220 ready\r\n");
    connection.receive_all();
  });
  Proxy::Setup setup;
  setup.rules = allowing({"127.0.0.0/8:*"});
  Proxy proxy(std::move(setup));
  Client client = proxy.connect();
  client.send(
      fmt::format("CONNECT 127.0.0.1:{0} HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n\r\n", origin.port()));
  client.receive_until("\r\n\r\n");
  REQUIRE(client.receive(11) == "220 ready\r\n");
}

}  // namespace nono::test
