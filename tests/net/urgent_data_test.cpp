// Urgent data (RFC 6093) makes a receive stop short in front of it, though more has arrived.

#include <array>
#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <thread>

#include "tests/net/fixture.hpp"
#include "tests/support/run_coroutine.hpp"

using namespace nono;
using namespace nono::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t mib = 1024 * 1024;

void send_urgent(int fd) {
  REQUIRE(::send(fd, "!", 1, MSG_OOB | MSG_NOSIGNAL) == 1);
}

}  // namespace

TEST_CASE("what arrives behind urgent data is read without anything more arriving") {
  net::io_context io{1};
  Deadlines deadlines(io.get_executor(), 5ms);
  SocketPair pair = tcp_pair();
  write_text(pair.outer.get(), "before");
  send_urgent(pair.outer.get());
  write_text(pair.outer.get(), "behind");
  TcpStream stream(std::move(pair.inner), io.get_executor(), deadlines);
  stream.expires_after(2s);
  auto read = [&]() -> Awaitable<std::string> {
    std::string all;
    std::array<char, 100> buffer;
    while (all.size() < 12) {
      auto count = co_await stream.read_some(buffer);
      if (!count || *count == 0) break;
      all.append(buffer.data(), *count);
    }
    co_return all;
  };
  CHECK(run_coroutine(io, read()) == "beforebehind");
}

TEST_CASE("a tunnel goes on behind urgent data, in conversation and in bulk") {
  for (const std::uint64_t bulk : {std::uint64_t{0}, 8 * mib}) {
    CAPTURE(bulk);
    RelayScene scene;
    scene.limits.idle = 2s;
    std::string got;
    std::optional<std::uint64_t> bytes;
    write_text(scene.upstream(), "before");
    if (bulk == 0) {
      send_urgent(scene.upstream());
      write_text(scene.upstream(), "behind");
    }
    std::thread peers([&] {
      if (bulk > 0) {
        std::thread sending([&] {
          write_pattern(scene.upstream(), bulk);
          ::send(scene.upstream(), "!", 1, MSG_OOB | MSG_NOSIGNAL);
          write_text(scene.upstream(), "behind");
        });
        got = read_text(scene.client(), 6);
        bytes = read_text(scene.client(), bulk).size();
        sending.join();
        got += read_text(scene.client(), 6);
      } else {
        got = read_text(scene.client(), 12);
      }
      scene.client_end().reset();
      scene.upstream_end().reset();
    });
    const RelayResult result = scene.run();
    peers.join();
    CHECK(got == "beforebehind");
    if (bulk > 0) CHECK(bytes == bulk);
    CHECK(result.end == RelayEnd::finished);
  }
}
