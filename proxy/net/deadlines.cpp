#include "proxy/net/deadlines.hpp"

#include <time.h>

#include <algorithm>

namespace nono {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds coarse_step{10};

void empty(DeadlineLink& list) noexcept {
  list.previous = list.next = &list;
}

void link(DeadlineLink& item, DeadlineLink& list) noexcept {
  item.previous = list.previous;
  item.next = &list;
  item.previous->next = &item;
  list.previous = &item;
}

void unlink_from_list(DeadlineLink& item) noexcept {
  if (item.next == nullptr) return;
  item.previous->next = item.next;
  item.next->previous = item.previous;
  item.previous = item.next = nullptr;
}

}  // namespace

Clock::time_point Deadlines::coarse_now() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return Clock::time_point(std::chrono::seconds(now.tv_sec) +
                           std::chrono::nanoseconds(now.tv_nsec));
}

Expiring::~Expiring() {
  unlink();
}

void Expiring::unlink() noexcept {
  unlink_from_list(*this);
}

Deadlines::Deadlines(Executor executor, std::chrono::milliseconds tick_length)
    : timer_(executor), tick_length_(tick_length), start_(Clock::now()), now_(start_) {
  for (DeadlineLink& slot : wheel_) empty(slot);
}

Deadlines::~Deadlines() {
  // Streams may outlive the registry only while a failed start is being unwound: let them go.
  for (DeadlineLink& slot : wheel_) {
    while (slot.next != &slot) unlink_from_list(*slot.next);
  }
}

// When to look at `item`: at the first tick behind its time, or as late as the wheel allows.
std::int64_t Deadlines::turn_of(const Expiring& item) const {
  const std::int64_t due = (item.when_ - start_ + tick_length_ - Clock::duration(1)) / tick_length_;
  return std::clamp<std::int64_t>(due, ticked_ + 1, ticked_ + slots - 1);
}

void Deadlines::hang(Expiring& item, std::int64_t tick) noexcept {
  item.looked_at_ = tick;
  link(item, slot_of(tick));
}

void Deadlines::arm(Expiring& item, std::chrono::milliseconds after) {
  if (item.expired_) return;
  item.when_ = coarse_now() + coarse_step + after;  // never early
  if (!running_ && !stopped_) {
    ticked_ = (Clock::now() - start_) / tick_length_;  // nothing hangs anywhere
    schedule();
  }
  const std::int64_t turn = turn_of(item);
  if (item.next != nullptr) {
    if (item.looked_at_ <= turn) return;  // nearly always: it will move on by itself
    item.unlink();
  }
  hang(item, turn);
}

void Deadlines::disarm(Expiring& item) noexcept {
  item.unlink();
}

void Deadlines::stop() {
  stopped_ = true;
  timer_.cancel();
}

bool Deadlines::anything_armed() const {
  return std::any_of(wheel_.begin(), wheel_.end(),
                     [](const DeadlineLink& slot) { return slot.next != &slot; });
}

void Deadlines::schedule() {
  running_ = true;
  timer_.expires_after(tick_length_);
  timer_.async_wait([this](const ErrorCodeSys& code) {
    // A cancelled wait may run when this registry is already being taken down: touch nothing.
    if (code) return;
    tick();
  });
}

// Moves what is due from `slot` to `due`, and the rest to where its turn comes next.
void Deadlines::collect(DeadlineLink& slot, DeadlineLink& due) noexcept {
  for (DeadlineLink* at = slot.next; at != &slot;) {
    auto& item = static_cast<Expiring&>(*at);
    at = at->next;
    if (item.looked_at_ > ticked_) continue;  // moved on to here in this very tick
    item.unlink();
    if (item.when_ <= now_) {
      link(item, due);
    } else {
      hang(item, turn_of(item));
    }
  }
}

void Deadlines::tick() {
  now_ = Clock::now();
  const std::int64_t reached = (now_ - start_) / tick_length_;
  // After a long pause (a stopped process) each slot once is all of them.
  const std::int64_t from = std::max(ticked_ + 1, reached - slots + 1);
  ticked_ = reached;
  DeadlineLink due;
  empty(due);
  for (std::int64_t tick = from; tick <= reached; ++tick) collect(slot_of(tick), due);
  // One at a time from the front: what expires may disarm, destroy or arm any other.
  while (due.next != &due) {
    auto& item = static_cast<Expiring&>(*due.next);
    item.unlink();
    if (item.when_ > now_) {  // renewed by one that expired before it
      hang(item, turn_of(item));
      continue;
    }
    item.expired_ = true;
    item.on_expired();
  }
  running_ = false;
  if (!stopped_ && anything_armed()) schedule();
}

}  // namespace nono
