#include "proxy/net/splice_pipe.hpp"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

#include "tests/net/fixture.hpp"

using namespace nono;
using namespace nono::test;

TEST_CASE("a pipe takes and gives in parts, and counts what it holds") {
  std::signal(SIGPIPE, SIG_IGN);
  const std::unique_ptr<SplicePipe> pipe = SplicePipe::make();
  REQUIRE(pipe);
  CHECK(pipe->size() >= SplicePipe::bytes_min);
  SocketPair from = tcp_pair(), to = tcp_pair();
  const int on = 1;
  ::ioctl(from.inner.get(), FIONBIO, &on);
  ::ioctl(to.inner.get(), FIONBIO, &on);
  CHECK(pipe->fill(from.inner.get()) == -1);
  CHECK(errno == EAGAIN);

  write_text(from.outer.get(), "seven b");
  CHECK(pipe->fill(from.inner.get()) == 7);
  CHECK(pipe->held() == 7);
  CHECK(pipe->pour(to.inner.get()) == 7);
  CHECK(pipe->held() == 0);
  CHECK(read_text(to.outer.get(), 7) == "seven b");

  // A target without room takes a part, then nothing.
  std::thread sending([&] {
    write_pattern(from.outer.get(), 32 * 1024 * 1024);
    from.outer.reset();
  });
  std::uint64_t given = 0;
  bool stuck = false;
  while (!stuck) {
    if (pipe->held() == 0 && pipe->fill(from.inner.get()) < 0) continue;
    const ssize_t count = pipe->pour(to.inner.get());
    if (count < 0) stuck = true;
    given += count > 0 ? static_cast<std::uint64_t>(count) : 0;
  }
  CHECK(errno == EAGAIN);
  CHECK(pipe->held() > 0);
  std::optional<std::uint64_t> arrived;
  std::thread reading([&] { arrived = read_pattern(to.outer.get(), 10'000); });
  while (true) {
    if (pipe->held() == 0 && pipe->fill(from.inner.get()) == 0) break;
    if (pipe->held() == 0) continue;
    const ssize_t count = pipe->pour(to.inner.get());
    given += count > 0 ? static_cast<std::uint64_t>(count) : 0;
  }
  to.inner.reset();
  sending.join();
  reading.join();
  CHECK(given == 32 * 1024 * 1024);
  CHECK(arrived == given);
}

TEST_CASE("a pipe too small to be worth it is none") {
  CHECK(SplicePipe::make(4096) == nullptr);
}

TEST_CASE("a pool lends a bounded number, keeps a few, and takes back no pipe with bytes in it") {
  PipePool pool;
  const int before = pipe_ends();
  std::vector<std::unique_ptr<SplicePipe>> lent;
  while (auto pipe = pool.take()) lent.push_back(std::move(pipe));
  CHECK(lent.size() <= PipePool::lent_max);
  CHECK(pool.lent() == lent.size());
  if (lent.size() < PipePool::lent_max) {
    std::puts("skipped by name: as many pipes as the pool would lend");
    return;
  }
  SocketPair from = tcp_pair();
  write_text(from.outer.get(), "left behind");
  REQUIRE(lent.front()->fill(from.inner.get()) == 11);
  for (auto& pipe : lent) pool.give_back(std::move(pipe));
  CHECK(pool.lent() == 0);
  CHECK(pool.spare() == PipePool::spare_max);
  CHECK(pipe_ends() - before == 2 * static_cast<int>(PipePool::spare_max));
  for (std::size_t count = 0; count < PipePool::spare_max; ++count) {
    auto pipe = pool.take();
    CHECK(pipe->held() == 0);
    lent.push_back(std::move(pipe));
  }
}
