#include "proxy/net/tcp_stream.hpp"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/post.hpp>
#include <cerrno>

namespace nono {

void use_cubic(int fd) noexcept {
  constexpr std::string_view name = "cubic";
  ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), static_cast<socklen_t>(name.size()));
}

bool send_at_once(int fd) noexcept {
  const int on = 1;
  return ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
}

namespace {

// Others get a turn after so many reads that found something at once.
constexpr std::uint8_t reads_at_once_max = 8;

void make_non_blocking(int socket) noexcept {
  const int flags = ::fcntl(socket, F_GETFL);
  if ((flags & O_NONBLOCK) == 0) ::fcntl(socket, F_SETFL, flags | O_NONBLOCK);
}

// What a coroutine awaits to be told by `await`. No coroutine itself: each message would pay for
// it.
auto told_by(Readiness& readiness, void (Readiness::*await)(Waiter&)) {
  auto begin = [&readiness, await](auto handler) {
    (readiness.*await)(*new Suspended(readiness, std::move(handler)));
  };
  return net::async_initiate<const AsResult, void(ErrorCodeSys)>(begin, as_result);
}

ErrorCodeSys system_error(int number) {
  return ErrorCodeSys(number, boost::system::system_category());
}

}  // namespace

TcpStream::TcpStream(UniqueFd socket, const Executor& executor, Deadlines& deadlines,
                     Prepared prepared)
    : socket_(std::move(socket)),
      executor_(executor),
      deadlines_(deadlines),
      readiness_(net::use_service<Poller>(executor.context()), socket_.get()) {
  if (!socket_ || prepared == Prepared::yes) return;
  make_non_blocking(socket_.get());
  if (!send_at_once(socket_.get())) readiness_.is_no_tcp();
}

TcpStream::~TcpStream() {
  close();
}

Error TcpStream::error(const ErrorCodeSys& code) const {
  if (expired()) return Error{Side::client, ErrorCode::timeout, "the connection took too long", {}};
  if (!is_open() || code == net::error::operation_aborted || code == net::error::bad_descriptor) {
    return Error{Side::self, ErrorCode::closed, "the connection was closed here", {}};
  }
  if (code == net::error::connection_reset || code == net::error::broken_pipe ||
      code == net::error::eof) {
    return Error{Side::client, ErrorCode::closed, "the peer closed the connection", {}};
  }
  return Error{Side::self, ErrorCode::io, code.message(), {}};
}

Awaitable<Result<std::size_t>> TcpStream::read_some(std::span<char> buffer) {
  if (++reads_at_once_ > reads_at_once_max) {
    reads_at_once_ = 0;
    co_await net::post(executor_, net::deferred);
  }
  while (true) {
    // Not by wait_readable(): each message would pay for one more coroutine.
    if (!readiness_.readable()) {
      reads_at_once_ = 0;
      if (expired()) co_return fail(error({}));
      auto [code] = co_await told_by(readiness_, &Readiness::await_read);
      if (code) co_return fail(error(code));
    }
    const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    const int saved = errno;
    if (count >= 0) {
      readiness_.received(static_cast<std::size_t>(count), buffer.size());
      co_return static_cast<std::size_t>(count);
    }
    if (saved == EAGAIN) readiness_.is_dry();
    if (saved != EAGAIN && saved != EINTR) co_return fail(error(system_error(saved)));
  }
}

void TcpStream::write_now(std::span<const char>& data) {
  const ssize_t sent = ::send(socket_.get(), data.data(), data.size(), MSG_NOSIGNAL);
  if (sent > 0) data = data.subspan(static_cast<std::size_t>(sent));
}

Awaitable<Result<void>> TcpStream::write_all(std::span<const char> data) {
  while (!data.empty()) {
    // Straight to the socket: there is nearly always room, and then nothing is suspended or
    // allocated.
    const ssize_t sent = ::send(socket_.get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      data = data.subspan(static_cast<std::size_t>(sent));
      continue;
    }
    const int saved = errno;
    if (saved == EINTR) continue;
    if (saved != EAGAIN) co_return fail(error(system_error(saved)));
    auto ready = co_await wait_writable();
    if (!ready) co_return fail(ready.error());
  }
  co_return Result<void>{};
}

Awaitable<Result<void>> TcpStream::wait_readable() {
  reads_at_once_ = 0;
  if (expired()) co_return fail(error({}));
  auto [code] = co_await told_by(readiness_, &Readiness::await_read);
  if (code) co_return fail(error(code));
  co_return Result<void>{};
}

Awaitable<Result<void>> TcpStream::wait_writable() {
  readiness_.is_full();
  if (expired()) co_return fail(error({}));
  auto [code] = co_await told_by(readiness_, &Readiness::await_write);
  if (code) co_return fail(error(code));
  co_return Result<void>{};
}

Awaitable<Result<void>> TcpStream::shutdown_send() {
  if (::shutdown(socket_.get(), SHUT_WR) != 0) co_return fail(error(system_error(errno)));
  co_return Result<void>{};
}

Awaitable<void> TcpStream::close_gracefully() {
  bool open = ::shutdown(socket_.get(), SHUT_WR) == 0;
  std::array<char, 4096> rest;
  std::size_t drained = 0;
  expires_after(drain_time_max_);
  while (open && drained < drain_bytes_max_) {
    auto count = co_await read_some(rest);
    open = count && *count > 0;
    drained += open ? *count : 0;
  }
  close();
}

void TcpStream::close() noexcept {
  deadlines_.disarm(*this);
  readiness_.close();
  socket_.reset();
}

void TcpStream::resets_at_end(bool resets) noexcept {
  const linger at_once{resets ? 1 : 0, 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

bool TcpStream::has_unsent() const noexcept {
  int bytes = 0;
  return ::ioctl(socket_.get(), SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

bool TcpStream::peer_ended() noexcept {
  pollfd state{socket_.get(), POLLRDHUP, 0};
  return is_open() && ::poll(&state, 1, 0) > 0;
}

bool TcpStream::is_quiet() noexcept {
  if (!is_open()) return false;
  if (!readiness_.readable() && readiness_.is_current()) return true;
  char byte = 0;
  return ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

void TcpStream::on_expired() noexcept {
  if (reads_only_ && !readiness_.writer_waits()) return readiness_.call_off_reads();
  readiness_.close();
  socket_.reset();
}

}  // namespace nono
