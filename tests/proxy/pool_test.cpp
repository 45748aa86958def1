#include <fmt/format.h>
#include <sys/socket.h>
#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <future>

#include "config/upstream_proxy.hpp"
#include "proxy/session.hpp"
#include "proxy/upstream.hpp"
#include "tests/proxy/fixture.hpp"

namespace nono::test {

namespace {

using namespace std::chrono_literals;

SessionPtr session_called(const std::string& name) {
  SessionSetup setup;
  setup.config.name = name;
  setup.config.network = allowing({"a.example"});
  auto session = Session::make(std::move(setup));
  REQUIRE(session);
  return *session;
}

// A pool, and connections to put into it whose other ends the test holds.
struct Scene {
  net::io_context io{1};
  Deadlines deadlines{io.get_executor(), 10ms};
  UpstreamPool pool{deadlines};
  SessionPtr mine = session_called("mine");
  SessionPtr yours = session_called("yours");
  Limits limits;
  UpstreamPlace place{*parse_host_port("a.example:80"), Leg::http, false};
  std::vector<UniqueFd> peers;

  Scene() {
    pool.admit(*mine);
    pool.admit(*yours);
  }
  ~Scene() { deadlines.stop(); }

  Upstream opened(const UpstreamPlace& to) {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
    peers.emplace_back(ends[1]);
    auto stream = std::make_unique<TcpStream>(UniqueFd(ends[0]), io.get_executor(), deadlines);
    Upstream upstream;
    upstream.tcp = stream.get();
    upstream.stream = std::move(stream);
    upstream.place = to;
    return upstream;
  }
  int put(const Session& session, const UpstreamPlace& to) {
    Upstream upstream = opened(to);
    const int fd = upstream.tcp->native_handle();
    REQUIRE(pool.put(session, upstream, limits));
    REQUIRE_FALSE(upstream.stream);
    return fd;
  }
  // The descriptor of what the pool gives, or -1.
  int take(const Session& session, const UpstreamPlace& from) {
    Upstream upstream;
    if (!pool.take(session, from, upstream)) return -1;
    taken.push_back(std::move(upstream));
    return taken.back().tcp->native_handle();
  }
  bool closed(std::size_t peer) {
    char byte = 0;
    const ssize_t count = ::recv(peers[peer].get(), &byte, 1, MSG_DONTWAIT);
    return count == 0 || (count < 0 && errno == ECONNRESET);
  }
  std::vector<Upstream> taken;
};

std::string get(std::uint16_t port, std::string_view path, std::string_view fields = "") {
  return fmt::format("GET http://127.0.0.1:{0}{1} HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n{2}\r\n", port,
                     path, fields);
}

std::string receive_response(Client& client) {
  const std::string head = client.receive_until("\r\n\r\n");
  const std::size_t at = head.find("Content-Length: ");
  if (at == std::string::npos) return head;
  return head + client.receive(static_cast<std::size_t>(std::stoi(head.substr(at + 16))));
}

Proxy::Setup any_port_on_loopback() {
  Proxy::Setup setup;
  setup.rules = allowing({"127.0.0.0/8:*"});
  return setup;
}

}  // namespace

TEST_CASE("the connection used last is taken first, each once") {
  Scene scene;
  const int first = scene.put(*scene.mine, scene.place);
  const int second = scene.put(*scene.mine, scene.place);
  CHECK(scene.take(*scene.mine, scene.place) == second);
  CHECK(scene.take(*scene.mine, scene.place) == first);
  CHECK(scene.take(*scene.mine, scene.place) == -1);
}

TEST_CASE("a kept connection serves no other session, target, leg or way of vetting") {
  Scene scene;
  scene.put(*scene.mine, scene.place);
  CHECK(scene.take(*scene.yours, scene.place) == -1);
  UpstreamPlace other = scene.place;
  other.at = *parse_host_port("a.example:8080");
  CHECK(scene.take(*scene.mine, other) == -1);
  other.at = *parse_host_port("b.example:80");
  CHECK(scene.take(*scene.mine, other) == -1);
  other = scene.place;
  other.leg = Leg::https;
  CHECK(scene.take(*scene.mine, other) == -1);
  other = scene.place;
  other.literal = true;
  CHECK(scene.take(*scene.mine, other) == -1);
  CHECK(scene.take(*scene.mine, scene.place) >= 0);
}

TEST_CASE("a kept connection whose peer closed or spoke meanwhile is not used again") {
  Scene scene;
  scene.put(*scene.mine, scene.place);
  scene.put(*scene.mine, scene.place);
  const int good = scene.put(*scene.mine, scene.place);
  scene.put(*scene.mine, scene.place);
  scene.put(*scene.mine, scene.place);
  REQUIRE(::send(scene.peers[4].get(), "HTTP/1.1 200 OK\r\n", 17, 0) == 17);
  scene.peers[3].reset();
  CHECK(scene.take(*scene.mine, scene.place) == good);
  CHECK(scene.pool.size() == 2);
  CHECK(scene.closed(4));
}

TEST_CASE("the pool is bounded, for each place and in all, and the oldest gives way") {
  Scene scene;
  scene.limits.upstream_pool_max = 3;
  scene.limits.upstream_pool_per_target_max = 2;
  scene.put(*scene.mine, scene.place);
  scene.put(*scene.mine, scene.place);
  scene.put(*scene.mine, scene.place);
  CHECK(scene.pool.size() == 2);
  CHECK(scene.closed(0));
  scene.put(*scene.yours, scene.place);
  scene.put(*scene.yours, scene.place);
  CHECK(scene.pool.size() == 3);
  CHECK(scene.closed(1));
  CHECK_FALSE(scene.closed(2));
}

TEST_CASE("with no room at all nothing is kept, and the connection stays its owner's") {
  Scene scene;
  scene.limits.upstream_pool_max = 0;
  Upstream upstream = scene.opened(scene.place);
  CHECK_FALSE(scene.pool.put(*scene.mine, upstream, scene.limits));
  CHECK(upstream.usable_for(scene.place));
}

TEST_CASE("a dismissed session's connections are closed, and no more of them are kept") {
  Scene scene;
  scene.put(*scene.mine, scene.place);
  scene.put(*scene.yours, scene.place);
  scene.pool.dismiss(*scene.mine);
  CHECK(scene.pool.size() == 1);
  CHECK(scene.closed(0));
  Upstream late = scene.opened(scene.place);
  CHECK_FALSE(scene.pool.put(*scene.mine, late, scene.limits));
  CHECK(scene.take(*scene.yours, scene.place) >= 0);
}

TEST_CASE("what waits too long is closed, the rest is not") {
  Scene scene;
  scene.limits.upstream_idle_time_max = 30ms;
  scene.put(*scene.mine, scene.place);
  scene.limits.upstream_idle_time_max = 1h;
  scene.put(*scene.mine, scene.place);
  const auto limit = std::chrono::steady_clock::now() + 8s;
  while (scene.pool.size() > 1 && std::chrono::steady_clock::now() < limit)
    scene.io.run_one_for(50ms);
  CHECK(scene.pool.size() == 1);
  CHECK(scene.closed(0));
  CHECK_FALSE(scene.closed(1));
}

TEST_CASE("one client's requests go over the connection that another's opened") {
  Origin origin(serve_http);
  Proxy proxy(any_port_on_loopback());
  for (int round = 0; round < 3; ++round) {
    Client client = proxy.connect();
    client.send(get(origin.port(), "/x"));
    REQUIRE(receive_response(client).ends_with("GET /x HTTP/1.1"));
  }
  CHECK(origin.connections() == 1);
}

TEST_CASE("a POST over a connection that was closed while it was kept is no 502") {
  std::atomic<int> ended{0};
  Origin origin([&](Client& connection) {
    connection.receive_until("\r\n\r\n");
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    connection.finish_sending();
    ++ended;
  });
  Proxy proxy(any_port_on_loopback());
  for (int round = 0; round < 3; ++round) {
    Client client = proxy.connect();
    client.send(
        fmt::format("POST http://127.0.0.1:{0}/ HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n"
                    "Connection: close\r\nContent-Length: 3\r\n\r\nabc",
                    origin.port()));
    const std::string answer = client.receive_all();
    CAPTURE(round, answer);
    REQUIRE(answer.ends_with("ok"));
    // Over loopback the origin's FIN is at the proxy's socket once it has been sent.
    while (ended == round) std::this_thread::yield();
  }
  CHECK(origin.connections() == 3);
}

TEST_CASE(
    "a connection is not used again behind what could not be framed, or by the upstream's wish") {
  for (const std::string answer :
       {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"}) {
    CAPTURE(answer);
    Origin origin([&](Client& connection) {
      connection.receive_until("\r\n\r\n");
      connection.send(answer);
      connection.receive_all();
    });
    Proxy proxy(any_port_on_loopback());
    for (int round = 0; round < 2; ++round) {
      Client client = proxy.connect();
      client.send(get(origin.port(), "/"));
      receive_response(client);
    }
    CHECK(origin.connections() == 2);
  }
}

TEST_CASE("a connection that a client signed in to as a whole is for that client only") {
  Origin origin(serve_http);
  Proxy proxy(any_port_on_loopback());
  Client signed_in = proxy.connect();
  signed_in.send(get(origin.port(), "/", "Authorization: NTLM TlRMTVNTUAAB\r\n"));
  receive_response(signed_in);
  Client other = proxy.connect();
  other.send(get(origin.port(), "/other"));
  receive_response(other);
  CHECK(origin.connections() == 2);
  signed_in.send(get(origin.port(), "/again"));
  receive_response(signed_in);
  CHECK(origin.connections() == 2);
}

TEST_CASE("requests for several hosts go to the upstream proxy over one connection") {
  Origin parent(serve_http);
  Proxy::Setup setup;
  setup.rules = allowing({"one.example:*", "two.example:*"});
  auto upstream = parse_upstream_proxy(fmt::format("http://127.0.0.1:{}", parent.port()), {});
  REQUIRE(upstream);
  setup.upstream_proxy = std::move(*upstream);
  Proxy proxy(std::move(setup));
  for (const char* host : {"one.example", "two.example"}) {
    Client client = proxy.connect();
    client.send(fmt::format("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n", host));
    REQUIRE(receive_response(client).ends_with(fmt::format("GET http://{}/ HTTP/1.1", host)));
  }
  CHECK(parent.connections() == 1);
}

}  // namespace nono::test
