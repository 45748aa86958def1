#pragma once
// Deadlines: one tick timer per io_context closes every stream whose time has passed. Costs a list
// splice per renewal instead of a timer per operation (STYLE: "deadline registry").

#include <chrono>

#include "proxy/net/asio.hpp"

namespace nono {

class Deadlines;

// Something that can run out of time. Intrusive list node: neither copied nor moved.
class Expiring {
 public:
  Expiring() = default;
  Expiring(const Expiring&) = delete;
  Expiring& operator=(const Expiring&) = delete;
  virtual ~Expiring();
  bool expired() const { return expired_; }

 protected:
  // Called once, on the context's thread, when the time has passed. Must close, not cancel: a cancel
  // is lost when no operation is pending at that instant.
  virtual void on_expired() noexcept = 0;
  // For what looks at something from time to time: called in on_expired(), lets it be armed again.
  void revive() noexcept { expired_ = false; }

 private:
  friend class Deadlines;
  void unlink() noexcept;
  Expiring* previous_ = nullptr;
  Expiring* next_ = nullptr;
  std::chrono::steady_clock::time_point when_{};
  bool expired_ = false;
};

// The registry of one io_context. Resolution: one tick (100 ms), so a deadline is met late, never early.
class Deadlines {
 public:
  explicit Deadlines(Executor executor);
  ~Deadlines();
  Deadlines(const Deadlines&) = delete;
  Deadlines& operator=(const Deadlines&) = delete;

  // Sets or renews: `item` expires `after` from now unless renewed or disarmed before.
  void arm(Expiring& item, std::chrono::milliseconds after);
  void disarm(Expiring& item) noexcept;
  // The time of the last tick or later: cheap, good to a tick.
  std::chrono::steady_clock::time_point now() const { return now_; }
  // Stops the tick so that the context can run out of work.
  void stop();

 private:
  void schedule();
  void tick();
  struct Head : Expiring {
    void on_expired() noexcept override {}
  };
  static void link(Expiring& item, Head& list) noexcept;
  SteadyTimer timer_;
  Head armed_;  // unsorted: a tick walks all of it; renewing is writing one time_point
  std::chrono::steady_clock::time_point now_;
  bool running_ = false;
  bool stopped_ = false;
};

}  // namespace nono
