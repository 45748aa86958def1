#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <catch2/catch.hpp>
#include <mutex>

#include "proxy/intercept/ca.hpp"
#include "tests/proxy/fixture.hpp"
#include "tests/support/fake_dns.hpp"

namespace nono::test {

namespace {

// Says of each connection what the test wants.
class Wanted final : public OriginalDestination {
 public:
  std::optional<HostPort> of(int /*accepted*/) override {
    const std::lock_guard lock(mutex_);
    return place_;
  }
  void set(const std::string& address, std::uint16_t port) {
    const std::lock_guard lock(mutex_);
    place_ = HostPort{*IpAddress::parse(address), Port(port)};
  }

 private:
  std::mutex mutex_;
  std::optional<HostPort> place_;
};

std::string u16(std::size_t value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}

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

// A proxy that captures; what it resolves is all on 127.0.0.1.
class Scene {
 public:
  explicit Scene(NetworkRules rules, Limits limits = {})
      : proxy_(setup(std::move(rules), limits)) {}

  // Asks the proxy's DNS for the name; its made-up address, or empty where it has none.
  std::string look_up(const std::string& name) {
    std::string query = std::string("\x12\x34\x01\0\0\x01\0\0\0\0\0\0", 12);
    for (std::size_t at = 0; at < name.size();) {
      const std::size_t end = std::min(name.find('.', at), name.size());
      query += static_cast<char>(end - at) + name.substr(at, end - at);
      at = end + 1;
    }
    query += std::string("\0\0\x01\0\x01", 5);
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const timeval patience = {10, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(proxy_.dns_port());
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to);
    ::send(socket.get(), query.data(), query.size(), 0);
    std::array<unsigned char, 512> answer;
    const ssize_t size = ::recv(socket.get(), answer.data(), answer.size(), 0);
    const bool found = size > 16 && (answer[3] & 0xf) == 0 && answer[7] == 1;
    if (!found) return {};
    const auto last = static_cast<std::size_t>(size) - 4;
    return fmt::format("{}.{}.{}.{}", answer[last], answer[last + 1], answer[last + 2],
                       answer[last + 3]);
  }

  // A client that wanted to go there.
  Client connect(const std::string& address, std::uint16_t port) {
    wanted->set(address, port);
    return proxy_.connect_captured();
  }
  Client connect_by_name(const std::string& name, std::uint16_t port) {
    const std::string address = look_up(name);
    REQUIRE_FALSE(address.empty());
    return connect(address, port);
  }

  std::vector<audit::Record> records() {
    proxy_.stop();
    std::vector<audit::Record> captured;
    for (audit::Record& record : proxy_.records()) {
      if (record.way == audit::Way::captured) captured.push_back(std::move(record));
    }
    return captured;
  }
  const Proxy& proxy() const { return proxy_; }

  FakeDns dns;
  std::shared_ptr<Wanted> wanted = std::make_shared<Wanted>();

 private:
  Proxy::Setup setup(NetworkRules rules, const Limits& limits) {
    for (const char* name : {"a.example", "b.example", "c.example"}) dns.add_a(name, "127.0.0.1");
    Proxy::Setup setup;
    setup.rules = std::move(rules);
    setup.limits = limits;
    setup.dns_servers = {dns.endpoint()};
    setup.captured = wanted;
    setup.ca = *intercept::CertificateAuthority::generate();
    return setup;
  }

  Proxy proxy_;
};

std::string with_port(const std::string& host, std::uint16_t port) {
  return host + ":" + std::to_string(port);
}

// Sends all that it receives back, after a word of its own.
void greet_and_echo(Client& connection) {
  connection.send("hello\n");
  connection.send(connection.receive_until("\n"));
}

}  // namespace

TEST_CASE("a made-up address leads to its name, and the server may speak first") {
  Origin origin(greet_and_echo);
  Scene scene(allowing({with_port("a.example", origin.port())}));
  {
    Client client = scene.connect_by_name("a.example", origin.port());
    CHECK(client.receive_until("\n") == "hello\n");
    client.send("again\n");
    CHECK(client.receive_all() == "again\n");
  }
  const std::vector<audit::Record> records = scene.records();
  REQUIRE(records.size() == 2);
  CHECK(records[0].allowed);
  CHECK(records[0].host == "a.example");
  CHECK(records[0].port == origin.port());
  CHECK(records[1].kind == audit::Kind::end);
  CHECK(records[1].bytes_to_client == 12);
  CHECK(records[1].status == 0);
}

TEST_CASE("looking names up asks nobody, and a denied name has no address") {
  Scene scene(allowing({"*.example"}));
  CHECK(scene.look_up("a.example").starts_with("198.18."));
  CHECK(scene.look_up("a.example") != scene.look_up("b.example"));
  CHECK(scene.look_up("evil.test").empty());
  CHECK(scene.dns.queries().empty());
  const std::vector<audit::Record> refusals = scene.proxy().refusals();
  REQUIRE(refusals.size() == 1);
  CHECK(refusals[0].host == "evil.test");
  CHECK(refusals[0].way == audit::Way::dns);
}

TEST_CASE("an address that no rule names is broken off before any byte, without a dial") {
  Origin origin(greet_and_echo);
  Scene scene(allowing({with_port("a.example", origin.port())}));
  CHECK(scene.connect("203.0.113.9", origin.port()).reset_by_peer());
  CHECK(scene.connect("127.0.0.1", origin.port()).reset_by_peer());    // loopback inside
  CHECK(scene.connect("198.18.77.7", origin.port()).reset_by_peer());  // stands for nothing
  CHECK(scene.connect("169.254.169.254", 22).reset_by_peer());
  CHECK(scene.connect_by_name("a.example", 22).reset_by_peer());  // allowed on another port
  CHECK(origin.connections() == 0);
  CHECK(scene.proxy().refusals().size() == 5);
  CHECK(scene.records().size() == 5);
}

TEST_CASE("where nobody knows the destination the connection is broken off and recorded") {
  Scene scene(allowing({"*.example"}));
  CHECK(scene.proxy().connect_captured().reset_by_peer());
  const std::vector<audit::Record> records = scene.records();
  REQUIRE(records.size() == 1);
  CHECK_FALSE(records[0].allowed);
  CHECK(records[0].because.reason == Reason::internal);
}

TEST_CASE("TLS for another host than the address stands for is refused without a dial") {
  Scene scene(allowing({"a.example", "b.example"}));
  for (const char* name : {"b.example", "evil.test", ""}) {
    Client client = scene.connect_by_name("a.example", 443);
    client.send(client_hello(name));
    CHECK(client.receive_all() == std::string("\x15\x03\x03\x00\x02\x02\x70", 7));
  }
  CHECK(scene.dns.queries().empty());
  const std::vector<audit::Record> records = scene.records();
  REQUIRE(records.size() == 3);
  for (const audit::Record& record : records) {
    CHECK(record.host == "a.example");
    CHECK(record.because.reason == Reason::authority_mismatch);
  }
}

TEST_CASE(
    "a mere address is judged by the name that TLS gives it, and the name is resolved by us") {
  Scene scene(allowing({"a.example"}));
  {
    Client client = scene.connect("203.0.113.9", 443);
    client.send(client_hello("evil.test"));
    CHECK(client.receive_all() == std::string("\x15\x03\x03\x00\x02\x02\x31", 7));
  }
  {
    Client client = scene.connect("203.0.113.9", 443);
    client.send(client_hello(""));
    CHECK(client.reset_by_peer());
  }
  CHECK(scene.dns.queries().empty());
  scene.dns.set_fault(DnsFault::hold, "a.example");  // its port 443 is none of this test's
  {
    Client client = scene.connect("203.0.113.9", 443);
    client.send(client_hello("a.example").substr(0, 20));
    client.send(client_hello("a.example").substr(20));
    CHECK(scene.dns.wait_for_queries(1));
  }
  CHECK(scene.dns.count("evil.test") == 0);
  const std::vector<audit::Record> records = scene.records();
  REQUIRE(records.size() >= 3);
  CHECK(records[0].host == "evil.test");
  CHECK(records[1].host == "203.0.113.9");
  CHECK(records[2].host == "a.example");
  CHECK(records[2].allowed);
}

TEST_CASE("HTTP on a made-up address is served request by request, each for the same host") {
  Origin origin(serve_http);
  Scene scene(allowing({with_port("a.example", origin.port())}));
  {
    Client client = scene.connect_by_name("a.example", origin.port());
    for (const char* path : {"/one", "/two"}) {
      client.send(
          fmt::format("GET {} HTTP/1.1\r\nHost: a.example:{}\r\n\r\n", path, origin.port()));
      const std::string head = client.receive_until("\r\n\r\n");
      CHECK(head.starts_with("HTTP/1.1 200"));
      client.receive_until("HTTP/1.1");
    }
    client.send(fmt::format("GET /three HTTP/1.1\r\nHost: b.example:{}\r\n\r\n", origin.port()));
    CHECK(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 421"));
  }
  std::vector<std::string> paths;
  for (const audit::Record& record : scene.records()) {
    if (record.kind == audit::Kind::decision && !record.path.empty()) paths.push_back(record.path);
  }
  CHECK(paths == std::vector<std::string>{"/one", "/two", "/three"});
}

TEST_CASE("HTTP to a mere address is judged by Host, and told why it is refused") {
  Scene scene(allowing({"a.example"}));
  const std::string answer =
      scene.connect("203.0.113.9", 80).exchange("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n");
  CHECK(answer.starts_with("HTTP/1.1 403"));
  CHECK(answer.find("allow it with --allow-domain evil.test") != std::string::npos);
  const std::string port =
      scene.connect("203.0.113.9", 80).exchange("GET / HTTP/1.1\r\nHost: a.example:81\r\n\r\n");
  CHECK(port.starts_with("HTTP/1.1 421"));
  {
    Client client = scene.connect("203.0.113.9", 80);
    client.send("GET / HTTP/1.1\r\nHost: 203.0.113.9\r\n\r\n");
    CHECK(client.reset_by_peer());
  }
  {
    Client client = scene.connect("203.0.113.9", 80);
    client.send("GET / HTTP/1.0\r\n\r\n");
    CHECK(client.reset_by_peer());
  }
  CHECK(scene.dns.queries().empty());
  CHECK(scene.records().size() == 4);
}

TEST_CASE("a client that says nothing to an allowed name is no request") {
  Limits limits;
  limits.keep_alive_time_max = std::chrono::milliseconds(200);
  Scene scene(allowing({"a.example"}), limits);
  CHECK(scene.connect_by_name("a.example", 443).closed_by_peer());
  {
    Client client = scene.connect_by_name("a.example", 80);
    client.finish_sending();
    CHECK(client.closed_by_peer());
  }
  CHECK(scene.records().empty());
}

TEST_CASE("a client that says nothing to an address that is denied is broken off") {
  Scene scene(allowing({"a.example"}));
  CHECK(scene.connect("203.0.113.9", 443).reset_by_peer());
  const std::vector<audit::Record> records = scene.records();
  REQUIRE(records.size() == 1);
  CHECK(records[0].host == "203.0.113.9");
}

TEST_CASE("other protocols than TLS and HTTP are refused on their ports") {
  Scene scene(allowing({"a.example", "203.0.113.9"}));
  for (const char* text : {"SSH-2.0-x\r\n", "\1\2\3\4"}) {
    Client client = scene.connect_by_name("a.example", 443);
    client.send(text);
    CHECK(client.closed_by_peer());
    Client literal = scene.connect("203.0.113.9", 80);
    literal.send(text);
    CHECK(literal.closed_by_peer());
  }
  CHECK(scene.dns.queries().empty());
  for (const audit::Record& record : scene.records()) CHECK_FALSE(record.allowed);
}

TEST_CASE("a ClientHello that never ends is given up") {
  Limits limits;
  limits.peek_time_max = std::chrono::milliseconds(200);
  Scene scene(allowing({"a.example"}), limits);
  {
    Client client = scene.connect_by_name("a.example", 443);
    client.send(client_hello("a.example").substr(0, 30));
    CHECK(client.receive_all().empty());
  }
  {
    Client client = scene.connect_by_name("a.example", 443);
    client.send("\x16\x03\x01\x3f\xff" + std::string(40'000, 'x'));
    client.receive_all();
  }
  CHECK(scene.dns.queries().empty());
  const std::vector<audit::Record> records = scene.records();
  REQUIRE(records.size() == 2);
  for (const audit::Record& record : records) CHECK_FALSE(record.allowed);
}

TEST_CASE("an intercepted host on a port of its own takes nothing but TLS and HTTP") {
  NetworkRules rules = allowing({});
  HostRule rule{"a.example:8443", {{"GET", "/allowed", {}}}, nono::Origin{"test"}};
  rules.allow.push_back(rule);
  Scene scene(std::move(rules));
  Client other = scene.connect_by_name("a.example", 8443);
  other.send("SSH-2.0-x\r\n");
  CHECK(other.closed_by_peer());
  const std::string answer = scene.connect_by_name("a.example", 8443)
                                 .exchange("GET /else HTTP/1.1\r\nHost: a.example:8443\r\n\r\n");
  CHECK(answer.starts_with("HTTP/1.1 403"));
  CHECK(scene.dns.queries().empty());
}

TEST_CASE("an open port leads to this machine's loopback, whatever its server speaks") {
  Origin origin(greet_and_echo);
  NetworkRules rules = allowing({});
  rules.open_ports = {Port(origin.port())};
  Scene scene(std::move(rules));
  for (const char* address : {"127.0.0.1", "::1", "127.9.9.9"}) {
    Client client = scene.connect(address, origin.port());
    CHECK(client.receive_until("\n") == "hello\n");
    client.send("GET / HTTP/1.1\n");
    CHECK(client.receive_all() == "GET / HTTP/1.1\n");
  }
  CHECK(scene.connect("203.0.113.9", origin.port()).reset_by_peer());
  CHECK(origin.connections() == 3);
  const std::vector<audit::Record> records = scene.records();
  CHECK(records[0].because.rule == fmt::format("--open-port {}", origin.port()));
  CHECK(records[0].allowed);
}

TEST_CASE("an upstream that cannot be reached is a connection broken off, and recorded") {
  Scene scene(allowing({"a.example:9"}));
  CHECK(scene.connect_by_name("a.example", 9).reset_by_peer());
  const std::vector<audit::Record> records = scene.records();
  REQUIRE(records.size() == 2);
  CHECK(records[0].allowed);
  CHECK(records[1].because.reason == Reason::upstream_failed);
}

TEST_CASE("beyond the limit of connections captured ones are closed without a word") {
  Origin origin(greet_and_echo);
  Limits limits;
  limits.connections_max = 1;
  Scene scene(allowing({with_port("a.example", origin.port())}), limits);
  Client first = scene.connect_by_name("a.example", origin.port());
  CHECK(first.receive_until("\n") == "hello\n");
  Client second = scene.connect_by_name("a.example", origin.port());
  CHECK(second.closed_by_peer());
  first.send("end\n");
  first.receive_all();
}

}  // namespace nono::test
