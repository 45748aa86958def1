#pragma once
// Lets whatever else is ready run first: all that has arrived is read before anything is sent, and
// what is sent then leaves in one go, so that a peer is woken once and not for each message.
// To be awaited before what a message depends on is looked at, not between that and sending it.

#include "proxy/net/asio.hpp"
#include "proxy/net/readiness.hpp"

namespace nono {

// A coroutine that waits for its turn: made where it suspends, and gone when it goes on.
template <class Handler>
class Turn final : public Waiter, public Pooled {
 public:
  explicit Turn(Handler handler) : handler_(std::move(handler)) {}
  void ready(const ErrorCodeSys&) override {
    Handler handler(std::move(handler_));
    delete this;
    std::move(handler)();
  }
  void drop() noexcept override { delete this; }

 private:
  Handler handler_;
};

// To be awaited by a coroutine of the poller's context. Cannot be cancelled: it ends by itself.
inline auto turn_of_others(Poller& poller) {
  auto begin = [&poller](auto handler) { poller.in_turn(*new Turn(std::move(handler))); };
  return net::async_initiate<const net::deferred_t, void()>(begin, net::deferred);
}

}  // namespace nono
