// The exchange over real sockets on loopback: what fakes cannot show, above all that stopping a
// pending read leaves its connection usable.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include "proxy/net/tcp_stream.hpp"
#include "tests/http/exchange_scene.hpp"

using namespace nono;
using namespace nono::http;
using namespace nono::http::test;
using namespace std::chrono_literals;

namespace {

struct Pair {
  explicit Pair(net::io_context& io, Deadlines& deadlines) : far(io.get_executor()) {
    TcpAcceptor acceptor(io.get_executor(), {net::ip::address_v4::loopback(), 0});
    far.connect(acceptor.local_endpoint());
    near = std::make_unique<TcpStream>(UniqueFd(acceptor.accept().release()), io.get_executor(),
                                       deadlines);
  }
  std::unique_ptr<TcpStream> near;  // the proxy's end
  TcpSocket far;                    // the client's or the upstream's
};

struct Wires {
  net::io_context io{1};
  Poller& poller = net::use_service<Poller>(io);
  Deadlines deadlines{io.get_executor()};
  Pair client{io, deadlines};
  Pair upstream{io, deadlines};
  InputBuffer client_in, upstream_in;
  Hooks hooks;
  ExchangeResult result;

  // One request from the client's end to the upstream's, with what the upstream does beside it.
  Result<void> run(Awaitable<void> play_upstream) {
    net::co_spawn(io.get_executor(), std::move(play_upstream),
                  [](std::exception_ptr thrown) { CHECK_FALSE(thrown); });
    return run_coroutine(io, forward());
  }
  Awaitable<Result<void>> forward() {
    auto head = co_await read_request_head(*client.near, client_in, limits);
    if (!head) co_return fail(head.error());
    co_return co_await exchange(poller, *client.near, client_in, *head, "", *upstream.near,
                                upstream_in, limits, times, hooks, result);
  }
  std::string client_has() {
    std::string bytes(100'000, '\0');
    ErrorCodeSys code;
    client.far.non_blocking(true);
    bytes.resize(client.far.read_some(net::buffer(bytes), code));
    client.far.non_blocking(false);
    return bytes;
  }
};

Awaitable<void> answer_when(TcpSocket& socket, std::string text, std::string response) {
  std::string received;
  std::string block(4096, '\0');
  while (received.find(text) == std::string::npos) {
    auto [code, count] = co_await socket.async_read_some(net::buffer(block), as_result);
    if (code) co_return;
    received.append(block, 0, count);
  }
  co_await net::async_write(socket, net::buffer(response), as_result);
}

Awaitable<void> answer_and_swallow(TcpSocket& socket, std::string response) {
  co_await net::async_write(socket, net::buffer(response), as_result);
  std::string block(65'536, '\0');
  while (true) {
    auto [code, count] = co_await socket.async_read_some(net::buffer(block), as_result);
    if (code) co_return;
  }
}

}  // namespace

TEST_CASE("over sockets: requests follow each other on the same connections") {
  Wires wires;
  for (int i = 0; i < 3; ++i) {
    wires.client.far.send(net::buffer(post("hello")));
    auto outcome = wires.run(
        answer_when(wires.upstream.far, "hello", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    REQUIRE(outcome);
    CHECK(wires.client_has() == "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    CHECK(wires.result.client_reusable);
    CHECK(wires.result.upstream_reusable);
  }
}

TEST_CASE("over sockets: a garbled answer stops the read of the body, and the client can be told") {
  Wires wires;
  wires.client.far.send(
      net::buffer(std::string("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc")));
  auto outcome = wires.run(answer_when(wires.upstream.far, "abc", "garbage\r\n\r\n"));
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::bad_response);
  CHECK_FALSE(wires.result.response_started);
  const std::string refusal = "HTTP/1.1 502 Bad Gateway\r\n\r\n";
  REQUIRE(run_coroutine(wires.io, wires.client.near->write_all(refusal)));
  CHECK(wires.client_has() == refusal);
}

TEST_CASE("over sockets: a client waiting for its 100 gets the final answer at once") {
  Wires wires;
  wires.client.far.send(net::buffer(std::string(
      "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n")));
  const auto begin = std::chrono::steady_clock::now();
  auto outcome = wires.run(
      answer_when(wires.upstream.far, "\r\n\r\n", "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"));
  REQUIRE(outcome);
  CHECK(std::chrono::steady_clock::now() - begin < 900ms);
  CHECK(wires.client_has() == "HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

TEST_CASE("over sockets: a large upload whose answer came first is taken to its end") {
  Wires wires;
  const std::string bytes = post(std::string(8 * 1024 * 1024, 'u'));
  bool sent = false;
  auto on_sent = [&](ErrorCodeSys code, std::size_t) { sent = !code; };
  net::async_write(wires.client.far, net::buffer(bytes), on_sent);
  auto outcome = wires.run(answer_and_swallow(
      wires.upstream.far, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"));
  REQUIRE(outcome);
  CHECK(wires.result.status == 413);
  CHECK_FALSE(wires.result.client_reusable);
  CHECK(sent);
}

TEST_CASE("over sockets: a large body reaches both sides unchanged while both send") {
  Wires wires;
  const std::string body(3 * 1024 * 1024, 'd');
  // The client's own wish makes the response's head the same whoever is done first.
  const std::string bytes = post(body, "Connection: close\r\n");
  auto ignore = [](ErrorCodeSys, std::size_t) {};
  net::async_write(wires.client.far, net::buffer(bytes), ignore);
  std::string received(4 * 1024 * 1024, '\0');
  std::size_t received_bytes = 0;
  auto on_received = [&](ErrorCodeSys, std::size_t count) { received_bytes = count; };
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) +
                           "\r\nConnection: close\r\n\r\n";
  net::async_read(wires.client.far, net::buffer(received, head.size() + body.size()), on_received);
  auto outcome = wires.run(answer_and_swallow(
      wires.upstream.far,
      "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body));
  REQUIRE(outcome);
  wires.io.restart();
  wires.io.run_for(100ms);
  CHECK(received_bytes == head.size() + body.size());
  CHECK(received.substr(0, received_bytes) == head + body);
  CHECK(wires.result.bytes_to_upstream == post(body).size());
}

TEST_CASE("over sockets: a deadline ends the wait for an answer and leaves the client to be told") {
  Wires wires;
  const ExchangeTimes brief{150ms, 5000ms};
  wires.client.far.send(net::buffer(get));
  auto forward = [&]() -> Awaitable<Result<void>> {
    auto head = co_await read_request_head(*wires.client.near, wires.client_in, limits);
    if (!head) co_return fail(head.error());
    co_return co_await exchange(wires.poller, *wires.client.near, wires.client_in, *head, "",
                                *wires.upstream.near, wires.upstream_in, limits, brief, wires.hooks,
                                wires.result);
  };
  auto outcome = run_coroutine(wires.io, forward());
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::timeout);
  CHECK(outcome.error().side == Side::upstream);
  REQUIRE(run_coroutine(wires.io, wires.client.near->write_all(get)));
  CHECK(wires.client_has() == get);
}
