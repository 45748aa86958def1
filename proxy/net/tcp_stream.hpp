#pragma once
// TcpStream: a ByteStream over a TCP (or Unix stream) socket, and the socket that TLS is put upon.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include "config/base/fd.hpp"
#include "config/base/host.hpp"
#include "proxy/net/byte_stream.hpp"
#include "proxy/net/deadlines.hpp"
#include "proxy/net/readiness.hpp"

namespace nono {

// For sockets whose peer is on this machine, before they connect or listen (what they accept
// inherits it): cubic instead of a congestion control that paces, such as BBR, which on loopback
// costs a wake-up for every few packets and gives nothing. Where the system forbids it
// (net.ipv4.tcp_allowed_congestion_control) nothing changes.
void use_cubic(int fd) noexcept;

// TCP_NODELAY (tcp(7)): what is written is complete, and more is not waited for. Sockets accept it
// from the one that listens. False where it is no TCP.
bool send_at_once(int fd) noexcept;

// Whether a socket is known to be non-blocking TCP with TCP_NODELAY.
enum class Prepared : std::uint8_t { no, yes };

class TcpStream final : public ByteStream, public Pooled, private Expiring {
 public:
  // Takes a socket that is connected or, then written to only after wait_writable(), connecting;
  // none at all is a closed stream. Sets it up (non-blocking, TCP_NODELAY) unless it is `prepared`.
  TcpStream(UniqueFd socket, const Executor& executor, Deadlines& deadlines,
            Prepared prepared = Prepared::no);
  ~TcpStream() override;

  Awaitable<Result<std::size_t>> read_some(std::span<char> buffer) override;
  void write_now(std::span<const char>& data) override;
  Awaitable<Result<void>> write_all(std::span<const char> data) override;
  Awaitable<Result<void>> shutdown_send() override;
  Awaitable<void> close_gracefully() override;
  void close() noexcept override;
  bool is_open() const noexcept override { return socket_.valid(); }
  // Whether the end is to be no regular one (RST), however it comes; what was written and not yet
  // taken is then lost.
  void resets_at_end(bool resets) noexcept;
  // Whether something that was written has not been acknowledged yet.
  bool has_unsent() const noexcept;
  bool peer_ended() noexcept override;
  bool is_quiet() noexcept override;

  void expires_after(std::chrono::milliseconds after) override { arm(after, false); }
  void reads_expire_after(std::chrono::milliseconds after) override { arm(after, true); }
  void never_expires() noexcept override {
    if (expired() && is_open()) revive();
    deadlines_.disarm(*this);
  }
  bool timed_out() const { return expired(); }

  // How much of what the peer still sends close_gracefully() reads away, and for how long.
  void drains(std::chrono::milliseconds time_max, std::size_t bytes_max) noexcept {
    drain_time_max_ = time_max;
    drain_bytes_max_ = bytes_max;
  }

  int native_handle() const { return socket_.get(); }  // -1 when closed
  const Executor& executor() const { return executor_; }
  Deadlines& deadlines() { return deadlines_; }
  // For who receives and sends by the descriptor (TLS, the relay): what is known of the socket.
  Readiness& readiness() { return readiness_; }
  // Waits until there is something to be read, or room to write.
  Awaitable<Result<void>> wait_readable();
  Awaitable<Result<void>> wait_writable();
  // Turns an Asio error of this stream into ours (timeout where the deadline closed it).
  Error error(const ErrorCodeSys& code) const;

 private:
  void on_expired() noexcept override;
  void arm(std::chrono::milliseconds after, bool reads_only) {
    if (expired() && is_open()) revive();
    reads_only_ = reads_only;
    deadlines_.arm(*this, after);
  }
  UniqueFd socket_;
  Executor executor_;
  Deadlines& deadlines_;
  Readiness readiness_;
  std::uint8_t reads_at_once_ = 0;  // without a wait between them
  bool reads_only_ = false;         // what the deadline is about
  std::chrono::milliseconds drain_time_max_{2'000};
  std::size_t drain_bytes_max_ = 256 * 1024;
};

}  // namespace nono
