#pragma once
// A bound on how often something may happen: so many per second, and a burst of one second's worth.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace nono {

// The generic cell rate algorithm (ITU-T I.371, appendix): one number, the time at which the bucket
// will be empty again. Any thread.
class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;

  // 0: no bound.
  explicit RateLimit(unsigned per_second)
      : step_(per_second == 0 ? 0 : std::max<std::int64_t>(1, second / per_second)) {}

  // Takes one, or says that there is none now.
  bool take(Clock::time_point now) {
    if (step_ == 0) return true;
    const std::int64_t at = now.time_since_epoch() / std::chrono::nanoseconds(1);
    std::int64_t empty_at = empty_at_.load(std::memory_order_relaxed);
    while (true) {
      const std::int64_t next = std::max(empty_at, at) + step_;
      if (next - at > std::max(second, step_)) return false;
      if (empty_at_.compare_exchange_weak(empty_at, next, std::memory_order_relaxed)) return true;
    }
  }

 private:
  static constexpr std::int64_t second = 1'000'000'000;
  std::int64_t step_;
  std::atomic<std::int64_t> empty_at_{0};
};

}  // namespace nono
