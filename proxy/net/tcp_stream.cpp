#include "proxy/net/tcp_stream.hpp"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/post.hpp>
#include <cerrno>

namespace nono {

void use_cubic(int fd) noexcept {
  constexpr std::string_view name = "cubic";
  ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), static_cast<socklen_t>(name.size()));
}

TcpStream::TcpStream(TcpSocket socket, Deadlines& deadlines)
    : socket_(std::move(socket)), deadlines_(deadlines) {
  if (socket_.is_open()) prepare();
}

void TcpStream::prepare() noexcept {
  ErrorCodeSys ignored;
  if (!socket_.non_blocking()) socket_.non_blocking(true, ignored);
  const int on = 1;  // fails on a Unix socket, where there is nothing to switch off
  ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

TcpStream::~TcpStream() {
  close();
}

Error TcpStream::error(const ErrorCodeSys& code) const {
  if (expired()) return Error{Side::client, ErrorCode::timeout, "the connection took too long", {}};
  if (!socket_.is_open() || code == net::error::operation_aborted ||
      code == net::error::bad_descriptor) {
    return Error{Side::self, ErrorCode::closed, "the connection was closed here", {}};
  }
  if (code == net::error::connection_reset || code == net::error::broken_pipe ||
      code == net::error::eof) {
    return Error{Side::client, ErrorCode::closed, "the peer closed the connection", {}};
  }
  return Error{Side::self, ErrorCode::io, code.message(), {}};
}

Awaitable<Result<std::size_t>> TcpStream::read_some(std::span<char> buffer) {
  auto [code, count] =
      co_await socket_.async_receive(net::buffer(buffer.data(), buffer.size()), as_result);
  if (code == net::error::eof) co_return std::size_t{0};
  if (code) co_return fail(error(code));
  co_return count;
}

Awaitable<Result<void>> TcpStream::write_all(std::span<const char> data) {
  // Behind whatever else is ready to run: all that has arrived is read before anything is sent, and
  // what is sent then leaves in one go, so that the peer is woken once and not for each message.
  co_await net::post(socket_.get_executor(), net::deferred);
  while (!data.empty()) {
    // Straight to the socket: there is nearly always room, and then nothing is suspended or
    // allocated.
    const ssize_t sent = ::send(socket_.native_handle(), data.data(), data.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      data = data.subspan(static_cast<std::size_t>(sent));
      continue;
    }
    const int saved = errno;
    if (saved == EINTR) continue;
    if (saved != EAGAIN)
      co_return fail(error(ErrorCodeSys(saved, boost::system::system_category())));
    auto ready = co_await wait_writable();
    if (!ready) co_return fail(ready.error());
  }
  co_return Result<void>{};
}

Awaitable<Result<void>> TcpStream::wait_readable() {
  auto [code] = co_await socket_.async_wait(TcpSocket::wait_read, as_result);
  if (code) co_return fail(error(code));
  co_return Result<void>{};
}

Awaitable<Result<void>> TcpStream::wait_writable() {
  auto [code] = co_await socket_.async_wait(TcpSocket::wait_write, as_result);
  if (code) co_return fail(error(code));
  co_return Result<void>{};
}

Awaitable<Result<void>> TcpStream::shutdown_send() {
  ErrorCodeSys code;
  socket_.shutdown(TcpSocket::shutdown_send, code);
  if (code) co_return fail(error(code));
  co_return Result<void>{};
}

Awaitable<void> TcpStream::close_gracefully() {
  ErrorCodeSys code;
  socket_.shutdown(TcpSocket::shutdown_send, code);
  std::array<char, 4096> rest;
  std::size_t drained = 0;
  expires_after(drain_time_max_);
  while (!code && drained < drain_bytes_max_) {
    auto [failed, count] = co_await socket_.async_receive(net::buffer(rest), as_result);
    code = failed;
    drained += count;
  }
  close();
}

void TcpStream::close() noexcept {
  deadlines_.disarm(*this);
  ErrorCodeSys ignored;
  socket_.close(ignored);
}

void TcpStream::resets_at_end(bool resets) noexcept {
  const linger at_once{resets ? 1 : 0, 0};
  ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

bool TcpStream::peer_ended() noexcept {
  pollfd state{socket_.native_handle(), POLLRDHUP, 0};
  return ::poll(&state, 1, 0) > 0;
}

bool TcpStream::is_quiet() noexcept {
  char byte = 0;
  return socket_.is_open() &&
         ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

void TcpStream::on_expired() noexcept {
  if (!last_words_.empty() && socket_.is_open()) {
    [[maybe_unused]] const ssize_t sent = ::send(socket_.native_handle(), last_words_.data(),
                                                 last_words_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ::shutdown(socket_.native_handle(), SHUT_WR);
  }
  ErrorCodeSys ignored;
  socket_.close(ignored);
}

}  // namespace nono
