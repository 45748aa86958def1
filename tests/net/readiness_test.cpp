#include "proxy/net/readiness.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <catch2/catch.hpp>
#include <deque>
#include <optional>

#include "tests/net/fixture.hpp"
#include "tests/support/run_coroutine.hpp"

using namespace nono;
using namespace nono::test;
using namespace std::chrono_literals;

namespace {

// A socket of a pair, watched; the other end is the test's.
struct Scene {
  explicit Scene(SocketPair pair = tcp_pair())
      : inner(std::move(pair.inner)), outer(std::move(pair.outer)) {
    ::fcntl(inner.get(), F_SETFL, O_NONBLOCK);
    readiness.emplace(net::use_service<Poller>(io), inner.get());
  }
  std::size_t receive(std::size_t room) {
    std::string buffer(room, '\0');
    const ssize_t count = ::recv(inner.get(), buffer.data(), room, MSG_DONTWAIT);
    REQUIRE(count >= 0);
    readiness->received(static_cast<std::size_t>(count), room);
    return static_cast<std::size_t>(count);
  }

  net::io_context io{1};
  UniqueFd inner, outer;
  std::optional<Readiness> readiness;
};

struct Told final : Waiter {
  void ready(const ErrorCodeSys& code) override {
    ++times;
    last = code;
  }
  void drop() noexcept override { ++dropped; }
  int times = 0, dropped = 0;
  ErrorCodeSys last;
};

// Until nothing is left to do, or nothing more comes.
void run(net::io_context& io) {
  io.restart();
  while (io.run_one_for(50ms) > 0) {
  }
}

}  // namespace

TEST_CASE("who waits to read is told once, when something has come, and not from within the call") {
  Scene scene;
  Told told;
  scene.readiness->await_read(told);
  run(scene.io);
  CHECK(told.times == 0);
  CHECK_FALSE(scene.readiness->readable());
  write_text(scene.outer.get(), "abc");
  run(scene.io);
  CHECK(told.times == 1);
  CHECK_FALSE(told.last);
  CHECK(scene.readiness->readable());
  run(scene.io);
  CHECK(told.times == 1);
  scene.readiness->await_read(told);  // what is there was not read
  CHECK(told.times == 1);
  run(scene.io);
  CHECK(told.times == 2);
}

TEST_CASE("a receive that brought less than it asked for has brought all") {
  Scene scene;
  Told told;
  scene.readiness->await_read(told);
  write_text(scene.outer.get(), "abcdef");
  run(scene.io);
  CHECK(scene.receive(4) == 4);
  CHECK(scene.readiness->readable());
  CHECK(scene.receive(4) == 2);
  CHECK_FALSE(scene.readiness->readable());
  write_text(scene.outer.get(), "g");
  scene.readiness->await_read(told);
  run(scene.io);
  CHECK(told.times == 2);
  CHECK(scene.receive(4) == 1);
}

TEST_CASE("the peer's end is seen, whether it comes with its last words or behind them") {
  Scene scene;
  Told told;
  scene.readiness->await_read(told);
  write_text(scene.outer.get(), "last");
  SECTION("with them") {
    scene.outer.reset();
    run(scene.io);
    CHECK(scene.receive(100) == 4);
  }
  SECTION("between the news and the receive") {
    run(scene.io);
    scene.outer.reset();
    CHECK(scene.receive(100) == 4);
    scene.readiness->await_read(told);
    run(scene.io);
  }
  SECTION("behind them") {
    run(scene.io);
    CHECK(scene.receive(100) == 4);
    CHECK_FALSE(scene.readiness->readable());
    scene.readiness->await_read(told);
    scene.outer.reset();
    run(scene.io);
  }
  CHECK(scene.readiness->readable());
  CHECK(scene.receive(100) == 0);
  CHECK(scene.readiness->readable());
}

TEST_CASE("of a Unix socket a short receive says nothing") {
  Scene scene(unix_pair());
  scene.readiness->is_no_tcp();
  Told told;
  scene.readiness->await_read(told);
  write_text(scene.outer.get(), "abc");
  run(scene.io);
  CHECK(scene.receive(100) == 3);
  CHECK(scene.readiness->readable());
  scene.readiness->is_dry();
  CHECK_FALSE(scene.readiness->readable());
}

TEST_CASE("who waits for room is told when the peer has read") {
  Scene scene;
  const std::string block(64 * 1024, 'x');
  std::size_t sent = 0;
  while (true) {
    const ssize_t count = ::send(scene.inner.get(), block.data(), block.size(), MSG_DONTWAIT);
    if (count < 0) break;
    sent += static_cast<std::size_t>(count);
  }
  scene.readiness->is_full();
  Told room, words;
  scene.readiness->await_write(room);
  scene.readiness->await_read(words);
  run(scene.io);
  CHECK(room.times == 0);
  CHECK(read_text(scene.outer.get(), sent).size() == sent);
  run(scene.io);
  CHECK(room.times == 1);
  CHECK(words.times == 0);
  scene.readiness->close();
  run(scene.io);
}

TEST_CASE("all who wait for the same are told") {
  Scene scene;
  Told first, second;
  scene.readiness->await_read(first);
  scene.readiness->await_read(second);
  write_text(scene.outer.get(), "abc");
  run(scene.io);
  CHECK(first.times == 1);
  CHECK(second.times == 1);
}

TEST_CASE("a wait that is called off, or whose socket is closed, ends in its turn and once") {
  Scene scene;
  Told reader, writer, other;
  scene.readiness->is_full();
  scene.readiness->await_read(reader);
  scene.readiness->await_read(other);
  scene.readiness->call_off(reader);
  CHECK(reader.times == 0);
  run(scene.io);
  CHECK(reader.times == 1);
  CHECK(reader.last == net::error::operation_aborted);
  CHECK(other.times == 0);
  scene.readiness->close();
  CHECK(other.times == 0);
  run(scene.io);
  CHECK(other.times == 1);
  CHECK(other.last == net::error::operation_aborted);
  scene.readiness->await_read(writer);  // closed: the same
  run(scene.io);
  CHECK(writer.last == net::error::operation_aborted);
  CHECK(reader.times == 1);
}

TEST_CASE("the news of a socket that is gone is nobody's, though somebody else holds it open") {
  Scene scene;
  const UniqueFd copy(::fcntl(scene.inner.get(), F_DUPFD_CLOEXEC, 0));
  scene.readiness->close();
  scene.inner.reset();
  SocketPair next = tcp_pair();
  ::fcntl(next.inner.get(), F_SETFL, O_NONBLOCK);
  Readiness successor(net::use_service<Poller>(scene.io), next.inner.get());
  Told told;
  successor.await_read(told);
  write_text(scene.outer.get(), "for the one before");
  run(scene.io);
  CHECK(told.times == 0);
  CHECK_FALSE(successor.readable());
  write_text(next.outer.get(), "for this one");
  run(scene.io);
  CHECK(told.times == 1);
}

TEST_CASE("a socket that cannot be watched fails whoever waits for it") {
  net::io_context io{1};
  const UniqueFd file(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));  // epoll takes no files
  Readiness readiness(net::use_service<Poller>(io), file.get());
  Told told;
  readiness.await_read(told);
  run(io);
  CHECK(told.times == 1);
  CHECK(told.last == ErrorCodeSys(EPERM, boost::system::system_category()));
}

TEST_CASE("what is known is not current before a look that came behind the last receive") {
  Scene scene;
  SocketPair other = tcp_pair();
  Readiness elsewhere(net::use_service<Poller>(scene.io), other.inner.get());
  Told told, other_told;
  scene.readiness->await_read(told);
  write_text(scene.outer.get(), "abc");
  run(scene.io);
  CHECK(scene.receive(100) == 3);  // while nobody waits for anything
  scene.outer.reset();
  elsewhere.await_read(other_told);  // and now somebody does
  CHECK_FALSE(scene.readiness->is_current());
  run(scene.io);
  CHECK(scene.readiness->readable());
  elsewhere.close();
  run(scene.io);
}

TEST_CASE("what is known is not current while one look could not take all there was") {
  Scene scene;
  Told told;
  scene.readiness->await_read(told);
  write_text(scene.outer.get(), "abc");
  run(scene.io);
  CHECK(scene.receive(100) == 3);
  struct Other {
    explicit Other(Poller& poller) : readiness(poller, pair.inner.get()) {}
    SocketPair pair = tcp_pair();
    Readiness readiness;
    Told told;
  };
  std::deque<Other> others;
  for (int at = 0; at < 64; ++at) {
    others.emplace_back(net::use_service<Poller>(scene.io));
    others.back().readiness.await_read(others.back().told);
  }
  Other quiet(net::use_service<Poller>(scene.io));
  quiet.readiness.await_read(quiet.told);
  run(scene.io);  // each is told of as having room
  for (Other& other : others) write_text(other.pair.outer.get(), "x");
  scene.outer.reset();
  scene.io.restart();
  while (others.front().told.times == 0) REQUIRE(scene.io.run_one_for(5s) == 1);
  CHECK((scene.readiness->readable() || !scene.readiness->is_current()));
  quiet.readiness.close();
  run(scene.io);
}

TEST_CASE("with nobody waiting the context has nothing left to do") {
  Scene scene;
  CHECK(scene.io.run_for(50ms) == 0);
  scene.io.restart();
  Told told;
  scene.readiness->await_read(told);
  CHECK_FALSE(scene.io.stopped());
  scene.readiness->call_off(told);
  scene.io.restart();
  scene.io.run_for(5s);  // returns at once
  CHECK(scene.io.stopped());
}

TEST_CASE("a cancelled coroutine is told, and goes on") {
  net::io_context io{1};
  Deadlines deadlines(io.get_executor(), 5ms);
  SocketPair pair = tcp_pair();
  TcpStream stream(std::move(pair.inner), io.get_executor(), deadlines);
  net::cancellation_signal cancel;
  std::optional<Result<void>> outcome;
  auto wait = [&]() -> Awaitable<Result<void>> {
    co_await net::this_coro::throw_if_cancelled(false);
    auto waited = co_await stream.wait_readable();
    co_return waited;
  };
  net::co_spawn(
      io.get_executor(), wait(),
      net::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr thrown, Result<void> got) {
        CHECK_FALSE(thrown);
        outcome = std::move(got);
      }));
  run(io);
  CHECK_FALSE(outcome);
  cancel.emit(net::cancellation_type::terminal);
  run(io);
  REQUIRE(outcome);
  CHECK_FALSE(*outcome);
  CHECK(stream.is_open());
}

TEST_CASE("a context that is destroyed takes its waiting coroutines along") {
  auto alive = std::make_shared<int>(0);
  Told told;
  SocketPair pair = tcp_pair(), other = tcp_pair();
  {
    net::io_context io{1};
    Deadlines deadlines(io.get_executor(), 5ms);
    auto wait = [&io, &deadlines](UniqueFd socket, std::shared_ptr<int> held) -> Awaitable<void> {
      TcpStream stream(std::move(socket), io.get_executor(), deadlines);
      co_await stream.wait_readable();
      ++*held;
    };
    net::co_spawn(io.get_executor(), wait(std::move(pair.inner), alive), net::detached);
    Readiness readiness(net::use_service<Poller>(io), other.inner.get());
    readiness.await_read(told);
    run(io);
    CHECK(alive.use_count() == 2);
    readiness.close();
  }
  CHECK(alive.use_count() == 1);
  CHECK(*alive == 0);
  CHECK(told.times == 0);
  CHECK(told.dropped == 1);
  CHECK(read_text(pair.outer.get(), 1).empty());  // its socket was closed
}
