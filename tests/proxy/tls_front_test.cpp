#include "proxy/tls_front.hpp"

#include <catch2/catch.hpp>

#include "tests/proxy/session_scene.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

namespace nono::test {

namespace {

void make_certificate(const testing::TempDir& dir, const std::string& name) {
  const testing::Finished made =
      testing::run({{"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=proxy",
                     "-keyout", dir / (name + ".key"), "-out", dir / (name + ".pem")},
                    testing::plain_environment(dir.path()),
                    dir.path(),
                    {},
                    ""});
  if (made.code != 0) throw std::runtime_error(made.err);
}

ServerOptions options_with(const std::string& cert, const std::string& key) {
  ServerOptions options;
  options.main.emplace(
      session_setup("default", "main-token", {"127.0.0.0/8:*"}, SessionOrigin::main));
  options.tls_cert = cert;
  options.tls_key = key;
  return options;
}

}  // namespace

TEST_CASE("a certificate that is not there, or whose key is another's, makes no server") {
  const testing::TempDir dir;
  make_certificate(dir, "one");
  make_certificate(dir, "two");
  const auto makes = [](const std::string& cert, const std::string& key) {
    return Server::make(options_with(cert, key)).has_value();
  };
  CHECK(makes(dir / "one.pem", dir / "one.key"));
  CHECK_FALSE(makes(dir / "none.pem", dir / "one.key"));
  CHECK_FALSE(makes(dir / "one.pem", dir / "two.key"));
  CHECK_FALSE(makes(dir / "one.key", dir / "one.key"));
}

TEST_CASE("handshakes that are not finished count, end in their time, and free their place") {
  const testing::TempDir dir;
  make_certificate(dir, "one");
  ServerOptions options = options_with(dir / "one.pem", dir / "one.key");
  options.limits.connections_max = 3;
  options.limits.tls_time_max = std::chrono::seconds(2);
  options.limits.drain_time_max = std::chrono::milliseconds(500);
  auto listener = listen_tcp(*IpAddress::parse("127.0.0.1"), 0, false);
  REQUIRE(listener);
  const std::uint16_t port = local_address(*listener)->port.value();
  options.listeners.push_back(ListenerSetup{std::move(*listener), false, true});
  auto server = Server::make(std::move(options));
  REQUIRE(server);
  std::thread thread([&] { (*server)->run(); });
  {
    const auto begun = std::chrono::steady_clock::now();
    Client first("127.0.0.1", port), second("127.0.0.1", port), third("127.0.0.1", port);
    first.send("\x16\x03\x01");
    Client fourth("127.0.0.1", port);
    CHECK(fourth.receive_all().empty());  // nothing in clear, and soon
    CHECK(std::chrono::steady_clock::now() - begun < std::chrono::milliseconds(1900));
    const std::string alert = first.receive_all();
    CHECK(alert.find("HTTP") == std::string::npos);
    second.receive_all();
    third.receive_all();
    CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(9));
    Client later("127.0.0.1", port);
    later.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK(later.receive_all().find("HTTP/1.1") == std::string::npos);
  }
  (*server)->stop(std::chrono::milliseconds(0));
  thread.join();
}

}  // namespace nono::test
