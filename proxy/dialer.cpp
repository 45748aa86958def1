#include "proxy/dialer.hpp"

#include <sys/socket.h>

#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <deque>

#include "proxy/net/one_shot.hpp"

namespace nono {

namespace {

constexpr std::chrono::milliseconds attempt_delay{250};

net::ip::tcp::endpoint to_endpoint(const IpAddress& address, Port port) {
  if (address.is_v4()) return {net::ip::address_v4(address.v4_bytes()), port.value()};
  return {net::ip::address_v6(address.bytes()), port.value()};
}

// The attempts for one target. Lives in the coroutine frame of dial() until every handler has run.
class Race {
 public:
  Race(Executor executor, const std::vector<IpAddress>& addresses, Port port,
       std::chrono::milliseconds time_max)
      : executor_(executor),
        addresses_(addresses),
        port_(port),
        stagger_(executor),
        limit_(executor) {
    limit_.expires_after(time_max);
  }

  void start(OneShot done) {
    done_ = std::move(done);
    ++pending_;
    limit_.async_wait([this](const ErrorCodeSys& code) {
      if (!code) {
        timed_out_ = true;
        stop();
      }
      finish_one();
    });
    next_attempt();
  }

  bool won() const { return winner_ != nullptr; }
  bool timed_out() const { return timed_out_; }
  const std::string& last_error() const { return last_error_; }
  TcpSocket take_socket() { return std::move(winner_->socket); }
  const IpAddress& address() const { return *winner_->address; }

 private:
  struct Attempt {
    TcpSocket socket;
    const IpAddress* address;
  };

  void next_attempt() {
    if (won() || timed_out_) return;
    if (next_ == addresses_.size()) {
      if (connecting_ == 0) stop();
      return;
    }
    Attempt& attempt = attempts_.emplace_back(Attempt{TcpSocket(executor_), &addresses_[next_++]});
    ++pending_;
    ++connecting_;
    attempt.socket.async_connect(
        to_endpoint(*attempt.address, port_),
        [this, &attempt](const ErrorCodeSys& code) { answered(attempt, code); });
    if (next_ < addresses_.size()) stagger();
  }

  void stagger() {
    ++pending_;
    stagger_.expires_after(
        attempt_delay);  // cancels the wait before, whose handler then does nothing
    stagger_.async_wait([this](const ErrorCodeSys& code) {
      if (!code) next_attempt();
      finish_one();
    });
  }

  void answered(Attempt& attempt, const ErrorCodeSys& code) {
    --connecting_;
    if (!code && !won() && !timed_out_) {
      winner_ = &attempt;
      stop();
    } else if (code && code != net::error::operation_aborted) {
      last_error_ = code.message();
      next_attempt();
    }
    finish_one();
  }

  void stop() {
    ErrorCodeSys ignored;
    stagger_.cancel();
    limit_.cancel();
    for (Attempt& attempt : attempts_) {
      if (&attempt != winner_) attempt.socket.close(ignored);
    }
  }

  void finish_one() {
    if (--pending_ > 0) return;
    done_.complete(executor_);
  }

  Executor executor_;
  const std::vector<IpAddress>& addresses_;
  Port port_;
  SteadyTimer stagger_, limit_;
  std::deque<Attempt> attempts_;  // stable addresses: handlers hold references
  std::size_t next_ = 0;
  int pending_ = 0, connecting_ = 0;
  Attempt* winner_ = nullptr;
  bool timed_out_ = false;
  std::string last_error_ = "no address to connect to";
  OneShot done_;
};

Error connect_error(const Permit& permit, std::string_view what) {
  return Error{Side::upstream, ErrorCode::connect_failed,
               "cannot connect to " + permit.target().to_string() + ": " + std::string(what),
               "check that the host is up and reachable from this machine"};
}

// One address on a fast network connects within the call: nothing is allocated or suspended then.
Result<bool> connect_at_once(TcpSocket& socket, const net::ip::tcp::endpoint& endpoint) {
  ErrorCodeSys code;
  socket.open(endpoint.protocol(), code);
  if (!code) socket.non_blocking(true, code);
  if (code) return fail(Error{Side::self, ErrorCode::io, code.message(), {}});
  if (::connect(socket.native_handle(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) ==
      0) {
    return true;
  }
  if (errno == EINPROGRESS) return false;
  return fail(errno_error(errno, "connect", Side::upstream));
}

}  // namespace

Awaitable<Result<Dialled>> dial(const Permit& permit, const dns::VettedAddresses& vetted,
                                Deadlines& deadlines, std::chrono::milliseconds time_max) {
  const Executor executor = co_await net::this_coro::executor;
  const std::vector<IpAddress>& addresses = vetted.addresses();
  const Port port = permit.target().port;
  if (addresses.size() == 1) {
    const net::ip::tcp::endpoint endpoint = to_endpoint(addresses.front(), port);
    auto stream = std::make_unique<TcpStream>(TcpSocket(executor), deadlines);
    auto connected = connect_at_once(stream->socket(), endpoint);
    if (!connected) co_return fail(connect_error(permit, connected.error().what));
    if (!*connected) {
      stream->expires_after(time_max);
      auto writable = co_await stream->wait_writable();
      int failure = 0;
      socklen_t size = sizeof failure;
      if (stream->socket().is_open()) {
        ::getsockopt(stream->socket().native_handle(), SOL_SOCKET, SO_ERROR, &failure, &size);
      }
      if (stream->timed_out()) {
        const std::string what = "connecting to " + permit.target().to_string() + " took too long";
        co_return fail(ErrorCode::connect_timeout, what, {}, Side::upstream);
      }
      if (failure != 0) co_return fail(connect_error(permit, errno_error(failure, "connect").what));
      if (!writable) co_return fail(connect_error(permit, writable.error().what));
      stream->never_expires();
    }
    stream->prepare();
    Dialled dialled;
    dialled.stream = std::move(stream);
    dialled.address = addresses.front();
    co_return dialled;
  }
  Race race(executor, addresses, port, time_max);
  auto start = [&race](auto handler) { race.start(OneShot(std::move(handler))); };
  co_await net::async_initiate<const net::deferred_t, void()>(start, net::deferred);
  if (!race.won() && race.timed_out()) {
    const std::string what = "connecting to " + permit.target().to_string() + " took too long";
    co_return fail(ErrorCode::connect_timeout, what, {}, Side::upstream);
  }
  if (!race.won()) co_return fail(connect_error(permit, race.last_error()));
  Dialled dialled;
  dialled.address = race.address();
  dialled.stream = std::make_unique<TcpStream>(race.take_socket(), deadlines);
  co_return dialled;
}

}  // namespace nono
