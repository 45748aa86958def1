#include "proxy/net/tcp_stream.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <catch2/catch.hpp>

#include "tests/net/fixture.hpp"
#include "tests/support/run_coroutine.hpp"

using namespace nono;
using namespace nono::test;
using namespace std::chrono_literals;

namespace {

struct Scene {
  explicit Scene(SocketPair pair)
      : peer(std::move(pair.outer)), stream(std::move(pair.inner), io.get_executor(), deadlines) {}

  std::string read(std::size_t count) {
    std::string text(count, '\0');
    auto got = run_coroutine(io, stream.read_some(text));
    REQUIRE(got);
    text.resize(*got);
    return text;
  }

  net::io_context io{1};
  Deadlines deadlines{io.get_executor(), 5ms};
  UniqueFd peer;
  TcpStream stream;
};

}  // namespace

TEST_CASE("a stream reads, writes, half-closes and drains, over TCP and over a Unix socket") {
  for (const bool unix_socket : {false, true}) {
    INFO((unix_socket ? "unix" : "tcp"));
    Scene scene(unix_socket ? unix_pair() : tcp_pair());
    write_text(scene.peer.get(), "hello");
    CHECK(scene.read(100) == "hello");
    CHECK(run_coroutine(scene.io, scene.stream.write_all(std::string(3000, 'x'))));
    CHECK(read_text(scene.peer.get(), 3000) == std::string(3000, 'x'));
    CHECK_FALSE(scene.stream.peer_ended());
    ::shutdown(scene.peer.get(), SHUT_WR);
    CHECK(scene.stream.peer_ended());
    CHECK(scene.read(10).empty());
    CHECK(run_coroutine(scene.io, scene.stream.shutdown_send()));
    CHECK(read_text(scene.peer.get(), 1).empty());
    run_coroutine(scene.io, scene.stream.close_gracefully());
    CHECK_FALSE(scene.stream.is_open());
  }
}

TEST_CASE("a peer that breaks off is an error of either kind of socket") {
  for (const bool unix_socket : {false, true}) {
    Scene scene(unix_socket ? unix_pair() : tcp_pair());
    write_text(scene.peer.get(), "unread");
    close_with_reset(scene.peer);
    std::optional<Error> failed;
    for (int at = 0; at < 100 && !failed; ++at) {
      auto written = run_coroutine(scene.io, scene.stream.write_all(std::string(100'000, 'x')));
      if (!written) failed = written.error();
    }
    REQUIRE(failed);
    CHECK(failed->code == ErrorCode::closed);
  }
}

TEST_CASE("a deadline ends a read on either kind of socket, and closes it unless it is for reads") {
  for (const bool unix_socket : {false, true}) {
    for (const bool reads_only : {false, true}) {
      Scene scene(unix_socket ? unix_pair() : tcp_pair());
      if (reads_only) {
        scene.stream.reads_expire_after(20ms);
      } else {
        scene.stream.expires_after(20ms);
      }
      std::array<char, 10> buffer;
      auto got = run_coroutine(scene.io, scene.stream.read_some(buffer));
      REQUIRE_FALSE(got);
      CHECK(got.error().code == ErrorCode::timeout);
      CHECK(scene.stream.is_open() == reads_only);
      // It stays over until there is another deadline.
      got = run_coroutine(scene.io, scene.stream.read_some(buffer));
      REQUIRE_FALSE(got);
      CHECK(got.error().code == ErrorCode::timeout);
      scene.stream.expires_after(10s);
      auto told = run_coroutine(scene.io, scene.stream.write_all(std::string_view("too late")));
      CHECK(told.has_value() == reads_only);
      scene.stream.close();
      CHECK(read_text(scene.peer.get(), 100) == (reads_only ? "too late" : ""));
    }
  }
}

TEST_CASE("cubic is set where the system allows it, and what is no TCP socket is left alone") {
  SocketPair tcp = tcp_pair(), other = unix_pair();
  use_cubic(tcp.inner.get());
  use_cubic(other.inner.get());
  std::array<char, 16> name{};
  socklen_t size = name.size();
  REQUIRE(::getsockopt(tcp.inner.get(), IPPROTO_TCP, TCP_CONGESTION, name.data(), &size) == 0);
  if (std::string_view(name.data()) != "cubic") {
    std::puts("skipped by name: cubic congestion control");
  }
}
