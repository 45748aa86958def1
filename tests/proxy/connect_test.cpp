#include <catch2/catch.hpp>

#include <fmt/format.h>

#include "tests/proxy/fixture.hpp"

namespace nono::test {

namespace {

std::string connect_request(std::uint16_t port, std::string_view host = "127.0.0.1",
                            std::string_view fields = "") {
  return fmt::format("CONNECT {0}:{1} HTTP/1.1\r\nHost: {0}:{1}\r\n{2}\r\n", host, port, fields);
}

void echo(Client& connection) {
  for (;;) {
    const std::string byte = connection.receive(1);
    if (byte.empty()) return;
    connection.send(byte);
  }
}

Proxy::Setup any_port_on_loopback() {
  Proxy::Setup setup;
  setup.rules = allowing({"127.0.0.0/8:*"});
  return setup;
}

const audit::Record* find_end(const std::vector<audit::Record>& records) {
  for (const audit::Record& record : records) {
    if (record.kind == audit::Kind::end) return &record;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("a tunnel carries bytes both ways and keeps half-close") {
  Origin origin([](Client& connection) {
    const std::string all = connection.receive_all();  // ends only by the client's half-close
    connection.send("got " + all);
  });
  Proxy proxy(any_port_on_loopback());
  Client client = proxy.connect();
  client.send(connect_request(origin.port()));
  REQUIRE(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
  client.send("hello");
  client.finish_sending();
  REQUIRE(client.receive_all() == "got hello");
}

TEST_CASE("bytes that come with the CONNECT head go upstream first") {
  Origin origin(echo);
  Proxy proxy(any_port_on_loopback());
  Client client = proxy.connect();
  client.send(connect_request(origin.port()) + "early\n");
  REQUIRE(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
  REQUIRE(client.receive(6) == "early\n");
}

TEST_CASE("a tunnel moves megabytes without losing or reordering one") {
  Origin origin([](Client& connection) {
    const std::string all = connection.receive_all();
    connection.send(all);
  });
  Proxy proxy(any_port_on_loopback());
  Client client = proxy.connect();
  client.send(connect_request(origin.port()));
  client.receive_until("\r\n\r\n");
  std::string data(8 * 1024 * 1024, '\0');
  for (std::size_t i = 0; i < data.size(); ++i)
    data[i] = static_cast<char>((i * 2654435761U) >> 13);
  client.send(data);
  client.finish_sending();
  REQUIRE(client.receive_all() == data);
}

TEST_CASE(
    "a host in no rule is refused with reason and remedy in the status line, and nothing "
    "connects") {
  Origin origin(echo);
  Proxy::Setup setup;
  setup.rules = allowing({"allowed.example"});
  Proxy proxy(std::move(setup));
  Client client = proxy.connect();
  const std::string answer = client.exchange(connect_request(443, "evil.example"));
  REQUIRE(
      answer.starts_with("HTTP/1.1 403 evil.example:443 is in no rule; allow it with "
                         "--allow-domain evil.example\r\n"));
  REQUIRE(answer.find("application/problem+json") != std::string::npos);
  REQUIRE(answer.find("\"reason\":\"no_rule\"") != std::string::npos);
  REQUIRE(answer.find("Proxy-Status: nono; error=") != std::string::npos);
  REQUIRE(origin.connections() == 0);
  proxy.stop();
  REQUIRE(proxy.refusals().size() == 1);
  REQUIRE(proxy.refusals()[0].host == "evil.example");
}

TEST_CASE("without its token a listener that others can reach answers 407 and connects nowhere") {
  Origin origin(echo);
  Proxy::Setup setup = any_port_on_loopback();
  setup.trusted = false;
  Proxy proxy(std::move(setup));
  Client bare = proxy.connect();
  const std::string answer = bare.exchange(connect_request(origin.port()));
  REQUIRE(answer.starts_with("HTTP/1.1 407 "));
  REQUIRE(answer.find("Proxy-Authenticate: Basic") != std::string::npos);
  Client wrong = proxy.connect();
  REQUIRE(wrong
              .exchange(connect_request(origin.port(), "127.0.0.1",
                                        "Proxy-Authorization: Bearer nope\r\n"))
              .starts_with("HTTP/1.1 407 "));
  REQUIRE(origin.connections() == 0);
  Client right = proxy.connect();
  right.send(connect_request(origin.port(), "127.0.0.1",
                             fmt::format("Proxy-Authorization: Bearer {}\r\n", Proxy::token)));
  REQUIRE(right.receive_until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
  Client basic = proxy.connect();  // base64 of "nono:0123456789abcdef"
  basic.send(connect_request(origin.port(), "127.0.0.1",
                             "Proxy-Authorization: Basic bm9ubzowMTIzNDU2Nzg5YWJjZGVm\r\n"));
  REQUIRE(basic.receive_until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("a wrong token is refused even where none is needed") {
  Origin origin(echo);
  Proxy proxy(any_port_on_loopback());
  Client client = proxy.connect();
  REQUIRE(client
              .exchange(connect_request(origin.port(), "127.0.0.1",
                                        "Proxy-Authorization: Bearer nope\r\n"))
              .starts_with("HTTP/1.1 407 "));
  REQUIRE(origin.connections() == 0);
}

TEST_CASE("metadata addresses and numeric spellings of loopback get no connection") {
  Proxy::Setup setup;
  setup.rules = allowing({"allowed.example"});
  setup.rules.allow_private.clear();
  Proxy proxy(std::move(setup));
  for (const std::string host : {"169.254.169.254", "0x7f000001", "2130706433", "127.1",
                                 "[::ffff:127.0.0.1]", "localhost", "metadata.google.internal"}) {
    CAPTURE(host);
    Client client = proxy.connect();
    const std::string answer =
        client.exchange(fmt::format("CONNECT {0}:80 HTTP/1.1\r\nHost: {0}:80\r\n\r\n", host));
    REQUIRE(answer.starts_with("HTTP/1.1 403 "));
  }
}

TEST_CASE("an allowed name that is loopback is refused and the range that would admit it named") {
  Proxy::Setup setup;
  setup.rules = allowing({"localhost:*"});
  setup.rules.allow_private.clear();
  Proxy proxy(std::move(setup));
  Client client = proxy.connect();
  const std::string answer =
      client.exchange("CONNECT localhost:81 HTTP/1.1\r\nHost: localhost:81\r\n\r\n");
  REQUIRE(answer.starts_with("HTTP/1.1 403 "));
  REQUIRE(answer.find("--allow-private") != std::string::npos);
  REQUIRE(answer.find("private_address") != std::string::npos);
}

TEST_CASE("a CONNECT without a port, with a Host for another place, or with garbage is refused") {
  Proxy proxy(any_port_on_loopback());
  const std::pair<std::string, std::string> cases[] = {
      {"CONNECT example.com HTTP/1.1\r\nHost: example.com\r\n\r\n", "400"},
      {"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: other.example:80\r\n\r\n", "421"},
      {std::string("CONNECT a\0b.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", 45), "400"},
      {"\x16\x03\x01\x02\x00\x01\r\n\r\n", "400"},
  };
  for (const auto& [request, status] : cases) {
    CAPTURE(request);
    Client client = proxy.connect();
    REQUIRE(client.exchange(request).starts_with("HTTP/1.1 " + status));
  }
}

TEST_CASE("an IPv4 address and its IPv6 form are one place, in CONNECT and in Host alike") {
  Origin origin(echo);
  Proxy proxy(any_port_on_loopback());
  const std::string plain = fmt::format("127.0.0.1:{}", origin.port());
  const std::string mapped = fmt::format("[::ffff:127.0.0.1]:{}", origin.port());
  for (const auto& [target, host] : {std::pair(mapped, plain), std::pair(plain, mapped)}) {
    CAPTURE(target);
    Client client = proxy.connect();
    client.send(fmt::format("CONNECT {} HTTP/1.1\r\nHost: {}\r\n\r\n", target, host));
    REQUIRE(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
  }
}

TEST_CASE("an upstream that refuses the connection is 502, and the proxy goes on serving") {
  std::uint16_t dead = 0;
  {
    Origin gone(echo);
    dead = gone.port();
  }
  Origin origin(echo);
  Proxy proxy(any_port_on_loopback());
  Client client = proxy.connect();
  REQUIRE(client.exchange(connect_request(dead))
              .starts_with("HTTP/1.1 502 cannot connect to 127.0.0.1:"));
  Client next = proxy.connect();
  next.send(connect_request(origin.port()));
  REQUIRE(next.receive_until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("a client that stops in the middle of a body or of a later head is told 408") {
  Origin origin(serve_http);
  Origin patient([](Client& connection) { connection.receive_all(); });
  Proxy::Setup setup = any_port_on_loopback();
  setup.limits.idle_time_max = std::chrono::milliseconds(300);
  setup.limits.head_time_max = std::chrono::milliseconds(300);
  setup.limits.keep_alive_time_max = std::chrono::seconds(60);
  Proxy proxy(std::move(setup));
  const auto head = [&](std::string_view method, std::string_view more) {
    const std::uint16_t port = method == "POST" ? patient.port() : origin.port();
    const std::string place = fmt::format("127.0.0.1:{}", port);
    return fmt::format("{0} http://{1}/x HTTP/1.1\r\nHost: {1}\r\n{2}\r\n", method, place, more);
  };
  for (const std::string& begun :
       {head("POST", "Content-Length: 10\r\n") + "abc", head("POST", "Content-Length: 10\r\n"),
        head("POST", "Content-Length: 100000\r\n") + "abc",
        head("POST", "Transfer-Encoding: chunked\r\n") + "5\r\nab"}) {
    CAPTURE(begun);
    Client client = proxy.connect();
    client.send(begun);
    CHECK(client.receive_all().starts_with("HTTP/1.1 408 "));
  }
  Client later = proxy.connect();
  later.send(head("GET", ""));
  REQUIRE(later.receive_until("GET /x HTTP/1.1").starts_with("HTTP/1.1 200 "));
  later.send("GET http://");
  const std::string answer = later.receive_all();
  CHECK(answer.find("HTTP/1.1 408 ") != std::string::npos);
  CHECK(answer.find("request head took too long") != std::string::npos);
}

TEST_CASE("a client that dawdles over its head gets 408 in time, and others are not held up") {
  Origin origin(echo);
  Proxy::Setup setup = any_port_on_loopback();
  setup.limits.head_time_max = std::chrono::milliseconds(300);
  Proxy proxy(std::move(setup));
  Client slow = proxy.connect();
  slow.send("CONNECT 127.0");
  Client quick = proxy.connect();
  quick.send(connect_request(origin.port()));
  REQUIRE(quick.receive_until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
  REQUIRE(slow.receive_all().starts_with("HTTP/1.1 408 "));
}

TEST_CASE("an endless head is cut off at its limit with 431") {
  Proxy proxy(any_port_on_loopback());
  Client client = proxy.connect();
  std::string head = "CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n";
  for (int i = 0; i < 80; ++i)
    head += "X-Filler-" + std::to_string(i) + ": " + std::string(1000, 'x') + "\r\n";
  const std::string answer = client.exchange(head);
  REQUIRE(answer.starts_with("HTTP/1.1 431 "));
}

TEST_CASE("a second stop does not wait for the grace of the first") {
  Origin origin([](Client& connection) { connection.receive_all(); });
  Proxy::Setup setup;
  setup.rules = allowing({"127.0.0.0/8:*"});
  Proxy proxy(std::move(setup));
  Client client = proxy.connect();
  client.send(connect_request(origin.port()));
  client.receive_until("\r\n\r\n");
  const auto start = std::chrono::steady_clock::now();
  proxy.drain(std::chrono::seconds(60));
  proxy.stop();
  REQUIRE(std::chrono::steady_clock::now() - start < std::chrono::seconds(30));
}

TEST_CASE("an idle tunnel ends after the idle time on both sides, half-closed or not") {
  Origin origin([](Client& connection) { connection.receive_all(); });
  Proxy::Setup setup = any_port_on_loopback();
  setup.limits.idle_time_max = std::chrono::milliseconds(200);
  Proxy proxy(std::move(setup));
  Client client = proxy.connect();
  client.send(connect_request(origin.port()));
  client.receive_until("\r\n\r\n");
  REQUIRE(client.receive_all().empty());
  Client half = proxy.connect();
  half.send(connect_request(origin.port()));
  half.receive_until("\r\n\r\n");
  half.finish_sending();
  REQUIRE(half.receive_all().empty());
}

TEST_CASE("over the connection limit a client is told so with 503 and Retry-After") {
  Origin origin(echo);
  Proxy::Setup setup = any_port_on_loopback();
  setup.limits.connections_max = 1;
  Proxy proxy(std::move(setup));
  Client first = proxy.connect();
  first.send(connect_request(origin.port()));
  REQUIRE(first.receive_until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
  Client second = proxy.connect();
  const std::string answer = second.exchange(connect_request(origin.port()));
  REQUIRE(answer.starts_with("HTTP/1.1 503 "));
  REQUIRE(answer.find("Retry-After:") != std::string::npos);
}

TEST_CASE("every tunnel leaves one decision and one end with its byte counts") {
  Origin origin(echo);
  Proxy proxy(any_port_on_loopback());
  {
    Client client = proxy.connect();
    client.send(connect_request(origin.port()));
    client.receive_until("\r\n\r\n");
    client.send("ab\n");
    REQUIRE(client.receive(3) == "ab\n");
    client.finish_sending();
    REQUIRE(client.closed_by_peer());
  }
  proxy.stop();
  const std::vector<audit::Record> records = proxy.records();
  REQUIRE(records.size() == 2);
  REQUIRE(records[0].kind == audit::Kind::decision);
  REQUIRE(records[0].allowed);
  const audit::Record* end = find_end(records);
  REQUIRE(end != nullptr);
  REQUIRE(end->connection == records[0].connection);
  REQUIRE(end->bytes_to_upstream == 3);
  REQUIRE(end->bytes_to_client == 3);
  REQUIRE(end->address == "127.0.0.1");
}

TEST_CASE("two threads share the load and stop together", "[threaded]") {
  Origin origin(echo);
  Proxy::Setup setup = any_port_on_loopback();
  setup.threads = 2;
  Proxy proxy(std::move(setup));
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  for (int worker = 0; worker < 4; ++worker) {
    clients.emplace_back([&] {
      for (int round = 0; round < 25; ++round) {
        Client client = proxy.connect();
        client.send(connect_request(origin.port()) + "\x01");
        client.receive_until("\r\n\r\n");
        if (client.receive(1) == "\x01") ++good;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  proxy.stop();
  REQUIRE(good == 100);
  REQUIRE(proxy.records().size() == 200);
}

TEST_CASE("a client that names the proxy itself in a CONNECT's Host is served") {
  Origin origin([](Client& connection) { connection.send("hello"); });
  Proxy::Setup setup;
  setup.rules = allowing({"127.0.0.0/8:*"});
  Proxy proxy(std::move(setup));
  for (const char* host : {"127.0.0.1", "localhost", "proxy.corp.example"}) {
    CAPTURE(host);
    Client client = proxy.connect();
    client.send(fmt::format("CONNECT 127.0.0.1:{} HTTP/1.1\r\nHost: {}:{}\r\n\r\n", origin.port(),
                            host, proxy.port()));
    CHECK(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
    CHECK(client.receive(5) == "hello");
  }
}

TEST_CASE("who leaves without a word is let go at once, and leaves no record") {
  Proxy::Setup setup = any_port_on_loopback();
  setup.limits.head_time_max = std::chrono::minutes(1);
  Proxy proxy(std::move(setup));
  Client client = proxy.connect();
  client.finish_sending();
  CHECK(client.closed_by_peer());
  proxy.stop();
  CHECK(proxy.records().empty());
}

}  // namespace nono::test
