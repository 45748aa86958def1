#pragma once
// A thread beside the workers for status pages and the admin socket: what they do costs no
// connection any time, and a worker that is stuck can be told of.

#include <memory>
#include <thread>
#include <vector>

#include "proxy/admin/http_service.hpp"

namespace nono::admin {

class AdminThread {
 public:
  AdminThread();
  // Closes everything and joins. What the handlers use must still be there.
  ~AdminThread();
  AdminThread(const AdminThread&) = delete;
  AdminThread& operator=(const AdminThread&) = delete;

  // Before start().
  void serve(UniqueFd listener, HttpService::Handler handler, ServiceOptions options);
  void start();
  Executor executor() { return context_.get_executor(); }

 private:
  net::io_context context_{1};
  std::vector<std::unique_ptr<HttpService>> services_;
  std::thread thread_;
};

}  // namespace nono::admin
