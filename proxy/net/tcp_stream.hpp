#pragma once
// TcpStream: a ByteStream over a TCP (or Unix stream) socket, and the socket that TLS is put upon.

#include <chrono>
#include <memory>

#include "config/base/fd.hpp"
#include "config/base/host.hpp"
#include "proxy/net/byte_stream.hpp"
#include "proxy/net/deadlines.hpp"

namespace nono {

class TcpStream final : public ByteStream, private Expiring {
 public:
  // Takes a connected socket; sets it non-blocking and TCP_NODELAY.
  TcpStream(TcpSocket socket, Deadlines& deadlines);
  ~TcpStream() override;

  Awaitable<Result<std::size_t>> read_some(std::span<char> buffer) override;
  Awaitable<Result<void>> write_all(std::span<const char> data) override;
  Awaitable<Result<void>> shutdown_send() override;
  Awaitable<void> close_gracefully() override;
  void close() noexcept override;

  void expires_after(std::chrono::milliseconds after) override { deadlines_.arm(*this, after); }
  void never_expires() noexcept override { deadlines_.disarm(*this); }
  bool timed_out() const { return expired(); }

  TcpSocket& socket() { return socket_; }
  Deadlines& deadlines() { return deadlines_; }
  // Waits until the socket can be read or written: for TLS, which reads and writes the fd itself.
  Awaitable<Result<void>> wait_readable();
  Awaitable<Result<void>> wait_writable();
  // Turns an Asio error of this stream into ours (timeout where the deadline closed it).
  Error error(const ErrorCodeSys& code) const;

 private:
  void on_expired() noexcept override;
  TcpSocket socket_;
  Deadlines& deadlines_;
};

}  // namespace nono
