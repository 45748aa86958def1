#pragma once
// One client connection, from the first byte to the last: the straight line of the design.

#include <memory>

#include "proxy/authenticate.hpp"
#include "proxy/http/body.hpp"
#include "proxy/net/tcp_stream.hpp"
#include "proxy/request.hpp"
#include "proxy/trail.hpp"
#include "proxy/worker.hpp"

namespace nono {

class TlsStream;

class Session {
 public:
  // `trusted`: the listener is the session's identity, so no token is asked for.
  Session(Worker& worker, TcpSocket socket, bool trusted);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Awaitable<void> run();
  // Closes at once: run() then ends by itself.
  void cut() noexcept;
  // The proxy is stopping: ends the connection now where it only waits for another request,
  // otherwise after the one that is under way.
  void let_go() noexcept;

 private:
  friend class Worker;
  bool must_refuse(Authentication authentication) const;
  Awaitable<Next> serve_one();
  Awaitable<Next> serve_connect(http::RequestHead& head);
  Awaitable<bool> establish(std::chrono::milliseconds time, std::string& early, Trail& trail);
  Awaitable<Next> serve_tunnel(const Permit& permit, Trail& trail);
  Awaitable<Next> serve_intercepted(const Permit& permit, Trail& trail);
  Awaitable<Next> serve_inside(const Permit& permit, TlsStream& tls, http::InputBuffer& inner);
  Awaitable<Next> serve_forward(http::RequestHead& head);
  Awaitable<Next> serve_reverse(http::RequestHead& head);
  Awaitable<Next> refuse(Trail& trail, const Problem& problem, const http::RequestHead* head);

  Worker& worker_;
  Gateway& gateway_;
  std::unique_ptr<TcpStream> client_;
  http::InputBuffer in_;
  Upstream upstream_;    // kept between requests of this connection
  ByteStream* current_;  // what cut() closes: the socket, or TLS upon it
  bool trusted_;
  bool first_ = true;
  bool waiting_ = false;  // for a request's first byte
  bool leaving_ = false;
  std::size_t place_ = 0;  // in the worker's list
};

}  // namespace nono
