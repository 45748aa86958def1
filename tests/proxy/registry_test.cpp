#include "proxy/registry.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <cstring>

#include "tests/proxy/session_scene.hpp"
#include "tests/support/fake_dns.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

namespace nono::test {

namespace {

// A server on threads of its own whose sessions are changed from outside.
class Running {
 public:
  explicit Running(unsigned threads = 2) {
    ServerOptions options;
    options.main.emplace(
        session_setup("default", "main-token", {"127.0.0.0/8:*"}, SessionOrigin::main));
    options.threads = threads;
    auto listener = listen_tcp(*IpAddress::parse("127.0.0.1"), 0, threads > 1);
    if (!listener) throw std::runtime_error(listener.error().what);
    port_ = local_address(*listener)->port.value();
    options.listeners.push_back(ListenerSetup{std::move(*listener), false});
    auto server = Server::make(std::move(options));
    if (!server) throw std::runtime_error(server.error().what);
    server_ = std::move(*server);
    thread_ = std::thread([this] { server_->run(); });
  }
  ~Running() {
    server_->stop(std::chrono::milliseconds(0));
    thread_.join();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  SessionRegistry& sessions() { return server_->sessions(); }
  Client connect() const { return {"127.0.0.1", port_}; }
  // The status line's number, or what came instead.
  std::string ask(const std::string& token, std::uint16_t origin) const {
    Client client = connect();
    return status(client.exchange(request(token, origin)));
  }
  static std::string request(const std::string& token, std::uint16_t origin) {
    return fmt::format(
        "GET http://127.0.0.1:{0}/ HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\nProxy-Authorization: Bearer "
        "{1}\r\nConnection: close\r\n\r\n",
        origin, token);
  }
  static std::string status(const std::string& answer) {
    return answer.starts_with("HTTP/1.1 ") ? answer.substr(9, 3) : answer;
  }
  Client tunnel(const std::string& token, std::uint16_t origin) const {
    Client client = connect();
    client.send(fmt::format(
        "CONNECT 127.0.0.1:{0} HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\nProxy-Authorization: Bearer "
        "{1}\r\n\r\n",
        origin, token));
    const std::string head = client.receive_until("\r\n\r\n");
    if (status(head) != "200") throw std::runtime_error(head);
    return client;
  }

 private:
  std::uint16_t port_ = 0;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

void echo(Client& connection) {
  for (;;) {
    const std::string byte = connection.receive(1);
    if (byte.empty()) return;
    connection.send(byte);
  }
}

bool echoes(Client& client) {
  client.send("\1");
  return client.receive(1) == "\1";
}

Reload reload_with(std::vector<SessionSetup> sessions, bool cut = false) {
  Reload reload;
  reload.main.emplace(
      session_setup("default", "main-token", {"127.0.0.0/8:*"}, SessionOrigin::main));
  reload.sessions = std::move(sessions);
  reload.cut = cut;
  return reload;
}

SessionSetup of_file(const std::string& name, std::vector<std::string> hosts = {"127.0.0.0/8:*"}) {
  return session_setup(name, name + "-token", std::move(hosts), SessionOrigin::file);
}

std::uint16_t add_listener(SessionSetup& setup) {
  auto socket = listen_tcp(*IpAddress::parse("127.0.0.1"), 0, true);
  const std::uint16_t port = local_address(*socket)->port.value();
  setup.listeners.push_back(
      SessionListener{std::move(*socket), "127.0.0.1:0", "127.0.0.1:" + std::to_string(port)});
  return port;
}

bool refuses_connections(std::uint16_t port) {
  // Closing is posted to each thread: a connection may still be taken, and is then closed.
  for (int tries = 0; tries < 500; ++tries) {
    try {
      Client client("127.0.0.1", port);
      if (client.exchange("GET / HTTP/1.1\r\n\r\n").empty()) continue;
    } catch (const std::runtime_error&) {
      return true;
    }
    testing::pause_between_polls();
  }
  return false;
}

}  // namespace

TEST_CASE("a session is served from the moment that it is added until it is revoked") {
  Origin origin(serve_http);
  Running proxy;
  CHECK(proxy.ask("a-token", origin.port()) == "407");
  REQUIRE(proxy.sessions().add(session_setup("a", "a-token")));
  CHECK(proxy.ask("a-token", origin.port()) == "200");
  CHECK_FALSE(proxy.sessions().add(session_setup("a", "another")).has_value());
  CHECK(proxy.ask("another", origin.port()) == "407");
  REQUIRE(proxy.sessions().revoke("a"));
  CHECK(proxy.ask("a-token", origin.port()) == "407");
  CHECK_FALSE(proxy.sessions().revoke("a").has_value());
  CHECK(proxy.ask("main-token", origin.port()) == "200");
}

TEST_CASE("revoking closes the tunnels of one session and of no other, its listener too") {
  Origin origin(echo);
  Running proxy;
  SessionSetup setup = session_setup("a", "a-token");
  const std::uint16_t own = add_listener(setup);
  REQUIRE(proxy.sessions().add(std::move(setup)));
  REQUIRE(proxy.sessions().add(session_setup("b", "b-token")));
  Client of_a = proxy.tunnel("a-token", origin.port());
  Client of_b = proxy.tunnel("b-token", origin.port());
  Client silent("127.0.0.1", own);  // has said nothing yet
  CHECK(echoes(of_a));
  REQUIRE(proxy.sessions().revoke("a"));
  CHECK_FALSE(echoes(of_a));
  CHECK(silent.receive_all().empty());
  CHECK(refuses_connections(own));
  CHECK(echoes(of_b));
}

TEST_CASE("a request that waits for a name when its session is revoked never leaves") {
  std::atomic<int> heads{0};
  Origin origin([&](Client& connection) {
    if (!connection.receive_until("\r\n\r\n").empty()) ++heads;
    connection.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
  });
  FakeDns dns;
  dns.add_a("slow.test", "127.0.0.1");
  dns.set_fault(DnsFault::hold);
  Running proxy(1);
  for (const char* name : {"a", "b"}) {
    SessionSetup setup = session_setup(name, std::string(name) + "-token", {"slow.test:*"});
    setup.config.dns_servers = {dns.endpoint()};
    REQUIRE(proxy.sessions().add(std::move(setup)));
  }
  const auto send = [&](Client& client, const std::string& token) {
    client.send(
        fmt::format("GET http://slow.test:{0}/ HTTP/1.1\r\nHost: slow.test:{0}\r\n"
                    "Proxy-Authorization: Bearer {1}\r\nConnection: close\r\n\r\n",
                    origin.port(), token));
  };
  Client of_a = proxy.connect();
  send(of_a, "a-token");
  REQUIRE(dns.wait_for_queries(2));
  Client of_b = proxy.connect();
  send(of_b, "b-token");
  REQUIRE(proxy.sessions().revoke("a"));
  CHECK(of_a.receive_all().empty());
  dns.release();
  CHECK(Running::status(of_b.receive_all()) == "204");
  CHECK(heads == 1);
}

TEST_CASE("what began before a reload goes on, and ends with a revocation after it") {
  Origin origin(echo);
  Running proxy;
  std::vector<SessionSetup> first;
  first.push_back(of_file("a"));
  REQUIRE(proxy.sessions().apply(reload_with(std::move(first))));
  Client tunnel = proxy.tunnel("a-token", origin.port());
  std::vector<SessionSetup> second;
  second.push_back(of_file("a", {"a.test"}));
  REQUIRE(proxy.sessions().apply(reload_with(std::move(second))));
  CHECK(echoes(tunnel));
  CHECK_THROWS(proxy.tunnel("a-token", origin.port()));
  REQUIRE(proxy.sessions().revoke("a"));
  CHECK_FALSE(echoes(tunnel));
}

TEST_CASE("two sessions with one token are refused as a whole, for it would open either's rules") {
  Origin origin(serve_http);
  Running proxy;
  const auto pair = [](const std::string& token_of_b) {
    std::vector<SessionSetup> sessions;
    sessions.push_back(of_file("a"));
    sessions.push_back(of_file("b"));
    sessions.back().token = Secret(token_of_b);
    return sessions;
  };
  for (const char* taken : {"a-token", "main-token"}) {
    const auto applied = proxy.sessions().apply(reload_with(pair(taken)));
    REQUIRE_FALSE(applied.has_value());
    CHECK(applied.error().what.find(" b ") != std::string::npos);
    CHECK(applied.error().what.find(taken) == std::string::npos);
    CHECK(proxy.ask("a-token", origin.port()) == "407");
  }
  CHECK(proxy.sessions().apply(reload_with(pair("b-token"))));
  // Without a token only their own listeners lead to them: that is none in common.
  std::vector<SessionSetup> tokenless = pair("");
  tokenless.front().token = Secret("");
  CHECK(proxy.sessions().apply(reload_with(std::move(tokenless))));
}

TEST_CASE(
    "a connection that waits for its next request through a reload is served like any other") {
  Origin origin(serve_http);
  Running proxy(1);
  Client waiting = proxy.connect();
  const auto ask_on_it = [&](const std::string& path) {
    waiting.send(
        fmt::format("GET http://127.0.0.1:{0}{1} HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n"
                    "Proxy-Authorization: Bearer main-token\r\n\r\n",
                    origin.port(), path));
    std::string answer;
    while (answer.find("GET " + path + " HTTP/1.1") == answer.npos) {
      const std::string octet = waiting.receive(1);
      if (octet.empty()) return "closed after " + answer;
      answer += octet;
    }
    return Running::status(answer);
  };
  REQUIRE(ask_on_it("/one") == "200");
  REQUIRE(proxy.sessions().apply(reload_with({})));
  CHECK(proxy.ask("main-token", origin.port()) == "200");  // in force by now
  CHECK(ask_on_it("/two") == "200");
}

TEST_CASE("a reload that cuts, or that has a session no more, closes its tunnels") {
  Origin origin(echo);
  Running proxy;
  REQUIRE(proxy.sessions().add(session_setup("made", "made-token")));
  std::vector<SessionSetup> first;
  first.push_back(of_file("a"));
  first.push_back(of_file("b"));
  REQUIRE(proxy.sessions().apply(reload_with(std::move(first))));
  Client a = proxy.tunnel("a-token", origin.port()), b = proxy.tunnel("b-token", origin.port());
  Client main = proxy.tunnel("main-token", origin.port());
  Client made = proxy.tunnel("made-token", origin.port());
  std::vector<SessionSetup> second;
  second.push_back(of_file("b"));
  REQUIRE(proxy.sessions().apply(reload_with(std::move(second))));
  CHECK_FALSE(echoes(a));
  CHECK(echoes(b));
  CHECK(echoes(main));
  std::vector<SessionSetup> third;
  third.push_back(of_file("b"));
  REQUIRE(proxy.sessions().apply(reload_with(std::move(third), true)));
  CHECK_FALSE(echoes(b));
  CHECK_FALSE(echoes(main));
  CHECK(echoes(made));
}

TEST_CASE("what is open under the rules of before counts after a reload") {
  Origin origin(echo);
  Running proxy;
  const auto limited = [] {
    std::vector<SessionSetup> sessions;
    sessions.push_back(of_file("a"));
    sessions.back().limits.session_connections_max = 1;
    return sessions;
  };
  REQUIRE(proxy.sessions().apply(reload_with(limited())));
  {
    Client tunnel = proxy.tunnel("a-token", origin.port());
    CHECK(proxy.ask("a-token", origin.port()) == "429");
    REQUIRE(proxy.sessions().apply(reload_with(limited())));
    CHECK(proxy.ask("a-token", origin.port()) == "429");
    CHECK(echoes(tunnel));
  }
  CHECK(testing::eventually([&] {
    for (const SessionPtr& session : proxy.sessions().all()) {
      if (session->use().connections != 0) return false;
    }
    return true;
  }));
}

TEST_CASE("a Unix socket has no port that a request could be taken to mean the proxy by") {
  Running proxy;
  const testing::TempDir dir;
  const std::string path = dir / "a.sock";
  SessionSetup setup = session_setup("a", "", {"a.test"});
  auto socket = listen_unix(path);
  REQUIRE(socket);
  setup.listeners.push_back(SessionListener{std::move(*socket), "unix:a.sock", "unix:" + path});
  REQUIRE(proxy.sessions().add(std::move(setup)));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  Client client(std::move(fd));
  // Where a TCP socket's address has its port, this one has the path's first two characters.
  const int port = path[0] << 8 | path[1];
  const std::string answer = client.exchange(
      fmt::format("GET http://127.0.0.1:{0}/ HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n\r\n", port));
  CHECK(Running::status(answer) == "403");
}

TEST_CASE("a request that is on its way during a reload is read by the bounds that it began with") {
  Origin origin(serve_http);
  Running proxy(1);
  Client slow = proxy.connect(), silent = proxy.connect();
  const std::string request = Running::request("main-token", origin.port());
  slow.send(request.substr(0, 10));
  CHECK(proxy.ask("main-token", origin.port()) == "200");  // by now both are waited for
  for (int i = 0; i < 3; ++i) {
    Reload reload = reload_with({});
    reload.limits.head_bytes_max = 16;
    REQUIRE(proxy.sessions().apply(std::move(reload)));
    CHECK(proxy.ask("main-token", origin.port()) == "431");
  }
  slow.send(request.substr(10));
  CHECK(Running::status(slow.receive_all()) == "200");
  CHECK(Running::status(silent.exchange(request)) == "431");
}

TEST_CASE("a reload with anything wrong in it changes nothing") {
  Origin origin(serve_http);
  Running proxy;
  REQUIRE(proxy.sessions().add(session_setup("made", "made-token")));
  std::vector<SessionSetup> first;
  first.push_back(of_file("a"));
  REQUIRE(proxy.sessions().apply(reload_with(std::move(first))));
  const auto refused = [&](SessionSetup wrong) {
    std::vector<SessionSetup> sessions;
    sessions.push_back(of_file("b"));
    sessions.push_back(std::move(wrong));
    CHECK_FALSE(proxy.sessions().apply(reload_with(std::move(sessions), true)).has_value());
    CHECK(proxy.ask("b-token", origin.port()) == "407");
    CHECK(proxy.ask("a-token", origin.port()) == "200");
    CHECK(proxy.ask("main-token", origin.port()) == "200");
    CHECK(proxy.sessions().all().size() == 3);
  };
  refused(of_file("b"));
  refused(of_file("made"));
  refused(of_file("default"));
  SessionSetup roots = of_file("c");
  roots.config.upstream_ca_files.push_back("/nonexistent.pem");
  refused(std::move(roots));
}

TEST_CASE("a session whose time is over is revoked by itself, socket file and all") {
  Origin origin(echo);
  Running proxy;
  const testing::TempDir dir;
  SessionSetup setup = session_setup("a", "a-token");
  setup.ttl = std::chrono::seconds(1);
  const std::string path = dir / "a.sock";
  auto socket = listen_unix(path);
  REQUIRE(socket);
  setup.listeners.push_back(SessionListener{std::move(*socket), "unix:a.sock", "unix:" + path});
  REQUIRE(proxy.sessions().add(std::move(setup)));
  REQUIRE(proxy.sessions().add(session_setup("b", "b-token")));
  Client tunnel = proxy.tunnel("a-token", origin.port());
  CHECK(::access(path.c_str(), F_OK) == 0);
  CHECK(tunnel.receive_all().empty());
  CHECK(proxy.ask("a-token", origin.port()) == "407");
  CHECK(proxy.sessions().all().size() == 2);
  CHECK(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("sessions come, go and are reloaded while clients of several threads use them") {
  Origin origin(serve_http);
  Running proxy(3);
  std::atomic<bool> over{false};
  std::atomic<int> served{0}, strange{0};
  std::vector<std::thread> clients;
  for (const std::string token : {"a-token", "b-token", "main-token", "never-token"}) {
    clients.emplace_back([&, token] {
      while (!over) {
        const std::string status = proxy.ask(token, origin.port());
        if (status == "200") ++served;
        const bool possible = status == "200" || status == "407" || status.empty();
        const bool right = token == "main-token"    ? status == "200"
                           : token == "never-token" ? status == "407"
                                                    : possible;
        if (!right) ++strange;
      }
    });
  }
  for (int round = 0; round < 40; ++round) {
    CHECK(proxy.sessions().add(session_setup("a", "a-token")));
    std::vector<SessionSetup> sessions;
    if (round % 2 == 0) sessions.push_back(of_file("b"));
    CHECK(proxy.sessions().apply(reload_with(std::move(sessions))));
    for (const SessionPtr& session : proxy.sessions().all()) {
      CHECK(session->use().connections < 1000);
    }
    proxy.ask("a-token", origin.port());
    CHECK(proxy.sessions().revoke("a"));
  }
  over = true;
  for (std::thread& client : clients) client.join();
  CHECK(served > 0);
  CHECK(strange == 0);
}

}  // namespace nono::test
