// The tunnel's data path over real sockets: every byte, in order, once; and each way in which it
// ends.

#include "proxy/net/relay.hpp"

#include <sys/resource.h>

#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>
#include <vector>

#include "proxy/net/splice_pipe.hpp"
#include "tests/net/fixture.hpp"

using namespace nono;
using namespace nono::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t mib = 1024 * 1024;

// What the meter was told, and how often.
struct Counted final : RelayMeter {
  void moved(std::uint64_t up, std::uint64_t down) noexcept override {
    to_upstream += up;
    to_client += down;
    ++calls;
  }
  std::uint64_t to_upstream = 0, to_client = 0;
  int calls = 0;
};

struct Judge final : FirstBytesJudge {
  Judge(std::size_t bytes_wanted, Verdict then, std::vector<std::string>* seen_bytes = nullptr)
      : wanted(bytes_wanted), verdict(then), seen(seen_bytes) {}
  Verdict judge(std::string_view bytes, bool at_end) override {
    if (seen != nullptr) seen->emplace_back(bytes);
    return bytes.size() < wanted && !at_end ? Verdict::more : verdict;
  }
  std::size_t wanted;
  Verdict verdict;
  std::vector<std::string>* seen;
};

// For as long as it lives no descriptor can be opened.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit none = before_;
    none.rlim_cur = 0;
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

// Both directions at once, each end its own thread: what arrived on the client's and on the
// upstream's side.
struct Transfer {
  std::optional<std::uint64_t> at_client, at_upstream;
  RelayResult result;
};

Transfer transfer(RelayScene& scene, std::uint64_t up, std::uint64_t down,
                  std::size_t piece = 256 * 1024) {
  Transfer out;
  std::thread send_up([&] {
    write_pattern(scene.client(), up);
    ::shutdown(scene.client(), SHUT_WR);
  });
  std::thread send_down([&] {
    write_pattern(scene.upstream(), down);
    ::shutdown(scene.upstream(), SHUT_WR);
  });
  std::thread read_up([&] { out.at_upstream = read_pattern(scene.upstream(), piece); });
  std::thread read_down([&] { out.at_client = read_pattern(scene.client(), piece); });
  out.result = scene.run();
  for (std::thread* thread : {&send_up, &send_down, &read_up, &read_down}) thread->join();
  return out;
}

void check(const Transfer& done, std::uint64_t up, std::uint64_t down) {
  CHECK(done.at_upstream == up);
  CHECK(done.at_client == down);
  CHECK(done.result.bytes_to_upstream == up);
  CHECK(done.result.bytes_to_client == down);
  CHECK(done.result.end == RelayEnd::finished);
}

}  // namespace

TEST_CASE("messages of every size pass unchanged") {
  for (const std::uint64_t bytes : {0, 1, 64, 255, 256, 257, 511, 512, 513, 16'384, 70'000}) {
    RelayScene scene;
    check(transfer(scene, bytes, bytes), bytes, bytes);
  }
}

TEST_CASE("bulk is spliced, and every byte of it arrives once and in order") {
  std::thread([] {  // which has no pipes yet
    RelayScene scene;
    const int before = pipe_ends();
    check(transfer(scene, 0, 64 * mib), 0, 64 * mib);
    CHECK(pipe_ends() > before);                                  // it went through a pipe
    CHECK(pipe_ends() - before <= 2 * int{PipePool::spare_max});  // and few are kept
  }).join();
}

TEST_CASE("bulk both ways at once arrives whole, on TCP and on Unix sockets") {
  {
    RelayScene scene;
    check(transfer(scene, 32 * mib, 24 * mib), 32 * mib, 24 * mib);
  }
  RelayScene scene(unix_pair(), unix_pair());
  check(transfer(scene, 12 * mib, 16 * mib), 12 * mib, 16 * mib);
}

TEST_CASE("slow readers with little room get all of it") {
  SocketPair client = tcp_pair(), upstream = tcp_pair();
  const int tiny = 16 * 1024;
  for (const int fd : {client.outer.get(), upstream.outer.get()}) {
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &tiny, sizeof tiny);
  }
  for (const int fd : {client.inner.get(), upstream.inner.get()}) {
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &tiny, sizeof tiny);
  }
  RelayScene scene(std::move(client), std::move(upstream));
  check(transfer(scene, mib, 2 * mib, 1000), mib, 2 * mib);
}

TEST_CASE("without pipes to be had bulk is copied") {
  std::optional<Transfer> done;
  int before = 0, after = 0;
  std::thread own_thread([&] {  // whose pool holds no pipe yet
    RelayScene scene;
    std::optional<NoDescriptors> none;
    before = pipe_ends();
    none.emplace();
    done = transfer(scene, 8 * mib, 16 * mib);
    none.reset();
    after = pipe_ends();
  });
  own_thread.join();
  check(*done, 8 * mib, 16 * mib);
  CHECK(after == before);
}

TEST_CASE("bulk that turns into a conversation goes on, and into bulk again") {
  Findings found;
  RelayScene scene;
  std::thread peers([&] {
    std::thread reading([&] {
      std::string all;
      for (int round = 0; round < 2; ++round) {
        found.expect(read_text(scene.client(), 4 * mib).size() == 4 * mib);
        for (int at = 0; at < 40; ++at) {
          found.expect(read_text(scene.client(), 5) == "hello");
          write_text(scene.client(), "yes");
        }
      }
    });
    for (int round = 0; round < 2; ++round) {
      found.expect(write_pattern(scene.upstream(), 4 * mib));
      for (int at = 0; at < 40; ++at) {
        write_text(scene.upstream(), "hello");
        found.expect(read_text(scene.upstream(), 3) == "yes");
      }
    }
    reading.join();
    scene.client_end().reset();
    scene.upstream_end().reset();
  });
  const RelayResult result = scene.run();
  peers.join();
  CHECK(result.bytes_to_client == 8 * mib + 400);
  CHECK(result.bytes_to_upstream == 240);
  CHECK(result.end == RelayEnd::finished);
  CHECK(found.none());
}

TEST_CASE("a client that ended its direction still gets the answer") {
  Findings found;
  RelayScene scene;
  std::thread peers([&] {
    write_text(scene.client(), "question");
    ::shutdown(scene.client(), SHUT_WR);
    found.expect(read_text(scene.upstream(), 100) == "question");  // and the end
    write_text(scene.upstream(), "answer");
    scene.upstream_end().reset();
    found.expect(read_text(scene.client(), 100) == "answer");
  });
  const RelayResult result = scene.run();
  peers.join();
  CHECK(result.end == RelayEnd::finished);
  CHECK(result.bytes_to_upstream == 8);
  CHECK(result.bytes_to_client == 6);
  CHECK(found.none());
}

TEST_CASE("an upstream that ended its direction still gets what the client sends in bulk") {
  Findings found;
  RelayScene scene;
  std::optional<std::uint64_t> arrived;
  std::thread peers([&] {
    ::shutdown(scene.upstream(), SHUT_WR);
    found.expect(read_text(scene.client(), 1).empty());
    std::thread sending([&] {
      found.expect(write_pattern(scene.client(), 8 * mib));
      scene.client_end().reset();
    });
    arrived = read_pattern(scene.upstream());
    sending.join();
  });
  const RelayResult result = scene.run();
  peers.join();
  CHECK(arrived == 8 * mib);
  CHECK(result.end == RelayEnd::finished);
  CHECK(found.none());
}

TEST_CASE("a tunnel in which nothing moves ends at its idle time, not before") {
  RelayScene scene;
  scene.limits.idle = 150ms;
  const auto start = std::chrono::steady_clock::now();
  const RelayResult result = scene.run();
  CHECK(result.end == RelayEnd::idle);
  CHECK(std::chrono::steady_clock::now() - start >= 150ms);
  CHECK(read_text(scene.client(), 1).empty());
  CHECK(read_text(scene.upstream(), 1).empty());
}

TEST_CASE("a reader that stops reading in the middle of bulk ends the tunnel at its idle time") {
  Findings found;
  RelayScene scene;
  scene.limits.idle = 200ms;
  std::thread peers([&] {
    std::thread sending([&] { found.expect(!write_pattern(scene.upstream(), 1024 * mib)); });
    found.expect(read_text(scene.client(), 8 * mib).size() == 8 * mib);
    sending.join();
  });
  const RelayResult result = scene.run();
  peers.join();
  CHECK(result.end == RelayEnd::idle);
  CHECK(found.none());
}

TEST_CASE("a tunnel that was quiet for a while goes on as before, in conversation and in bulk") {
  Findings found;
  RelayScene scene;
  std::thread peers([&] {
    for (const std::size_t size : {1, 95, 96, 97, 5000, 300'000}) {
      std::this_thread::sleep_for(60ms);  // being quiet is what is tested
      const std::string text(size, 'q');
      write_text(scene.client(), text);
      found.expect(read_text(scene.upstream(), size) == text);
      write_text(scene.upstream(), text);
      found.expect(read_text(scene.client(), size) == text);
    }
    std::thread sending([&] { found.expect(write_pattern(scene.upstream(), 8 * mib)); });
    found.expect(read_text(scene.client(), 4 * mib).size() == 4 * mib);
    std::this_thread::sleep_for(60ms);  // quiet while it waits for room
    found.expect(read_text(scene.client(), 4 * mib).size() == 4 * mib);
    sending.join();
    std::this_thread::sleep_for(60ms);  // quiet while it waits for more bulk
    write_text(scene.upstream(), "last");
    found.expect(read_text(scene.client(), 4) == "last");
    scene.client_end().reset();
    scene.upstream_end().reset();
  });
  const RelayResult result = scene.run();
  peers.join();
  CHECK(result.end == RelayEnd::finished);
  CHECK(result.bytes_to_upstream == 305'289);
  CHECK(result.bytes_to_client == 305'289 + 8 * mib + 4);
  CHECK(found.none());
}

TEST_CASE("a quiet tunnel still ends at its idle time, and not before") {
  RelayScene scene;
  scene.limits.idle = 200ms;
  const auto start = std::chrono::steady_clock::now();
  CHECK(scene.run().end == RelayEnd::idle);
  CHECK(std::chrono::steady_clock::now() - start >= 200ms);
}

TEST_CASE("movement in one direction keeps the other alive") {
  Findings found;
  RelayScene scene;
  scene.limits.idle = 300ms;
  std::thread peers([&] {
    const auto until = std::chrono::steady_clock::now() + 900ms;
    while (std::chrono::steady_clock::now() < until) {
      write_text(scene.upstream(), "tick");
      found.expect(read_text(scene.client(), 4) == "tick");
    }
    write_text(scene.client(), "done");
    found.expect(read_text(scene.upstream(), 4) == "done");
    scene.client_end().reset();
    scene.upstream_end().reset();
  });
  const RelayResult result = scene.run();
  peers.join();
  CHECK(result.end == RelayEnd::finished);
  CHECK(found.none());
}

TEST_CASE("streams closed from outside end the relay at once, idle or in bulk") {
  Findings found;
  for (const bool bulk : {false, true}) {
    for (const bool both : {false, true}) {
      RelayScene scene;
      std::thread sending;
      std::thread reading([&] {
        if (bulk) found.expect(read_text(scene.client(), 4 * mib).size() == 4 * mib);
        net::post(scene.io(), [&] {
          scene.client_stream().close();
          if (both) scene.upstream_stream().close();
        });
        read_pattern(scene.client());
      });
      if (bulk) sending = std::thread([&] { write_pattern(scene.upstream(), 1024 * mib); });
      const RelayResult result = scene.run();
      reading.join();
      if (bulk) sending.join();
      CHECK(result.end == RelayEnd::reset);
      CHECK_FALSE(scene.client_stream().is_open());
      CHECK_FALSE(scene.upstream_stream().is_open());
    }
  }
  CHECK(found.none());
}

TEST_CASE("the meter is told while bytes move, and all of them in the end") {
  RelayScene scene;
  Counted counted;
  scene.meter = &counted;
  const Transfer done = transfer(scene, 5 * mib, 64 * mib, 20'000);
  check(done, 5 * mib, 64 * mib);
  CHECK(counted.to_upstream == 5 * mib);
  CHECK(counted.to_client == 64 * mib);
  CHECK(counted.calls > 1);
}

TEST_CASE("a long first message is judged whole, then sent once") {
  Findings found;
  RelayScene scene;
  std::vector<std::string> seen;
  scene.judge = std::make_unique<Judge>(1500, FirstBytesJudge::Verdict::pass, &seen);
  const std::string hello(1500, 'h');
  std::thread peers([&] {
    write_text(scene.client(), hello);
    found.expect(read_text(scene.upstream(), hello.size()) == hello);
    scene.client_end().reset();
    scene.upstream_end().reset();
  });
  const RelayResult result = scene.run();
  peers.join();
  CHECK(seen == std::vector<std::string>{hello});
  CHECK(scene.judge == nullptr);
  CHECK(result.bytes_to_upstream == 1500);
  CHECK(found.none());
}

TEST_CASE("early bytes and what follows are judged together") {
  Findings found;
  RelayScene scene;
  std::vector<std::string> seen;
  scene.judge = std::make_unique<Judge>(8, FirstBytesJudge::Verdict::pass, &seen);
  scene.early = "earl";
  std::thread peers([&] {
    write_text(scene.client(), "ylat");
    found.expect(read_text(scene.upstream(), 8) == "earlylat");
    scene.client_end().reset();
    scene.upstream_end().reset();
  });
  scene.run();
  peers.join();
  CHECK(seen.back() == "earlylat");
  CHECK(found.none());
}

TEST_CASE("nothing of what is refused reaches the upstream, and the client can still be told") {
  RelayScene scene;
  scene.judge = std::make_unique<Judge>(1, FirstBytesJudge::Verdict::refuse);
  write_text(scene.client(), std::string(5000, 'x'));
  const RelayResult result = scene.run();
  CHECK(result.end == RelayEnd::refused);
  CHECK(result.bytes_to_upstream == 0);
  CHECK(read_text(scene.upstream(), 1).empty());
  CHECK(scene.client_stream().is_open());
}

TEST_CASE("a first message that stays undecided is refused at its limit of bytes and of time") {
  RelayScene by_size;
  by_size.judge = std::make_unique<Judge>(1'000'000, FirstBytesJudge::Verdict::pass);
  by_size.limits.peek_bytes_max = 4096;
  write_text(by_size.client(), std::string(6000, 'x'));
  CHECK(by_size.run().end == RelayEnd::refused);

  RelayScene by_time;
  by_time.judge = std::make_unique<Judge>(1'000'000, FirstBytesJudge::Verdict::pass);
  by_time.limits.peek = 100ms;
  write_text(by_time.client(), "x");
  const RelayResult result = by_time.run();
  CHECK(result.end == RelayEnd::refused);
  CHECK(result.bytes_to_upstream == 0);
}

TEST_CASE("a client that ends before there is a verdict is judged by what it sent") {
  for (const auto verdict : {FirstBytesJudge::Verdict::pass, FirstBytesJudge::Verdict::refuse}) {
    const bool passes = verdict == FirstBytesJudge::Verdict::pass;
    Findings found;
    RelayScene scene;
    scene.judge = std::make_unique<Judge>(1000, verdict);
    std::thread peers([&] {
      write_text(scene.client(), "ruok");
      ::shutdown(scene.client(), SHUT_WR);
      found.expect(read_text(scene.upstream(), 5) == (passes ? "ruok" : ""));
      if (passes) write_text(scene.upstream(), "imok");
      scene.upstream_end().reset();
      if (passes) found.expect(read_text(scene.client(), 4) == "imok");
    });
    const RelayResult result = scene.run();
    peers.join();
    CHECK(result.end == (passes ? RelayEnd::finished : RelayEnd::refused));
    CHECK(result.bytes_to_upstream == (passes ? 4 : 0));
    CHECK(found.none());
  }
}

TEST_CASE("the server may speak first while the client's first bytes are awaited") {
  Findings found;
  RelayScene scene;
  scene.judge = std::make_unique<Judge>(4, FirstBytesJudge::Verdict::pass);
  std::thread peers([&] {
    write_text(scene.upstream(), "220 ready");
    found.expect(read_text(scene.client(), 9) == "220 ready");
    write_text(scene.client(), "EHLO");
    found.expect(read_text(scene.upstream(), 4) == "EHLO");
    scene.client_end().reset();
    scene.upstream_end().reset();
  });
  CHECK(scene.run().end == RelayEnd::finished);
  peers.join();
  CHECK(found.none());
}

TEST_CASE("streams closed from outside end the relay while it waits for room upstream") {
  RelayScene scene;
  scene.limits.idle = 3s;
  std::thread sending([&] { write_pattern(scene.client(), 1024 * mib); });  // which nobody reads
  SteadyTimer full(scene.io().get_executor(), 300ms);
  full.async_wait([&](const ErrorCodeSys&) {
    scene.client_stream().close();
    scene.upstream_stream().close();
  });
  const RelayResult result = scene.run();
  sending.join();
  CHECK(result.end == RelayEnd::reset);
}
