#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "config/base/on_exit.hpp"
#include "proxy/tunnel_judge.hpp"
#include "tests/proxy/fixture.hpp"

namespace nono::test {

namespace {

using Verdict = FirstBytesJudge::Verdict;

std::string u16(std::size_t value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}

// A minimal ClientHello with (or, when empty, without) a server name.
std::string client_hello(const std::string& name, bool encrypted = false) {
  std::string extensions;
  if (encrypted) extensions = u16(0xfe0d) + u16(3) + "abc";
  if (!name.empty()) {
    const std::string entry = std::string(1, '\0') + u16(name.size()) + name;
    const std::string list = u16(entry.size()) + entry;
    extensions += u16(0) + u16(list.size()) + list;
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

Verdict verdict_on(const policy::Engine& engine, std::string_view target, std::string_view bytes,
                   bool at_end = false) {
  const Decision decision = engine.decide(*parse_host_port(target));
  const Permit* permit = std::get_if<Permit>(&decision);
  REQUIRE(permit != nullptr);
  TunnelJudge judge(engine, *permit);
  return judge.judge(bytes, at_end);
}

// Whether the judge takes this out of the tunnel, for its requests to be served one by one.
bool taken_as_http(const policy::Engine& engine, std::string_view target, std::string_view bytes,
                   bool at_end = false) {
  const Decision decision = engine.decide(*parse_host_port(target));
  const Permit* permit = std::get_if<Permit>(&decision);
  REQUIRE(permit != nullptr);
  TunnelJudge judge(engine, *permit);
  const bool taken = judge.judge(bytes, at_end) == Verdict::refuse && judge.speaks_http();
  return taken && judge.taken() == bytes;
}

std::string get(std::string_view path, std::string_view host) {
  return fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", path, host);
}

std::string receive_response(Client& client) {
  const std::string head = client.receive_until("\r\n\r\n");
  const std::size_t at = head.find("Content-Length: ");
  if (at == std::string::npos) return head;
  return head + client.receive(static_cast<std::size_t>(std::stoi(head.substr(at + 16))));
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

TEST_CASE("other protocols in a tunnel need a port of their own") {
  const auto engine = engine_for({"a.example", "git.example:22", "git.example:9418"});
  REQUIRE(verdict_on(*engine, "a.example:443", "SSH-2.0-OpenSSH_9\r\n") == Verdict::refuse);
  REQUIRE(verdict_on(*engine, "git.example:22", "SSH-2.0-OpenSSH_9\r\n") == Verdict::pass);
  const std::string git("0033git-upload-pack /project.git\0host=git.example\0", 51);
  REQUIRE(verdict_on(*engine, "git.example:9418", git) == Verdict::pass);
  for (const char* text : {"user: bob", "{\"id\":1}", "Hello, world", "\xfe\x01ping", "a\x01"}) {
    CAPTURE(text);
    CHECK(verdict_on(*engine, "git.example:22", text) == Verdict::pass);
  }
  // A bare word may become a request's method, until its line or the client ends.
  for (const char* text : {"hello", "0123", "ping ", "QUERY"}) {
    CAPTURE(text);
    CHECK(verdict_on(*engine, "git.example:22", text) == Verdict::more);
    CHECK(verdict_on(*engine, "git.example:22", std::string(text) + "\n") == Verdict::pass);
    CHECK(verdict_on(*engine, "git.example:22", text, true) == Verdict::pass);
    CHECK(verdict_on(*engine, "a.example:443", text, true) == Verdict::refuse);
  }
  REQUIRE(verdict_on(*engine, "git.example:9418", std::string_view("\0\0\0\x08", 4)) ==
          Verdict::pass);
}

TEST_CASE(
    "a protocol whose first line looks like HTTP's passes on a port that a rule names for it") {
  const auto engine = engine_for({"mail.example:25", "a.example"});
  REQUIRE(verdict_on(*engine, "mail.example:25", "EHLO me.example") == Verdict::more);
  REQUIRE(verdict_on(*engine, "mail.example:25", "EHLO me.example\r\n") == Verdict::pass);
  REQUIRE(verdict_on(*engine, "a.example:80", "EHLO me.example\r\n") == Verdict::refuse);
}

TEST_CASE("plain HTTP is taken out of the tunnel on every port, however it is spelled") {
  const auto engine = engine_for({"a.example", "a.example:8080"});
  const std::string long_method(40, 'M');
  for (const char* target : {"a.example:80", "a.example:8080"}) {
    for (const std::string& begin :
         {std::string("GET / HTTP/1.1\r\n"), std::string("ODD /x HTTP/1.1\r\n"),
          std::string("get / http/1.1\r\n"), std::string("\r\n\r\nGET / HTTP/1.1\n"),
          std::string("G\t/\tHTTP/1.0\r\n"), std::string(" GET / HTTP/1.1\r\n"),
          std::string("PRI * HTTP/2.0\r\n"), std::string("CONNECT evil.example:443 HTTP/1.1\r\n"),
          std::string("QUERY x HTTP/1.1\r\n"), std::string("GET /\x01 HTTP/1.1\r\n"),
          std::string("GET /\0x HTTP/1.1\r\n", 18), long_method + " / HTTP/1.1\r\n",
          std::string("GET\v/\vHTTP/1.1\n"), std::string("\xa0GET / HTTP/1.1\n"),
          std::string("0000git- /x?\0 HTTP/1.1\n", 23),
          std::string("M-SEARCH\r/ HTTP/1.1\r\n"), std::string("GET /\xff HTTP/1.1\n")}) {
      CAPTURE(target, begin);
      CHECK(taken_as_http(*engine, target, begin));
      // Wherever it is cut in two.
      for (std::size_t size = 1; size < begin.size(); ++size) {
        CAPTURE(size);
        REQUIRE(verdict_on(*engine, target, begin.substr(0, size)) == Verdict::more);
      }
      CHECK(taken_as_http(*engine, target, begin.substr(0, begin.size() - 1), true));
    }
  }
}

TEST_CASE("HTTP that only lenient servers read is taken out of the tunnel as well") {
  const auto engine = engine_for({"a.example:8080"});
  CHECK(taken_as_http(*engine, "a.example:8080", "GET /private\r\n"));
  CHECK(taken_as_http(*engine, "a.example:8080", "G(ET / HTTP/1.1\r\n"));
  CHECK(verdict_on(*engine, "a.example:8080", "get key\r\n") == Verdict::pass);
}

TEST_CASE("what a server could take for TLS is judged as TLS on every port") {
  const auto engine = engine_for({"a.example:8443", "any.example:8443", "127.0.0.9:8443"});
  const auto verdict = [&](std::string_view bytes) {
    return verdict_on(*engine, "a.example:8443", bytes);
  };
  const std::string hello = client_hello("a.example");
  const std::string foreign = client_hello("evil.example");
  CHECK(verdict(hello) == Verdict::pass);
  CHECK(verdict(foreign) == Verdict::refuse);
  const std::string alert("\x15\x03\x01\x00\x02\x01\x5a", 7);
  const std::string cipher_spec("\x14\x03\x01\x00\x01\x01", 6);
  const std::string empty_data("\x17\x03\x03\x00\x00", 5);
  const std::string heartbeat("\x18\x03\x03\x00\x01x", 6);
  for (const std::string& before : {alert, cipher_spec, empty_data, heartbeat}) {
    CHECK(verdict(before + foreign) == Verdict::refuse);
    CHECK(verdict(before + hello) == Verdict::refuse);
    for (std::size_t size = 1; size < before.size(); ++size) {
      CAPTURE(size);
      CHECK(verdict(before.substr(0, size)) != Verdict::pass);
    }
  }
  // Versions that lenient servers take.
  for (const char major : {'\0', '\x01', '\x02', '\x04', '\x0f', '\x7f'}) {
    std::string odd = foreign;
    odd[1] = major;
    std::string odd_alert = alert;
    odd_alert[1] = major;
    for (const std::string& bytes : {odd, odd_alert + foreign}) {
      CHECK(verdict(bytes) == Verdict::refuse);
      for (std::size_t size = 1; size < 7; ++size) {
        CAPTURE(size);
        CHECK(verdict(bytes.substr(0, size)) != Verdict::pass);
      }
    }
  }
  CHECK(verdict(std::string("\x16\x02\x01\0\0", 5) + foreign) == Verdict::refuse);
  // The format of SSL 2 has no room for a name.
  const std::string old("\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10", 11);
  CHECK(verdict(old) == Verdict::refuse);
  CHECK(verdict(old.substr(0, 3)) == Verdict::more);
  CHECK(verdict_on(*engine, "127.0.0.9:8443", old) == Verdict::pass);
}

TEST_CASE("packets of other protocols that begin as records of TLS do pass") {
  const auto engine = engine_for({"db.example:3306"});
  // telnet: "do echo".
  CHECK(verdict_on(*engine, "db.example:3306", "\xff\xfd\x01") == Verdict::pass);
  // MySQL: three octets of length, a number, capabilities.
  for (const char* begin : {"\x16\x01\x00\x01\x85\xa6", "\x15\x01\x00\x01\x85\xa6",
                            "\x14\x01\x00\x01\x85\xa6", "\x80\x00\x00\x01\x85\xa6"}) {
    CHECK(verdict_on(*engine, "db.example:3306", std::string_view(begin, 6)) == Verdict::pass);
  }
}

TEST_CASE("a rule may accept any server name, or refuse an encrypted hello") {
  NetworkRules rules = allowing({"any.example", "strict.example", "a.example"});
  rules.allow[0].any_sni = true;
  rules.allow[1].refuse_ech = true;
  const auto made = policy::Engine::make(rules, {});
  REQUIRE(made);
  const policy::Engine& engine = **made;
  CHECK(verdict_on(engine, "any.example:443", client_hello("")) == Verdict::pass);
  CHECK(verdict_on(engine, "any.example:443", client_hello("front.example")) == Verdict::pass);
  CHECK(verdict_on(engine, "a.example:443", client_hello("")) == Verdict::refuse);
  CHECK(verdict_on(engine, "a.example:443", client_hello("a.example", true)) == Verdict::pass);
  CHECK(verdict_on(engine, "a.example:443", client_hello("any.example", true)) == Verdict::refuse);
  CHECK(verdict_on(engine, "strict.example:443", client_hello("strict.example")) == Verdict::pass);
  CHECK(verdict_on(engine, "strict.example:443", client_hello("strict.example", true)) ==
        Verdict::refuse);
}

TEST_CASE("an encrypted hello that passes is noted in the audit log") {
  Origin origin([](Client& connection) { connection.receive_all(); });
  Proxy::Setup setup;
  setup.rules = allowing({"127.0.0.0/8:*"});
  Proxy proxy(std::move(setup));
  {
    Client client = proxy.connect();
    client.send(connect_to(origin.port()));
    client.receive_until("\r\n\r\n");
    client.send(client_hello("", true));
    client.finish_sending();
    client.receive_all();
  }
  proxy.stop();
  REQUIRE(proxy.records().size() == 2);
  CHECK(proxy.records()[1].detail.find("ECH") != std::string::npos);
}

TEST_CASE("each request of plain HTTP in a tunnel is judged, not the first alone") {
  Origin origin(serve_http);
  Proxy::Setup setup;
  setup.rules = allowing({"127.0.0.0/8:*"});
  Proxy proxy(std::move(setup));
  const std::string own = fmt::format("127.0.0.1:{}", origin.port());
  Client client = proxy.connect();
  client.send(connect_to(origin.port()));
  client.receive_until("\r\n\r\n");
  client.send(get("/one", own));
  CHECK(receive_response(client).ends_with("GET /one HTTP/1.1"));
  client.send(get("/two", own) + get("/three", own));
  CHECK(receive_response(client).ends_with("GET /two HTTP/1.1"));
  CHECK(receive_response(client).ends_with("GET /three HTTP/1.1"));
  client.send(get("/four", "evil.example"));
  CHECK(receive_response(client).starts_with("HTTP/1.1 421 "));
  proxy.stop();
  const std::vector<audit::Record> records = proxy.records();
  CHECK(std::count_if(records.begin(), records.end(), [](const audit::Record& record) {
          return record.kind == audit::Kind::decision && record.way == audit::Way::connect &&
                 record.method == "GET" && record.allowed;
        }) == 3);
}

TEST_CASE("HTTP in a tunnel may not name another place in its target, whatever Host says") {
  std::atomic<bool> got = false;
  {
    Origin origin([&](Client& connection) { got = !connection.receive_all().empty(); });
    Proxy::Setup setup;
    setup.rules = allowing({"127.0.0.0/8:*"});
    Proxy proxy(std::move(setup));
    for (const char* line :
         {"GET http://evil.example/ HTTP/1.1", "CONNECT evil.example:443 HTTP/1.1"}) {
      CAPTURE(line);
      Client client = proxy.connect();
      client.send(connect_to(origin.port()));
      client.receive_until("\r\n\r\n");
      client.send(fmt::format("{}\r\nHost: 127.0.0.1:{}\r\n\r\n", line, origin.port()));
      const std::string answer = client.receive_until("\r\n\r\n");
      CHECK(answer.starts_with("HTTP/1.1 400 "));
    }
  }
  CHECK_FALSE(got);
}

TEST_CASE("not a byte of a fronted request goes upstream, and the client is told 421") {
  std::string got;  // also where the tunnel was closed before the origin accepted it
  {
    Origin origin([&](Client& connection) { got = connection.receive_all(); });
    Proxy::Setup setup;
    setup.rules = allowing({"127.0.0.0/8:*"});
    Proxy proxy(std::move(setup));
    Client client = proxy.connect();
    client.send(connect_to(origin.port()));
    client.receive_until("\r\n\r\n");
    client.send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    client.finish_sending();
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
  std::string got;  // also where the tunnel was closed before the origin accepted it
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
