#pragma once
// One thread of the proxy: its io_context and all that is used on it alone.

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "config/base/fd.hpp"
#include "dns/resolver.hpp"
#include "proxy/gateway.hpp"
#include "proxy/intercept/ca.hpp"
#include "proxy/net/deadlines.hpp"
#include "proxy/net/tls_context.hpp"

namespace nono {

class Connection;
struct Problem;

class Worker {
 public:
  explicit Worker(Gateway& gateway);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Builds what can fail. Call once, before run().
  Result<void> prepare();
  // `trusted`: who connects here is the main session. Otherwise a token is asked for.
  void listen(UniqueFd socket, bool trusted);
  // A listener of a session's own; `asked` names it for hand_over().
  void listen(UniqueFd socket, const SessionPtr& session, std::string asked);
  void on_readable(int fd, std::function<void()> handler);
  void run();
  // Any thread. Runs `change` on this worker's thread, in the order given.
  void post(std::function<void(Worker&)> change);
  // Any thread. Stops accepting; run() returns when the last connection ended, or after `grace`
  // closes them. Called again, the new grace counts.
  void stop(std::chrono::milliseconds grace);

  // On this thread, or before run().
  void use(std::shared_ptr<const ProxySettings> settings) { settings_ = std::move(settings); }
  void adopt(const SessionPtr& session) { table_.add(session); }
  // The session is known no more, and its own listeners close. `cut`: its connections too.
  void dismiss(const Session& session, bool cut);
  // The listeners of `old` that `keep` names are `successor`'s from now on.
  void hand_over(const Session& old, const SessionPtr& successor,
                 const std::vector<std::string>& keep);

  // For connections, on this thread.
  Gateway& gateway() { return gateway_; }
  const ProxySettings& settings() const { return *settings_; }
  SessionTable& sessions() { return table_; }
  Executor executor() { return context_.get_executor(); }
  Deadlines& deadlines() { return deadlines_; }
  Result<dns::Resolver*> resolver(const Session& session);
  Result<ClientTlsContext*> client_tls(const Session& session);
  ServerTlsContext* server_tls() {
    return server_tls_.get();
  }  // null without a certificate authority

 private:
  struct Listener;
  void start(std::shared_ptr<Listener> listener);
  void await_readable(StreamDescriptor& descriptor, std::function<void()> handler);
  Awaitable<void> accept_loop(std::shared_ptr<Listener> listener);
  bool admit(TcpSocket& socket);
  void turn_away(TcpSocket& socket, const Problem& problem);
  void spawn(TcpSocket socket, SessionPtr own);
  void begin_stop(std::chrono::milliseconds grace);
  void finish_if_idle();

  Gateway& gateway_;
  net::io_context context_{1};
  Deadlines deadlines_;
  std::shared_ptr<const ProxySettings> settings_;
  SessionTable table_;
  // Sessions mostly agree on these, so they are kept by what they depend on. Made when first used.
  std::vector<std::pair<std::vector<HostPort>, std::unique_ptr<dns::Resolver>>> resolvers_;
  std::map<std::vector<std::string>, std::unique_ptr<ClientTlsContext>> client_tls_;
  std::unique_ptr<intercept::LeafCache> leaves_;
  std::unique_ptr<ServerTlsContext> server_tls_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::vector<std::unique_ptr<StreamDescriptor>> watched_;
  std::vector<Connection*> connections_;  // alive, for closing them; each knows its place
  SteadyTimer grace_timer_;
  int draining_ = 0;
  bool running_ = false;
  bool stopping_ = false;
  bool destroying_ = false;  // the context's end destroys connections when the list is gone

  friend class Connection;
  void enter(Connection& connection);
  void leave(Connection& connection);
};

}  // namespace nono
