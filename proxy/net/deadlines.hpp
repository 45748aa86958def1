#pragma once
// Deadlines: one tick timer per io_context closes every stream whose time has passed. Renewing one
// costs a store instead of a timer per operation (STYLE: "deadline registry").

#include <array>
#include <chrono>
#include <cstdint>

#include "proxy/net/asio.hpp"

namespace nono {

class Deadlines;

// Where something hangs in a list of deadlines; a list's head is one as well.
struct DeadlineLink {
  DeadlineLink* previous = nullptr;
  DeadlineLink* next = nullptr;
};

// Something that can run out of time. Intrusive list node: neither copied nor moved.
class Expiring : private DeadlineLink {
 public:
  Expiring() = default;
  Expiring(const Expiring&) = delete;
  Expiring& operator=(const Expiring&) = delete;
  virtual ~Expiring();
  bool expired() const { return expired_; }

 protected:
  // Called once, on the context's thread, when the time has passed. Must close, not cancel: a
  // cancel is lost when no operation is pending at that instant.
  virtual void on_expired() noexcept = 0;
  // For what looks at something from time to time: called in on_expired(), lets it be armed again.
  void revive() noexcept { expired_ = false; }

 private:
  friend class Deadlines;
  void unlink() noexcept;
  std::chrono::steady_clock::time_point when_{};
  std::int64_t looked_at_ = 0;  // the tick at which its turn in the wheel comes
  bool expired_ = false;
};

// The registry of one io_context: a wheel of lists, one per tick, so that a tick looks
// only at what may be due. What is renewed stays where it hangs and moves on when its turn comes;
// what is further away than the wheel is long is looked at once a turn. A deadline is met late by
// up to a tick, never early.
class Deadlines {
 public:
  explicit Deadlines(Executor executor,
                     std::chrono::milliseconds tick_length = std::chrono::milliseconds(100));
  ~Deadlines();
  Deadlines(const Deadlines&) = delete;
  Deadlines& operator=(const Deadlines&) = delete;

  // Sets or renews: `item` expires `after` from now unless renewed or disarmed before.
  void arm(Expiring& item, std::chrono::milliseconds after);
  void disarm(Expiring& item) noexcept;
  // The kernel's clock of its last timer interrupt: behind by less than 10 ms, and a fifth of the
  // price (clock_gettime(2), CLOCK_MONOTONIC_COARSE). A request renews some eight deadlines.
  static std::chrono::steady_clock::time_point coarse_now() noexcept;
  // The time of the last tick or later: cheap, good to a tick.
  std::chrono::steady_clock::time_point now() const { return now_; }
  // Stops the tick so that the context can run out of work.
  void stop();

 private:
  static constexpr std::int64_t slots = 256;  // 25.6 s
  std::int64_t turn_of(const Expiring& item) const;
  DeadlineLink& slot_of(std::int64_t tick) {
    return wheel_[static_cast<std::size_t>(tick % slots)];
  }
  void hang(Expiring& item, std::int64_t tick) noexcept;
  void collect(DeadlineLink& slot, DeadlineLink& due) noexcept;
  bool anything_armed() const;
  void schedule();
  void tick();

  SteadyTimer timer_;
  const std::chrono::steady_clock::duration tick_length_;
  std::array<DeadlineLink, static_cast<std::size_t>(slots)> wheel_;
  const std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point now_;
  std::int64_t ticked_ = 0;  // the last tick whose slot was gone through
  bool running_ = false;
  bool stopped_ = false;
};

}  // namespace nono
