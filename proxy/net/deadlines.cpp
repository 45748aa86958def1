#include "proxy/net/deadlines.hpp"

namespace nono {

namespace {
constexpr std::chrono::milliseconds tick_length{100};
}

Expiring::~Expiring() {
  unlink();
}

void Expiring::unlink() noexcept {
  if (next_ == nullptr) return;
  previous_->next_ = next_;
  next_->previous_ = previous_;
  previous_ = next_ = nullptr;
}

Deadlines::Deadlines(Executor executor) : timer_(executor), now_(std::chrono::steady_clock::now()) {
  armed_.previous_ = armed_.next_ = &armed_;
}

Deadlines::~Deadlines() {
  // Streams may outlive the registry only while a failed start is being unwound: let them go.
  while (armed_.next_ != &armed_) armed_.next_->unlink();
  armed_.previous_ = armed_.next_ = nullptr;
}

void Deadlines::arm(Expiring& item, std::chrono::milliseconds after) {
  if (item.expired_) return;
  item.when_ = std::chrono::steady_clock::now() + after;
  if (item.next_ == nullptr) link(item, armed_);
  if (!running_ && !stopped_) schedule();
}

void Deadlines::link(Expiring& item, Head& list) noexcept {
  item.previous_ = list.previous_;
  item.next_ = &list;
  item.previous_->next_ = &item;
  list.previous_ = &item;
}

void Deadlines::disarm(Expiring& item) noexcept {
  item.unlink();
}

void Deadlines::stop() {
  stopped_ = true;
  timer_.cancel();
}

void Deadlines::schedule() {
  running_ = true;
  timer_.expires_after(tick_length);
  timer_.async_wait([this](const ErrorCodeSys& code) {
    // A cancelled wait may run when this registry is already being taken down: touch nothing.
    if (code) return;
    tick();
  });
}

void Deadlines::tick() {
  running_ = false;
  now_ = std::chrono::steady_clock::now();
  Head due;
  due.previous_ = due.next_ = &due;
  for (Expiring* item = armed_.next_; item != &armed_;) {
    Expiring* next = item->next_;
    if (item->when_ <= now_) {
      item->unlink();
      link(*item, due);
    }
    item = next;
  }
  // One at a time from the front: what expires may disarm, destroy or arm any other.
  while (due.next_ != &due) {
    Expiring* item = due.next_;
    item->unlink();
    item->expired_ = true;
    item->on_expired();
  }
  if (armed_.next_ != &armed_ && !running_ && !stopped_) schedule();
}

}  // namespace nono
