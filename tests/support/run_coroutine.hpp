#pragma once
// Runs one coroutine to its end, bounded in time.

#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <stdexcept>

#include "proxy/net/asio.hpp"

namespace nono::test {

// Runs `io` until `coroutine` has ended and gives its result. Throws what it throws, and
// std::runtime_error when it has not ended `within` that time or can never end.
template <class T>
T run_coroutine(net::io_context& io, Awaitable<T> coroutine,
                std::chrono::milliseconds within = std::chrono::milliseconds{10'000}) {
  std::optional<T> result;
  std::exception_ptr escaped;
  bool ended = false;
  auto on_end = [&](std::exception_ptr thrown, T value) {
    escaped = thrown;
    if (!thrown) result.emplace(std::move(value));
    ended = true;
    io.stop();
  };
  net::co_spawn(io.get_executor(), std::move(coroutine), on_end);
  io.restart();
  io.run_for(within);
  if (escaped) std::rethrow_exception(escaped);
  if (!ended) throw std::runtime_error("the coroutine did not end");
  return std::move(*result);
}

// The same for a coroutine without a result.
inline void run_coroutine(net::io_context& io, Awaitable<void> coroutine,
                          std::chrono::milliseconds within = std::chrono::milliseconds{10'000}) {
  std::exception_ptr escaped;
  bool ended = false;
  auto on_end = [&](std::exception_ptr thrown) {
    escaped = thrown;
    ended = true;
    io.stop();
  };
  net::co_spawn(io.get_executor(), std::move(coroutine), on_end);
  io.restart();
  io.run_for(within);
  if (escaped) std::rethrow_exception(escaped);
  if (!ended) throw std::runtime_error("the coroutine did not end");
}

}  // namespace nono::test
