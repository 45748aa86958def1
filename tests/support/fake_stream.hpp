#pragma once
// A ByteStream in memory, for tests: what it reads is scripted piece by piece, what is written to
// it is kept.

#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/net/byte_stream.hpp"

namespace nono::test {

class FakeStream final : public ByteStream {
 public:
  explicit FakeStream(Executor executor);

  // What the peer sends. Each call is one piece: no read gives more than (the rest of) one of them.
  void receive(std::string_view piece);
  // The bytes split before each of `positions`, which ascend.
  void receive_split(std::string_view bytes, const std::vector<std::size_t>& positions);
  void receive_bytewise(std::string_view bytes);
  // The peer ends its direction, behind what it has sent.
  void receive_end() {
    ended_ = true;
    wake();
  }
  // Reading fails, behind what the peer has sent.
  void receive_failure(ErrorCode code);

  // Calls `action` once, as soon as `text` has been written. For peers that answer what they were
  // sent.
  void when_written(std::string text, std::function<void()> action);
  // The Nth operation from now (1 is the next read or write) fails, and all that follow.
  void fail_at(int operation) { fails_from_ = operations_ + operation; }
  // Writes do not complete until let_write().
  void block_writes() { writes_blocked_ = true; }
  void let_write();
  // The deadline passes now: the stream closes under whatever is pending.
  void expire();

  const std::string& written() const { return written_; }
  const std::vector<std::string>& writes() const { return writes_; }
  int operations() const { return operations_; }
  bool closed() const { return closed_; }
  bool send_ended() const { return send_ended_; }
  bool all_read() const { return pieces_.empty(); }
  std::string unread() const;  // what the peer has sent and nobody read
  bool reading() const { return reading_; }
  // The last deadline set; negative while there is none.
  std::chrono::milliseconds deadline() const { return deadline_; }

  Awaitable<Result<std::size_t>> read_some(std::span<char> buffer) override;
  Awaitable<Result<void>> write_all(std::span<const char> data) override;
  Awaitable<Result<void>> shutdown_send() override;
  Awaitable<void> close_gracefully() override;
  void close() noexcept override;
  void expires_after(std::chrono::milliseconds after) override { deadline_ = after; }
  void never_expires() noexcept override { deadline_ = std::chrono::milliseconds{-1}; }

 private:
  void wake() { changed_.cancel(); }
  bool fails_now();
  std::size_t take(std::span<char> buffer);
  void run_actions();
  Error gone() const;

  SteadyTimer changed_;  // never fires: cancelled to wake whoever waits
  std::deque<std::string> pieces_;
  std::vector<std::string> writes_;
  std::string written_;
  std::vector<std::pair<std::string, std::function<void()>>> actions_;
  std::chrono::milliseconds deadline_{-1};
  ErrorCode failure_ = ErrorCode::io;
  int operations_ = 0;
  int fails_from_ = 0;  // 0: never
  bool ended_ = false, failed_ = false, closed_ = false, expired_ = false;
  bool send_ended_ = false, writes_blocked_ = false;
  bool reading_ = false, writing_ = false;
};

}  // namespace nono::test
