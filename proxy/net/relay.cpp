#include "proxy/net/relay.hpp"

#include <sys/socket.h>

#include <array>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <cerrno>
#include <string>

#include "proxy/net/one_shot.hpp"

namespace nono {

namespace {

// A tunnel waits in a small receive, so that an idle one costs little; when that comes back full,
// the rest is moved through one large buffer that all tunnels of the thread share.
constexpr std::size_t small_bytes = 512;
constexpr std::size_t large_bytes = 256 * 1024;
// Then the other connections have their turn.
constexpr int large_rounds_max = 8;

std::span<char> large_buffer() {
  thread_local std::string buffer(large_bytes, '\0');
  return buffer;
}

// One tunnel. Lives in the coroutine frame of relay() until both directions are done, so the
// handlers below may hold plain references.
class Relay final : private Expiring {
 public:
  Relay(TcpStream& client, TcpStream& upstream, const RelayLimits& limits, FirstBytesJudge* judge)
      : client_(client), upstream_(upstream), limits_(limits), judge_(judge) {}
  void start(std::string_view early, OneShot done) {
    done_ = std::move(done);
    client_.never_expires();
    upstream_.never_expires();
    renew();
    if (early.empty()) {
      receive(up_);
    } else if (judge_ != nullptr) {
      peek(early);
    } else {
      up_.moved += early.size();
      if (send(up_, early)) receive(up_);
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
  struct Direction {
    TcpStream& from;
    TcpStream& to;
    std::uint64_t moved = 0;
    std::string unsent;  // what `to` had no room for
    std::size_t unsent_at = 0;
    std::array<char, small_bytes> small{};
  };

  void renew() {
    if (!peeking_) client_.deadlines().arm(*this, limits_.idle);
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
      peeking_ = true;
      client_.deadlines().arm(*this, limits_.peek);
    }
    up_.unsent += more;
    FirstBytesJudge::Verdict verdict = judge_->judge(up_.unsent);
    if (verdict == FirstBytesJudge::Verdict::more) {
      if (up_.unsent.size() < limits_.peek_bytes_max) return receive(up_);
      verdict = FirstBytesJudge::Verdict::refuse;
    }
    if (verdict == FirstBytesJudge::Verdict::refuse) {
      refused_ = true;
      upstream_.close();
      return finish_one();
    }
    judge_ = nullptr;
    peeking_ = false;
    renew();
    const std::string first = std::move(up_.unsent);
    up_.unsent.clear();
    up_.moved += first.size();
    if (send(up_, first)) receive(up_);
  }

  void receive(Direction& way) {
    auto handler = [this, &way](const ErrorCodeSys& code, std::size_t count) {
      received(way, code, count);
    };
    way.from.socket().async_receive(net::buffer(way.small), handler);
  }

  void received(Direction& way, const ErrorCodeSys& code, std::size_t count) {
    if (code == net::error::eof) return ended(way);
    if (code) return broke(way);
    renew();
    const std::string_view data(way.small.data(), count);
    if (judge_ != nullptr && &way == &up_) return peek(data);
    way.moved += count;
    if (!send(way, data)) return;
    if (count == way.small.size()) return drain(way);
    receive(way);
  }

  // Moves what is there through the shared buffer.
  void drain(Direction& way) {
    const std::span<char> buffer = large_buffer();
    for (int round = 0; round < large_rounds_max; ++round) {
      const ssize_t count =
          ::recv(way.from.socket().native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (count == 0) return ended(way);
      if (count < 0) {
        if (errno == EAGAIN || errno == EINTR) break;
        return broke(way);
      }
      way.moved += static_cast<std::uint64_t>(count);
      if (!send(way, {buffer.data(), static_cast<std::size_t>(count)})) return;
      if (static_cast<std::size_t>(count) < small_bytes) break;
    }
    receive(way);
  }

  // True when all of it went; otherwise the rest is kept and sent when there is room, or the relay
  // broke.
  bool send(Direction& way, std::string_view data) {
    const int fd = way.to.socket().native_handle();
    while (!data.empty()) {
      const ssize_t count = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count >= 0) {
        data.remove_prefix(static_cast<std::size_t>(count));
      } else if (errno == EAGAIN) {
        way.unsent.assign(data);
        way.unsent_at = 0;
        wait_for_room(way);
        return false;
      } else if (errno != EINTR) {
        broke(way);
        return false;
      }
    }
    return true;
  }

  void wait_for_room(Direction& way) {
    way.to.socket().async_wait(TcpSocket::wait_write, [this, &way](const ErrorCodeSys& code) {
      if (code) return broke(way);
      const std::string_view rest = std::string_view(way.unsent).substr(way.unsent_at);
      const ssize_t count = ::send(way.to.socket().native_handle(), rest.data(), rest.size(),
                                   MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0 && errno != EAGAIN && errno != EINTR) return broke(way);
      if (count > 0) {
        renew();
        way.unsent_at += static_cast<std::size_t>(count);
      }
      if (way.unsent_at < way.unsent.size()) return wait_for_room(way);
      std::string().swap(way.unsent);
      drain(way);
    });
  }

  void ended(Direction& way) {
    ErrorCodeSys ignored;
    way.to.socket().shutdown(TcpSocket::shutdown_send, ignored);
    finish_one();
  }

  void broke(Direction&) {
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
    done_.complete(client_.socket().get_executor());
  }

  TcpStream& client_;
  TcpStream& upstream_;
  const RelayLimits& limits_;
  FirstBytesJudge* judge_;
  Direction up_{client_, upstream_, 0, {}, 0, {}};
  Direction down_{upstream_, client_, 0, {}, 0, {}};
  OneShot done_;
  int finished_ = 0;
  bool broken_ = false;
  bool peeking_ = false;
  bool refused_ = false;
};

// One direction of relay_streams().
struct Pipe {
  ByteStream& from;
  ByteStream& to;
  std::string_view early;
  std::chrono::milliseconds idle;
  RelayFilter* filter;

  // Both: the other direction may have ended long ago, and then nothing else wakes who waits here.
  void renew() const {
    from.expires_after(idle);
    to.expires_after(idle);
  }
  void close() const {
    from.close();
    to.close();
  }
};

Awaitable<Result<std::uint64_t>> pump(Pipe pipe) {
  std::uint64_t moved = 0;
  std::string filtered;
  std::string buffer(16 * 1024, '\0');
  std::string_view data = pipe.early;
  while (true) {
    pipe.renew();
    moved += data.size();
    if (pipe.filter != nullptr) {
      filtered.clear();
      auto fed = pipe.filter->feed(data, filtered);
      data = filtered;
      if (!fed) {
        pipe.close();
        co_return fail(fed.error());
      }
    }
    auto sent = co_await pipe.to.write_all(data);
    if (!sent) {
      pipe.close();
      co_return fail(sent.error());
    }
    auto count = co_await pipe.from.read_some(buffer);
    if (!count) {
      pipe.close();
      co_return fail(count.error());
    }
    if (*count == 0) break;
    data = std::string_view(buffer.data(), *count);
  }
  if (pipe.filter != nullptr) {
    filtered.clear();
    pipe.filter->finish(filtered);
    co_await pipe.to.write_all(filtered);
  }
  co_await pipe.to.shutdown_send();
  co_return moved;
}

}  // namespace

Awaitable<RelayResult> relay(TcpStream& client, TcpStream& upstream, std::string_view early,
                             const RelayLimits& limits, FirstBytesJudge* judge) {
  Relay tunnel(client, upstream, limits, judge);
  auto start = [&tunnel, early](auto handler) { tunnel.start(early, OneShot(std::move(handler))); };
  co_await net::async_initiate<const net::deferred_t, void()>(start, net::deferred);
  co_return tunnel.result();
}

Awaitable<RelayResult> relay_streams(ByteStream& client, ByteStream& upstream,
                                     std::string_view early_client, std::string_view early_upstream,
                                     std::chrono::milliseconds idle, RelayFilter* to_client) {
  using namespace net::experimental::awaitable_operators;
  const Pipe up_pipe{client, upstream, early_client, idle, nullptr};
  const Pipe down_pipe{upstream, client, early_upstream, idle, to_client};
  auto [up, down] = co_await (pump(up_pipe) && pump(down_pipe));
  RelayResult result;
  result.bytes_to_upstream = up.value_or(0);
  result.bytes_to_client = down.value_or(0);
  if (!up || !down) {
    const ErrorCode code = up ? down.error().code : up.error().code;
    result.end = code == ErrorCode::timeout ? RelayEnd::idle : RelayEnd::reset;
  }
  client.close();
  upstream.close();
  co_return result;
}

}  // namespace nono
