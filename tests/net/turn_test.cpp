#include "proxy/net/turn.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <catch2/catch.hpp>
#include <string>

#include "proxy/net/tcp_stream.hpp"
#include "tests/net/fixture.hpp"

using namespace nono;
using namespace nono::test;

namespace {

// Reads one message, says so, and goes on once it is its turn.
Awaitable<void> read_and_go(TcpStream& stream, std::string& said, char name) {
  std::string buffer(16, '\0');
  auto count = co_await stream.read_some(buffer);
  said += count ? name : '?';
  co_await turn_of_others(net::use_service<Poller>(stream.executor().context()));
  said += static_cast<char>(name - 'a' + 'A');
}

}  // namespace

TEST_CASE("what one look tells of is all read before anybody goes on") {
  net::io_context io{1};
  Deadlines deadlines(io.get_executor());
  SocketPair first = tcp_pair(), second = tcp_pair();
  TcpStream a(std::move(first.inner), io.get_executor(), deadlines);
  TcpStream b(std::move(second.inner), io.get_executor(), deadlines);
  std::string said;
  net::co_spawn(io, read_and_go(a, said, 'a'), net::detached);
  net::co_spawn(io, read_and_go(b, said, 'b'), net::detached);
  io.poll();  // both wait
  REQUIRE(said.empty());
  REQUIRE(::write(first.outer.get(), "x", 1) == 1);
  REQUIRE(::write(second.outer.get(), "x", 1) == 1);
  io.run();
  CHECK((said == "abAB" || said == "baBA"));
}

TEST_CASE("who asks for a turn outside of any look gets it from the context's queue") {
  net::io_context io{1};
  std::string said;
  const auto go = [&]() -> Awaitable<void> {
    said += "a";
    co_await turn_of_others(net::use_service<Poller>(io));
    said += "c";
  };
  net::co_spawn(io, go, net::detached);
  net::post(io, [&said] { said += "b"; });
  io.run();
  CHECK(said == "abc");
}

TEST_CASE("a context that ends with somebody waiting for a turn leaves nothing behind") {
  net::io_context io{1};
  bool went = false;
  const auto go = [&]() -> Awaitable<void> {
    co_await turn_of_others(net::use_service<Poller>(io));
    went = true;
  };
  net::co_spawn(io, go, net::detached);
  io.run_one();
  CHECK_FALSE(went);
}
