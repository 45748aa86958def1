// Tunnels that one side breaks off: the other learns of it, and loses nothing by that.

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <catch2/catch.hpp>
#include <cerrno>

#include "proxy/net/relay.hpp"
#include "tests/net/fixture.hpp"

using namespace nono;
using namespace nono::test;

namespace {

constexpr std::uint64_t mib = 1024 * 1024;

}  // namespace

TEST_CASE("a receiver that resets in the middle of bulk ends both sides") {
  Findings found;
  RelayScene scene;
  std::thread peers([&] {
    std::thread sending([&] { found.expect(!write_pattern(scene.upstream(), 1024 * mib)); });
    found.expect(read_text(scene.client(), 8 * mib).size() == 8 * mib);
    close_with_reset(scene.client_end());
    sending.join();
  });
  const RelayResult result = scene.run();
  peers.join();
  CHECK(result.end == RelayEnd::reset);
  CHECK(result.bytes_to_client >= 8 * mib);
  CHECK(found.none());
}

TEST_CASE("a sender that resets in the middle of bulk ends both sides") {
  Findings found;
  RelayScene scene;
  std::thread peers([&] {
    std::thread reading([&] { read_pattern(scene.client()); });
    found.expect(write_pattern(scene.upstream(), 8 * mib));
    close_with_reset(scene.upstream_end());
    reading.join();
  });
  const RelayResult result = scene.run();
  peers.join();
  CHECK(result.end == RelayEnd::reset);
  CHECK(result.bytes_to_client <= 8 * mib);
  CHECK(found.none());
}

TEST_CASE("who breaks off, the other side is told so, by a reset") {
  for (const bool upstream_breaks : {true, false}) {
    Findings found;
    RelayScene scene;
    std::thread peers([&] {
      write_text(scene.upstream(), "hello");
      found.expect(read_text(scene.client(), 5) == "hello");
      UniqueFd& leaving = upstream_breaks ? scene.upstream_end() : scene.client_end();
      const int left = upstream_breaks ? scene.client() : scene.upstream();
      close_with_reset(leaving);
      char byte = 0;
      found.expect(::recv(left, &byte, 1, 0) < 0 && errno == ECONNRESET);
    });
    CHECK(scene.run().end == RelayEnd::reset);
    peers.join();
    CHECK(found.none());
  }
}

TEST_CASE("a reset does not overtake what was sent before it") {
  RelayScene scene;
  const int little = 4096;
  ::setsockopt(scene.client(), SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
  const int much = 212'992;
  ::setsockopt(scene.client_stream().native_handle(), SOL_SOCKET, SO_SNDBUF, &much, sizeof much);
  constexpr std::size_t bytes = 192 * 1024;  // more than the client has room for, less than both
  std::thread upstream([&] {
    write_pattern(scene.upstream(), bytes);
    int waiting = 1;  // a reset throws away what has not left yet
    while (waiting > 0) ::ioctl(scene.upstream(), SIOCOUTQ, &waiting);
    close_with_reset(scene.upstream_end());
  });
  CHECK(scene.run().end == RelayEnd::reset);
  upstream.join();
  CHECK(read_pattern(scene.client()) == bytes);
}
