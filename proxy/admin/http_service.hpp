#pragma once
// A small, strict HTTP/1.1 server for status pages and the admin socket: heads and bodies are
// bounded, so is the time of every phase and the number of connections.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/base/fd.hpp"
#include "proxy/http/head.hpp"
#include "proxy/net/asio.hpp"

namespace nono::admin {

// GET (a HEAD arrives as one), POST or DELETE, with its whole body.
struct Request {
  std::string method;
  std::string path;   // from its slash, as sent, without the query
  std::string query;  // behind the question mark
  std::string body;
};

struct Response {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;  // none goes out with 204
  std::vector<http::Field> fields = {};
};

// An RFC 9457 body. `fix` says what to do about it, or is empty.
Response problem(int status, std::string_view detail, std::string_view fix = {});

struct ServiceOptions {
  std::size_t connections_max = 32;  // monitoring keeps one or two; more are answered 503
  std::size_t body_bytes_max = 64 * 1024;
  http::HeadLimits head_limits{16 * 1024, 4 * 1024, 64};
  std::chrono::milliseconds head_time_max{10'000};
  std::chrono::milliseconds body_time_max{10'000};
  std::chrono::milliseconds keep_alive_time_max{60'000};  // between two requests
  std::chrono::milliseconds write_time_max{30'000};       // a client that does not read
  // Only requests for an address, for localhost or for one of `names`: a page in a browser that has
  // pointed its own name at this machine (DNS rebinding) gets 421.
  bool local_names_only = false;
  std::vector<std::string> names = {};
  // On a Unix socket: only processes of this user, and root's. Others get 403.
  bool same_user_only = false;
};

// Used on the executor's thread only. Destroying it closes everything; the io_context must be run
// or destroyed afterwards, for what was under way to end.
class HttpService {
 public:
  // May take its time; the connection that asked waits, others do not.
  using Handler = std::function<Awaitable<Response>(Request)>;

  // `listener` is a listening TCP or Unix socket. Serves from now on.
  HttpService(Executor executor, UniqueFd listener, Handler handler, ServiceOptions options);
  ~HttpService();
  HttpService(const HttpService&) = delete;
  HttpService& operator=(const HttpService&) = delete;

 private:
  class State;
  std::shared_ptr<State> state_;
};

}  // namespace nono::admin
