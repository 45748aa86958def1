#include "proxy/dialer.hpp"

#include <sys/socket.h>

#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <deque>

#include "config/base/address.hpp"
#include "config/base/fd.hpp"
#include "proxy/net/one_shot.hpp"

namespace nono {

namespace {

constexpr std::chrono::milliseconds attempt_delay{250};

net::ip::tcp::endpoint to_endpoint(const IpAddress& address, Port port) {
  if (address.is_v4()) return {net::ip::address_v4(address.v4_bytes()), port.value()};
  return {net::ip::address_v6(address.bytes()), port.value()};
}

// A socket that begins to connect. Made here rather than by Asio, which would leave it open in
// programs that are started meanwhile. On this machine the connection is there when the call
// returns, but only a second call says so: nothing needs to be waited for then, nor the socket to
// be watched before it is connected. `code` is in_progress otherwise.
UniqueFd begin_connect(const net::ip::tcp::endpoint& endpoint, const IpAddress& address,
                       ErrorCodeSys& code) {
  UniqueFd fd(::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                       IPPROTO_TCP));
  code.clear();
  const auto connect = [&] {
    const auto size = static_cast<socklen_t>(endpoint.size());
    return fd && ::connect(fd.get(), endpoint.data(), size) == 0;
  };
  if (fd && classify(address) == AddressClass::loopback) use_cubic(fd.get());
  if (fd) send_at_once(fd.get());
  if (connect()) return fd;
  if (fd && errno == EINPROGRESS) {
    if (connect()) return fd;
    if (errno == EALREADY) errno = EINPROGRESS;
  }
  code.assign(errno, boost::system::system_category());
  return fd;
}

int pending_error(int fd) {
  int failure = 0;
  socklen_t size = sizeof failure;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size);
  return failure;
}

// No descriptor is left, or none that may be watched (epoll_ctl(2)): no upstream's fault.
bool is_our_limit(const ErrorCodeSys& code) {
  return code.value() == EMFILE || code.value() == ENFILE || code.value() == ENOSPC;
}

// The attempts for one target. Lives in the coroutine frame of dial() until every handler has run.
class Race {
 public:
  Race(Executor executor, const std::vector<IpAddress>& addresses, Port port, Deadlines& deadlines,
       std::chrono::milliseconds time_max)
      : executor_(executor),
        deadlines_(deadlines),
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
  const ErrorCodeSys& reason() const { return reason_; }
  Dialled result() { return Dialled{std::move(winner_->stream), winner_->address}; }

 private:
  struct Attempt final : Waiter {
    Attempt(Race& own, std::unique_ptr<TcpStream> connecting, const IpAddress& to)
        : race(own), stream(std::move(connecting)), address(to) {}
    void ready(const ErrorCodeSys& code) override { race.answered(*this, code); }

    Race& race;
    std::unique_ptr<TcpStream> stream;
    IpAddress address;
  };

  // Goes to the next address, and further where that fails at once.
  void next_attempt() {
    while (!won() && !timed_out_ && next_ < addresses_.size()) {
      if (begin(addresses_[next_++])) break;
    }
    if (won() || timed_out_) return;
    if (connecting_ == 0) return stop();
    if (next_ < addresses_.size()) stagger();
  }

  // False when it failed at once.
  bool begin(const IpAddress& address) {
    const net::ip::tcp::endpoint endpoint = to_endpoint(address, port_);
    ErrorCodeSys code;
    UniqueFd fd = begin_connect(endpoint, address, code);
    const bool wait = code == net::error::in_progress;
    if (code && !wait) {
      failed(code);
      return false;
    }
    auto stream = std::make_unique<TcpStream>(std::move(fd), executor_, deadlines_, Prepared::yes);
    if (const ErrorCodeSys& failure = stream->readiness().failure()) {
      failed(failure);
      return false;
    }
    Attempt& attempt = attempts_.emplace_back(*this, std::move(stream), address);
    if (wait) {
      ++pending_;
      ++connecting_;
      attempt.stream->readiness().is_full();
      attempt.stream->readiness().await_write(attempt);
    } else {
      winner_ = &attempt;
      stop();
    }
    return true;
  }

  // The last reason is told, unless one of them is ours.
  void failed(const ErrorCodeSys& code) {
    if (!is_our_limit(reason_)) reason_ = code;
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

  void answered(Attempt& attempt, ErrorCodeSys code) {
    --connecting_;
    if (!code) {
      code.assign(pending_error(attempt.stream->native_handle()), boost::system::system_category());
    }
    if (!code && !won() && !timed_out_) {
      winner_ = &attempt;
      stop();
    } else if (code && code != net::error::operation_aborted) {
      failed(code);
      next_attempt();
    }
    finish_one();
  }

  void stop() {
    stagger_.cancel();
    limit_.cancel();
    for (Attempt& attempt : attempts_) {
      if (&attempt != winner_) attempt.stream->close();
    }
  }

  void finish_one() {
    if (--pending_ > 0) return;
    done_.complete(executor_);
  }

  Executor executor_;
  Deadlines& deadlines_;
  const std::vector<IpAddress>& addresses_;
  Port port_;
  SteadyTimer stagger_, limit_;
  std::deque<Attempt> attempts_;  // stable addresses: handlers hold references
  std::size_t next_ = 0;
  int pending_ = 0, connecting_ = 0;
  Attempt* winner_ = nullptr;
  bool timed_out_ = false;
  ErrorCodeSys reason_;
  OneShot done_;
};

std::string place(const Permit& permit) {
  return permit.target().to_string();
}

Error connect_error(const Permit& permit, const ErrorCodeSys& code) {
  if (code.value() == ENOSPC) {
    return Error{Side::self, ErrorCode::limit,
                 "the kernel watches no more sockets for nono's user, so it cannot connect to " +
                     place(permit),
                 "raise the limit (sysctl fs.epoll.max_user_watches), or let fewer connections in"};
  }
  if (is_our_limit(code)) {
    return Error{Side::self, ErrorCode::limit,
                 "nono has no file descriptor left to connect to " + place(permit) + " with",
                 "raise the limit of open files (ulimit -n), or let fewer connections in"};
  }
  const std::string why = code ? code.message() : "no address to connect to";
  return Error{Side::upstream, ErrorCode::connect_failed,
               "cannot connect to " + place(permit) + ": " + why,
               "check that the host is up and reachable from this machine"};
}

Error too_long(const Permit& permit) {
  return Error{Side::upstream,
               ErrorCode::connect_timeout,
               "connecting to " + place(permit) + " took too long",
               "check that the host is up and reachable from here, or raise connect_time_max"};
}

// The only address there is: no race, no timers of its own.
Awaitable<Result<Dialled>> dial_one(const Permit& permit, const IpAddress& address,
                                    Deadlines& deadlines, std::chrono::milliseconds time_max) {
  const Executor executor = co_await net::this_coro::executor;
  const net::ip::tcp::endpoint endpoint = to_endpoint(address, permit.target().port);
  ErrorCodeSys code;
  UniqueFd fd = begin_connect(endpoint, address, code);
  const bool wait = code == net::error::in_progress;
  if (code && !wait) co_return fail(connect_error(permit, code));
  Dialled dialled;
  dialled.stream = std::make_unique<TcpStream>(std::move(fd), executor, deadlines, Prepared::yes);
  dialled.address = address;
  TcpStream& stream = *dialled.stream;
  code = stream.readiness().failure();
  if (code) co_return fail(connect_error(permit, code));
  if (wait) {
    stream.expires_after(time_max);
    auto writable = co_await stream.wait_writable();
    if (stream.timed_out()) co_return fail(too_long(permit));
    if (!writable) co_return fail(writable.error());
    code.assign(pending_error(stream.native_handle()), boost::system::system_category());
    if (code) co_return fail(connect_error(permit, code));
    stream.never_expires();
  }
  co_return dialled;
}

}  // namespace

Awaitable<Result<Dialled>> dial(const Permit& permit, const dns::VettedAddresses& vetted,
                                Deadlines& deadlines, std::chrono::milliseconds time_max) {
  const Executor executor = co_await net::this_coro::executor;
  const std::vector<IpAddress>& addresses = vetted.addresses();
  if (addresses.size() == 1) {
    co_return co_await dial_one(permit, addresses.front(), deadlines, time_max);
  }
  Race race(executor, addresses, permit.target().port, deadlines, time_max);
  auto start = [&race](auto handler) { race.start(OneShot(std::move(handler))); };
  co_await net::async_initiate<const net::deferred_t, void()>(start, net::deferred);
  if (!race.won() && race.timed_out()) co_return fail(too_long(permit));
  if (!race.won()) co_return fail(connect_error(permit, race.reason()));
  co_return race.result();
}

}  // namespace nono
