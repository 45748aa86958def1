#pragma once
// Lets whatever else is ready run first: all that has arrived is read before anything is sent, and
// what is sent then leaves in one go, so that a peer is woken once and not for each message.
// To be awaited before what a message depends on is looked at, not between that and sending it.

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include "proxy/net/asio.hpp"

namespace nono {

inline Awaitable<void> turn_of_others() {
  const Executor executor = co_await net::this_coro::executor;
  co_await net::post(executor, net::deferred);
}

}  // namespace nono
