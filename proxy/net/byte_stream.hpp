#pragma once
// ByteStream: a connected, ordered stream of bytes, plain or TLS. Code above proxy/net sees only
// this.

#include <chrono>
#include <cstddef>
#include <span>

#include "config/base/error.hpp"
#include "proxy/net/asio.hpp"

namespace nono {

// Used on its context's thread only; one read and one write may be under way at a time. Every await
// ends by itself when the stream's deadline passes (net/deadlines.hpp): the error is then
// `timeout`. Buffers passed in must outlive the await.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Reads what is there, at least one byte; 0 is the peer's end of stream. Errors: closed, timeout,
  // io.
  virtual Awaitable<Result<std::size_t>> read_some(std::span<char> buffer) = 0;
  // Sends what goes at once and takes that off `data`: nearly always all of it, and then nothing is
  // awaited. What is left, and a failure, is write_all()'s.
  virtual void write_now([[maybe_unused]] std::span<const char>& data) {}
  // Writes all of it or fails.
  virtual Awaitable<Result<void>> write_all(std::span<const char> data) = 0;
  // Ends our direction (FIN, or close_notify and FIN); reading goes on.
  virtual Awaitable<Result<void>> shutdown_send() = 0;
  // Ends both directions without losing what was written: half-closes, reads the peer's rest away
  // for a bounded time and size, then closes (closing with unread bytes would send RST, RFC
  // 9112 9.6).
  virtual Awaitable<void> close_gracefully() = 0;
  // Closes at once, from any state; pending operations fail with `closed`.
  virtual void close() noexcept = 0;
  // False once it was closed on this side, by whom ever. Its peer is of no matter.
  virtual bool is_open() const noexcept { return true; }
  // Whether the peer has ended its direction or broken off, as far as the socket knows by now.
  // Bytes that it sent before may still be unread.
  virtual bool peer_ended() noexcept { return false; }
  // Whether it is open and the peer has neither ended it nor sent anything that is still unread:
  // what a connection between two requests is like.
  virtual bool is_quiet() noexcept { return false; }
  // Everything on this stream must be done within `after` from now; renewed for each phase. When
  // the time passes the stream is closed under whatever is pending.
  virtual void expires_after(std::chrono::milliseconds after) = 0;
  // The same for what is read alone: when the time passes reading fails with `timeout` and the
  // stream stays open, so that the peer can be told; it is closed all the same where something
  // waits for room to be written. The next deadline lifts that.
  virtual void reads_expire_after(std::chrono::milliseconds after) { expires_after(after); }
  virtual void never_expires() noexcept = 0;
};

}  // namespace nono
