#pragma once
// OneShot: the completion of an operation that plain callbacks carry out, whatever type its handler
// has. (any_completion_handler of Boost 1.81 recurses without end when it is posted.)

#include <boost/asio/post.hpp>
#include <memory>

#include "proxy/net/asio.hpp"

namespace nono {

class OneShot {
 public:
  OneShot() = default;
  template <class Handler>
  explicit OneShot(Handler handler) : waiting_(std::make_unique<Of<Handler>>(std::move(handler))) {}
  // Resumes who waits, from the executor's queue: never from within this call.
  void complete(const Executor& executor) {
    const std::unique_ptr<Base> waiting = std::move(waiting_);
    waiting->complete(executor);
  }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual void complete(const Executor& executor) = 0;
  };
  template <class Handler>
  struct Of final : Base {
    explicit Of(Handler to_call) : handler(std::move(to_call)) {}
    void complete(const Executor& executor) override { net::post(executor, std::move(handler)); }
    Handler handler;
  };
  std::unique_ptr<Base> waiting_;
};

}  // namespace nono
