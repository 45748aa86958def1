#pragma once
// A service on its own thread, and blocking clients that say byte for byte what they want.

#include <chrono>
#include <string>
#include <string_view>

#include "config/base/fd.hpp"
#include "proxy/admin/admin_thread.hpp"

namespace nono::test {

// A blocking connection with a time limit on everything.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port);
  explicit RawClient(const std::string& unix_path);
  bool connected() const { return connected_; }
  bool send(std::string_view text);  // false: the peer is gone
  std::string receive_all();
  // One response, by its Content-Length.
  std::string receive_one();
  // Sends, ends our direction, and gives everything that came.
  std::string ask(std::string_view text);
  bool closed_by_peer();  // waits

 private:
  UniqueFd fd_;
  bool connected_ = false;
};

int status_of(const std::string& response);
std::string body_of(const std::string& response);

// Listens on a free port of 127.0.0.1.
class TcpService {
 public:
  explicit TcpService(admin::HttpService::Handler handler, admin::ServiceOptions options = {});
  std::uint16_t port() const { return port_; }
  RawClient connect() const { return RawClient(port_); }
  // GET with a proper head.
  std::string get(const std::string& target) const;

 private:
  admin::AdminThread thread_;
  std::uint16_t port_ = 0;
};

}  // namespace nono::test
