#include "proxy/session.hpp"

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "tests/proxy/session_scene.hpp"

namespace nono::test {

namespace {

std::string get(std::uint16_t port, const std::string& token, std::string_view fields = "") {
  return fmt::format(
      "GET http://127.0.0.1:{0}/ HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\nProxy-Authorization: Bearer "
      "{1}\r\n{2}\r\n",
      port, token, fields);
}

std::string error_of(SessionSetup setup) {
  const auto made = Session::make(std::move(setup));
  return made ? "it was made" : made.error().what;
}

}  // namespace

TEST_CASE("a session is what its setup says, and no two have one identity") {
  SessionSetup setup = session_setup("a", "a-token", {"a.test"}, SessionOrigin::file);
  setup.ttl = std::chrono::seconds(60);
  const SessionPtr first = make_test_session(std::move(setup));
  const SessionPtr second = make_test_session(session_setup("a", "a-token"));
  CHECK(first->name() == "a");
  CHECK(first->origin() == SessionOrigin::file);
  CHECK(first->identity() != second->identity());
  REQUIRE(first->expires());
  const auto left = *first->expires() - std::chrono::steady_clock::now();
  CHECK(left > std::chrono::seconds(50));
  CHECK(left <= std::chrono::seconds(60));
  CHECK_FALSE(second->expires());
}

TEST_CASE("what is wrong with a session is known before it is in force") {
  SessionSetup rule = session_setup("a", "t");
  rule.config.network.allow.push_back(HostRule{"not a host!", {}, nono::Origin{"test"}});
  CHECK(error_of(std::move(rule)) != "it was made");
  SessionSetup roots = session_setup("a", "t");
  roots.config.upstream_ca_files.push_back("/nonexistent.pem");
  CHECK(error_of(std::move(roots)) != "it was made");
  SessionSetup dns = session_setup("a", "t");
  dns.config.dns_servers.push_back(*parse_host_port("dns.test:53"));
  CHECK(error_of(std::move(dns)).find("dns.test") != std::string::npos);
}

TEST_CASE("over its connections a session is told 429 and others are served") {
  Origin origin(serve_http);
  Proxy::Setup setup;
  setup.rules = allowing({"127.0.0.0/8:*"});
  setup.trusted = false;
  setup.sessions.push_back(session_setup("few", "few-token"));
  setup.sessions.back().limits.session_connections_max = 2;
  setup.sessions.push_back(session_setup("free", "free-token"));
  Proxy proxy(std::move(setup));
  Client first = proxy.connect(), second = proxy.connect(), third = proxy.connect();
  for (Client* client : {&first, &second}) {
    client->send(get(origin.port(), "few-token"));
    CHECK(client->receive(12) == "HTTP/1.1 200");
  }
  const std::string refused = third.exchange(get(origin.port(), "few-token"));
  CHECK(refused.starts_with("HTTP/1.1 429 "));
  CHECK(refused.find("Retry-After: ") != std::string::npos);
  // Asking once more on the same connection does not help.
  const std::string twice = proxy.connect().exchange(
      get(origin.port(), "few-token") + get(origin.port(), "few-token", "Connection: close\r\n"));
  const std::size_t second_answer = twice.find("HTTP/1.1 ", 1);
  REQUIRE(second_answer != std::string::npos);
  CHECK(twice.starts_with("HTTP/1.1 429 "));
  CHECK(twice.substr(second_answer).starts_with("HTTP/1.1 429 "));
  CHECK(proxy.connect()
            .exchange(get(origin.port(), "free-token", "Connection: close\r\n"))
            .starts_with("HTTP/1.1 200 "));
}

TEST_CASE("over its connections per second a session is told 429 and others are served") {
  Origin origin(serve_http);
  Proxy::Setup setup;
  setup.rules = allowing({"127.0.0.0/8:*"});
  setup.trusted = false;
  setup.sessions.push_back(session_setup("slow", "slow-token"));
  setup.sessions.back().limits.session_connects_per_second_max = 1;
  setup.sessions.push_back(session_setup("free", "free-token"));
  Proxy proxy(std::move(setup));
  int served = 0, refused = 0;
  for (int i = 0; i < 200 && refused == 0; ++i) {
    const std::string answer =
        proxy.connect().exchange(get(origin.port(), "slow-token", "Connection: close\r\n"));
    served += answer.starts_with("HTTP/1.1 200 ") ? 1 : 0;
    refused += answer.starts_with("HTTP/1.1 429 ") ? 1 : 0;
  }
  CHECK(served >= 1);
  CHECK(refused == 1);
  CHECK(proxy.connect()
            .exchange(get(origin.port(), "free-token", "Connection: close\r\n"))
            .starts_with("HTTP/1.1 200 "));
}

TEST_CASE("one connection that changes its token is judged by each in turn") {
  Origin origin(serve_http);
  Proxy::Setup setup;
  setup.rules = allowing({"a.test"});
  setup.trusted = false;
  setup.sessions.push_back(session_setup("open", "open-token"));
  setup.sessions.push_back(session_setup("closed", "closed-token", {"a.test"}));
  Proxy proxy(std::move(setup));
  Client client = proxy.connect();
  const auto status = [&](const std::string& token) {
    client.send(get(origin.port(), token));
    const std::string head = client.receive_until("\r\n\r\n");
    const std::size_t at = head.find("Content-Length: ");
    if (at != head.npos) client.receive(std::stoul(head.substr(at + 16)));
    return head.substr(9, 3);
  };
  CHECK(status("open-token") == "200");
  CHECK(status("closed-token") == "403");
  CHECK(status("open-token") == "200");
}

}  // namespace nono::test
