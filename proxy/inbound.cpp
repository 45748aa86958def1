#include "proxy/inbound.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace nono {

// Who waits, in the frame of get().
class InnerSocketQueue::Place {
 public:
  Place(InnerSocketQueue& queue, std::chrono::milliseconds time_max)
      : queue_(queue), timer_(queue.executor_) {
    timer_.expires_after(time_max);
    queue_.places_.push_back(this);
  }
  // Its turn in the queue stays: the socket that was asked for it still comes.
  ~Place() {
    const auto own = std::find(queue_.places_.begin(), queue_.places_.end(), this);
    if (own != queue_.places_.end()) *own = nullptr;
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  SteadyTimer& timer() { return timer_; }
  UniqueFd take() { return std::move(socket_); }
  void give(UniqueFd socket) {
    socket_ = std::move(socket);
    timer_.cancel();
  }

 private:
  InnerSocketQueue& queue_;
  SteadyTimer timer_;
  UniqueFd socket_;
};

InnerSocketQueue::InnerSocketQueue(Executor executor, std::shared_ptr<InnerSockets> sockets)
    : executor_(executor), sockets_(std::move(sockets)), descriptor_(executor) {
  UniqueFd own(::dup(sockets_->fd()));
  ErrorCodeSys failed;
  descriptor_.assign(own.get(), failed);
  if (failed) return;  // then get() has nothing to wait for but its time
  [[maybe_unused]] const int owned_by_descriptor = own.release();
}

Awaitable<UniqueFd> InnerSocketQueue::get(bool v6, std::chrono::milliseconds time_max) {
  if (!descriptor_.is_open() || !sockets_->ask(v6)) co_return UniqueFd();
  Place place(*this, time_max);
  watch();
  co_await place.timer().async_wait(as_result);
  co_return place.take();
}

void InnerSocketQueue::watch() {
  if (watching_ || places_.empty() || !descriptor_.is_open()) return;
  watching_ = true;
  descriptor_.async_wait(StreamDescriptor::wait_read,
                         [weak = weak_from_this()](const ErrorCodeSys& code) {
                           const std::shared_ptr<InnerSocketQueue> self = weak.lock();
                           if (!self) return;
                           self->watching_ = false;
                           if (!code) self->hand_out();
                           self->watch();
                         });
}

void InnerSocketQueue::hand_out() {
  using State = InnerSockets::Taken::State;
  while (!places_.empty()) {
    InnerSockets::Taken taken = sockets_->take();
    if (taken.state == State::none_yet) return;
    Place* const first = places_.front();
    places_.pop_front();
    if (first != nullptr) first->give(std::move(taken.socket));
    if (taken.state != State::over) continue;
    // The sandbox has ended: nobody is given anything more.
    ErrorCodeSys ignored;
    descriptor_.close(ignored);
    for (Place* const place : places_) {
      if (place != nullptr) place->give(UniqueFd());
    }
    places_.clear();
  }
}

namespace {

Error not_connected(const InnerPort& port, ErrorCode code, std::string why) {
  return Error{Side::upstream, code,
               "cannot connect to port " + std::to_string(port.port.value()) +
                   " of the sandboxed program: " + std::move(why),
               "the program must listen on 127.0.0.1 or ::1"};
}

bool begin_connect(int socket, bool v6, Port port) {
  if (v6) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port.value());
    address.sin6_addr = in6addr_loopback;
    return ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port.value());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

Awaitable<Result<std::unique_ptr<TcpStream>>> connect_by(const InnerPort& port, bool v6,
                                                         Deadlines& deadlines,
                                                         std::chrono::milliseconds time_max) {
  const Executor executor = co_await net::this_coro::executor;
  UniqueFd fd = co_await port.sockets->get(v6, time_max);
  if (!fd) co_return fail(not_connected(port, ErrorCode::connect_failed, "it has ended"));
  const bool connected = begin_connect(fd.get(), v6, port.port);
  const int failure = connected ? 0 : errno;
  if (failure != 0 && failure != EINPROGRESS) {
    co_return fail(not_connected(port, ErrorCode::connect_failed, std::strerror(failure)));
  }
  auto stream = std::make_unique<TcpStream>(std::move(fd), executor, deadlines);
  if (connected) co_return stream;
  stream->expires_after(time_max);
  auto writable = co_await stream->wait_writable();
  if (!writable) {
    co_return fail(not_connected(port, ErrorCode::connect_timeout, "it took too long"));
  }
  stream->never_expires();
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(stream->native_handle(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    co_return fail(not_connected(port, ErrorCode::connect_failed, std::strerror(error)));
  }
  co_return stream;
}

}  // namespace

Awaitable<Result<std::unique_ptr<TcpStream>>> connect_inside(const InnerPort& port,
                                                             Deadlines& deadlines,
                                                             std::chrono::milliseconds time_max) {
  auto v4 = co_await connect_by(port, false, deadlines, time_max);
  if (v4) co_return std::move(*v4);
  auto v6 = co_await connect_by(port, true, deadlines, time_max);
  if (v6) co_return std::move(*v6);
  co_return fail(v4.error());
}

}  // namespace nono
