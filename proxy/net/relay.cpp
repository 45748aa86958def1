#include "proxy/net/relay.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string>

#include "proxy/net/one_shot.hpp"
#include "proxy/net/splice_pipe.hpp"

namespace nono {

namespace {

// A tunnel waits without a buffer, so that an idle one costs little; what comes is moved through
// one large buffer that all tunnels of the thread share, or, once it is bulk, through a pipe,
// uncopied.
constexpr std::size_t large_bytes = 256 * 1024;
// Then the other connections have their turn.
constexpr int rounds_max = 8;

// Bulk is what comes in large chunks without a break, and is so until chunks stay small.
constexpr std::size_t bulk_chunk_bytes = 16 * 1024;
constexpr std::uint32_t bulk_run_bytes = 512 * 1024;
constexpr int small_chunks_max = 8;

// What all tunnels of a thread share.
struct Shared {
  std::array<char, large_bytes> buffer;
  PipePool pipes;
};

Shared& shared() {
  thread_local const std::unique_ptr<Shared> of_thread = std::make_unique_for_overwrite<Shared>();
  return *of_thread;
}

// One tunnel. Lives in the coroutine frame of relay() until both directions are done, so the
// handlers below may hold plain references.
class Relay final : private Expiring {
 public:
  Relay(TcpStream& client, TcpStream& upstream, const RelayLimits& limits,
        std::unique_ptr<FirstBytesJudge>& judge, RelayMeter* meter)
      : client_(client), upstream_(upstream), limits_(limits), judge_(judge), meter_(meter) {}
  void start(std::string_view early, OneShot done) {
    done_ = std::move(done);
    client_.never_expires();
    upstream_.never_expires();
    renew();
    if (early.empty()) {
      receive(up_);
    } else if (judge_ != nullptr) {
      peek(early);
    } else if (send(up_, early)) {
      receive(up_);
    }
    receive(down_);
  }

  RelayResult result() const {
    RelayEnd end = RelayEnd::finished;
    if (broken_) end = expired() ? RelayEnd::idle : RelayEnd::reset;
    if (refused_) end = RelayEnd::refused;
    return RelayResult{up_.moved, down_.moved, end};
  }

 private:
  // Bytes that a socket had no room for.
  struct Unsent {
    std::string bytes;
    std::size_t at = 0;
  };
  // One direction, and its wait for whatever it waits for.
  struct Direction final : Waiter {
    Direction(Relay& relay, TcpStream& source, TcpStream& sink)
        : tunnel(relay), from(source), to(sink) {}
    void ready(const ErrorCodeSys& code) override { tunnel.resume(*this, code); }
    bool waits_for_room() const { return unsent || (pipe && pipe->held() > 0); }

    Relay& tunnel;
    TcpStream& from;
    TcpStream& to;
    std::uint64_t moved = 0;             // taken by the socket of `to`
    std::unique_ptr<Unsent> unsent{};    // what waits for room, either copied
    std::unique_ptr<SplicePipe> pipe{};  // or in here; lent by the thread while bytes are under way
    std::uint32_t run = 0;               // bytes that came in large chunks without a break
    std::uint8_t small_chunks = 0;       // one after another, while it is bulk
    bool bulk = false;
    bool unspliceable = false;
  };
  enum class Step : std::uint8_t {
    moved,   // and there may be more
    dry,     // nothing is there now
    parted,  // ended, broken, or waiting for room: others go on from here
  };

  void renew() {
    if (!peeking_) client_.deadlines().arm(*this, limits_.idle);
    if (meter_ != nullptr && client_.deadlines().now() != reported_) report();
  }

  // What has moved since the last time.
  void report() {
    reported_ = client_.deadlines().now();
    meter_->moved(up_.moved - reported_up_, down_.moved - reported_down_);
    reported_up_ = up_.moved;
    reported_down_ = down_.moved;
  }

  // Whatever either direction is waiting for, it waits on one of these two sockets.
  void on_expired() noexcept override {
    if (peeking_) refused_ = true;
    client_.close();
    upstream_.close();
  }

  // Adds to what the client sent first and asks for a verdict on all of it.
  void peek(std::string_view more) {
    if (!peeking_) {
      peeking_ = std::make_unique<std::string>();
      client_.deadlines().arm(*this, limits_.peek);
    }
    *peeking_ += more;
    FirstBytesJudge::Verdict verdict = judge_->judge(*peeking_, false);
    if (verdict == FirstBytesJudge::Verdict::more) {
      if (peeking_->size() < limits_.peek_bytes_max) return receive(up_);
      verdict = FirstBytesJudge::Verdict::refuse;
    }
    if (verdict == FirstBytesJudge::Verdict::refuse) return refuse();
    if (let_pass()) receive(up_);
  }

  void refuse() {
    refused_ = true;
    upstream_.close();
    finish_one();
  }

  // Sends what was held back; false where that is not done, or the relay broke.
  bool let_pass() {
    judge_.reset();
    const std::unique_ptr<std::string> first = std::move(peeking_);
    renew();
    return send(up_, *first);
  }

  void receive(Direction& way) { way.from.readiness().await_read(way); }

  void resume(Direction& way, const ErrorCodeSys& code) {
    if (code) return broke(way);
    const std::uint64_t before = way.moved;
    const bool waited_for_room = way.waits_for_room();
    if (!waited_for_room) renew();
    const bool all = !waited_for_room || (way.unsent ? send_unsent(way) : pour(way));
    if (way.moved != before && !broken_) renew();
    if (all) move(way);
  }

  // Decides whether this direction moves bulk.
  static void weigh(Direction& way, std::size_t chunk) {
    if (chunk >= bulk_chunk_bytes) {
      way.small_chunks = 0;
      way.run = static_cast<std::uint32_t>(std::min<std::size_t>(way.run + chunk, bulk_run_bytes));
      if (way.run == bulk_run_bytes) way.bulk = !way.unspliceable;
    } else if (!way.bulk || ++way.small_chunks > small_chunks_max) {
      way.bulk = false;
      way.run = 0;
    }
  }

  // Moves what is there; then waits for more.
  void move(Direction& way) {
    Step step = Step::moved;
    for (int round = 0; round < rounds_max && step == Step::moved; ++round) {
      step = way.bulk ? splice_once(way) : copy_once(way);
    }
    if (step == Step::parted) return;
    give_back(way);
    receive(way);
  }

  Step copy_once(Direction& way) {
    give_back(way);
    if (!way.from.readiness().readable()) return Step::dry;
    const std::span<char> buffer(shared().buffer);
    const ssize_t count =
        ::recv(way.from.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count <= 0) return nothing_came(way, count);
    const std::string_view data(buffer.data(), static_cast<std::size_t>(count));
    way.from.readiness().received(data.size(), buffer.size());
    if (judge_ != nullptr && &way == &up_) {
      peek(data);
      return Step::parted;
    }
    weigh(way, data.size());
    return send(way, data) ? Step::moved : Step::parted;
  }

  Step splice_once(Direction& way) {
    if (!way.from.readiness().readable()) return Step::dry;
    if (way.from.readiness().had_urgent()) return copy_from_now_on(way);
    if (!way.pipe) way.pipe = shared().pipes.take();
    if (!way.pipe) return copy_once(way);
    const ssize_t count = way.pipe->fill(way.from.native_handle());
    if (count < 0 && (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)) {
      return copy_from_now_on(way);
    }
    if (count == 0) return copy_once(way);  // the end, or urgent data in front of it
    if (count < 0) return nothing_came(way, count);
    weigh(way, static_cast<std::size_t>(count));
    return pour(way) ? Step::moved : Step::parted;
  }

  Step copy_from_now_on(Direction& way) {
    way.unspliceable = true;
    way.bulk = false;
    return copy_once(way);
  }

  // A read that brought nothing: why.
  Step nothing_came(Direction& way, ssize_t count) {
    if (count < 0 && errno == EINTR) return Step::moved;
    if (count < 0 && errno == EAGAIN) {
      way.from.readiness().is_dry();
      return Step::dry;
    }
    if (count == 0) {
      ended(way);
    } else {
      broke(way, &way.from);
    }
    return Step::parted;
  }

  // True when all of it went; otherwise the rest is kept and sent when there is room, or the relay
  // broke.
  bool send(Direction& way, std::string_view data) {
    data.remove_prefix(send_some(way, data));
    if (data.empty()) return true;
    if (errno != EAGAIN) {
      broke(way, &way.to);
      return false;
    }
    way.unsent = std::make_unique<Unsent>();
    way.unsent->bytes = data;
    wait_for_room(way);
    return false;
  }

  // Bytes taken at once; where that is not all, errno says why.
  static std::size_t send_some(Direction& way, std::string_view data) {
    std::size_t taken = 0;
    while (taken < data.size()) {
      const ssize_t count = ::send(way.to.native_handle(), data.data() + taken, data.size() - taken,
                                   MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) break;
      taken += static_cast<std::size_t>(count);
    }
    way.moved += taken;
    return taken;
  }

  // The same for what is in the pipe.
  bool pour(Direction& way) {
    while (way.pipe->held() > 0) {
      const ssize_t count = way.pipe->pour(way.to.native_handle());
      if (count > 0) {
        way.moved += static_cast<std::uint64_t>(count);
        continue;
      }
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EAGAIN) {
        wait_for_room(way);
      } else {
        broke(way, &way.to);
      }
      return false;
    }
    return true;
  }

  void wait_for_room(Direction& way) {
    way.to.readiness().is_full();
    way.to.readiness().await_write(way);
  }

  bool send_unsent(Direction& way) {
    Unsent& unsent = *way.unsent;
    unsent.at += send_some(way, std::string_view(unsent.bytes).substr(unsent.at));
    if (unsent.at == unsent.bytes.size()) {
      way.unsent.reset();
      return true;
    }
    if (errno == EAGAIN) {
      wait_for_room(way);
    } else {
      broke(way, &way.to);
    }
    return false;
  }

  static void give_back(Direction& way) {
    if (way.pipe) shared().pipes.give_back(std::move(way.pipe));
  }

  void ended(Direction& way) {
    if (&way == &up_ && peeking_) {
      if (judge_->judge(*peeking_, true) != FirstBytesJudge::Verdict::pass) return refuse();
      if (!let_pass()) return;  // once it is sent, the end is read again
    }
    give_back(way);
    if (finished_ == 0) {  // otherwise both are about to be closed
      ::shutdown(way.to.native_handle(), SHUT_WR);
    }
    finish_one();
  }

  // To the other side a regular end would mean that it has everything, where all it can tell that
  // by is the end. Not while something is still on its way there, which a reset would overtake.
  void pass_on_reset(const TcpStream& side) {
    Direction& way = &side == &upstream_ ? down_ : up_;
    if (!way.waits_for_room() && !way.to.has_unsent()) way.to.resets_at_end(true);
  }

  // `side`: who broke off, where that is known.
  void broke(Direction& way, const TcpStream* side = nullptr) {
    if (side != nullptr && !broken_) pass_on_reset(*side);
    give_back(way);
    broken_ = true;
    if (!refused_) client_.close();
    upstream_.close();
    finish_one();
  }

  void finish_one() {
    if (++finished_ < 2) return;
    if (!refused_) client_.close();
    client_.deadlines().disarm(*this);
    upstream_.close();
    if (meter_ != nullptr) report();
    done_.complete(client_.executor());
  }

  TcpStream& client_;
  TcpStream& upstream_;
  const RelayLimits& limits_;
  std::unique_ptr<FirstBytesJudge>& judge_;
  RelayMeter* meter_;
  std::chrono::steady_clock::time_point reported_ = client_.deadlines().now();
  std::uint64_t reported_up_ = 0, reported_down_ = 0;
  std::unique_ptr<std::string> peeking_;  // what the client sent so far, until there is a verdict
  Direction up_{*this, client_, upstream_};
  Direction down_{*this, upstream_, client_};
  OneShot done_;
  int finished_ = 0;
  bool broken_ = false;
  bool refused_ = false;
};

}  // namespace

Awaitable<RelayResult> relay(TcpStream& client, TcpStream& upstream, std::string_view early,
                             const RelayLimits& limits, std::unique_ptr<FirstBytesJudge>& judge,
                             RelayMeter* meter) {
  Relay tunnel(client, upstream, limits, judge, meter);
  auto start = [&tunnel, early](auto handler) { tunnel.start(early, OneShot(std::move(handler))); };
  co_await net::async_initiate<const net::deferred_t, void()>(start, net::deferred);
  co_return tunnel.result();
}

}  // namespace nono
