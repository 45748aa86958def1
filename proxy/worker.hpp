#pragma once
// One thread of the proxy: its io_context and all that is used on it alone.

#include <functional>
#include <memory>
#include <vector>

#include "config/base/fd.hpp"
#include "dns/resolver.hpp"
#include "proxy/gateway.hpp"
#include "proxy/intercept/ca.hpp"
#include "proxy/net/deadlines.hpp"
#include "proxy/net/tls_context.hpp"

namespace nono {

class Session;

class Worker {
 public:
  explicit Worker(Gateway& gateway);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Builds what can fail. Call once, before run().
  Result<void> prepare();
  void listen(UniqueFd socket, bool trusted);
  void on_readable(int fd, std::function<void()> handler);
  void run();
  // Any thread. Stops accepting; run() returns when the last session ended, or after `grace` closes
  // them. Called again, the new grace counts.
  void stop(std::chrono::milliseconds grace);

  // For sessions, on this thread.
  Gateway& gateway() { return gateway_; }
  Executor executor() { return context_.get_executor(); }
  Deadlines& deadlines() { return deadlines_; }
  dns::Resolver& resolver() { return *resolver_; }
  Result<ClientTlsContext*> client_tls();  // made at the first TLS connection upstream
  ServerTlsContext* server_tls() {
    return server_tls_.get();
  }  // null without a certificate authority

 private:
  struct Listener;
  void await_readable(StreamDescriptor& descriptor, std::function<void()> handler);
  Awaitable<void> accept_loop(Listener& listener);
  bool admit(TcpSocket& socket);
  void spawn(TcpSocket socket, bool trusted);
  void begin_stop(std::chrono::milliseconds grace);
  void finish_if_idle();

  Gateway& gateway_;
  net::io_context context_{1};
  Deadlines deadlines_;
  std::unique_ptr<dns::Resolver> resolver_;
  std::unique_ptr<ClientTlsContext> client_tls_;
  std::unique_ptr<intercept::LeafCache> leaves_;
  std::unique_ptr<ServerTlsContext> server_tls_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::unique_ptr<StreamDescriptor>> watched_;
  std::vector<Session*> sessions_;  // alive, for closing them at the end; each knows its place
  SteadyTimer grace_timer_;
  int draining_ = 0;
  bool stopping_ = false;
  bool destroying_ = false;  // the context's end destroys sessions when the list is gone already

  friend class Session;
  void enter(Session& session);
  void leave(Session& session);
};

}  // namespace nono
