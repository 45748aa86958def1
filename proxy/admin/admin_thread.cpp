#include "proxy/admin/admin_thread.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

namespace nono::admin {

AdminThread::AdminThread() = default;

AdminThread::~AdminThread() {
  if (!thread_.joinable()) return;
  auto finish = [this] {
    services_.clear();
    context_.stop();
  };
  net::post(context_, std::move(finish));
  thread_.join();
}

void AdminThread::serve(UniqueFd listener, HttpService::Handler handler, ServiceOptions options) {
  services_.push_back(std::make_unique<HttpService>(executor(), std::move(listener),
                                                    std::move(handler), std::move(options)));
}

void AdminThread::start() {
  thread_ = std::thread([this] {
    const auto work = net::make_work_guard(context_);
    context_.run();
  });
}

}  // namespace nono::admin
