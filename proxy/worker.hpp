#pragma once
// One thread of the proxy: its io_context and all that is used on it alone.

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "config/base/fd.hpp"
#include "dns/resolver.hpp"
#include "dns/synthetic_pool.hpp"
#include "proxy/capture.hpp"
#include "proxy/dns_listen.hpp"
#include "proxy/gateway.hpp"
#include "proxy/intercept/ca.hpp"
#include "proxy/net/deadlines.hpp"
#include "proxy/net/readiness.hpp"
#include "proxy/net/tls_context.hpp"
#include "proxy/tls_front.hpp"
#include "proxy/upstream.hpp"

namespace nono {

class Connection;
class DnsFront;
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
  // `tls`: clients speak TLS to it, by what show() was given.
  // `admits`: who does not pass it is a stranger, and cut off.
  void listen(UniqueFd socket, bool trusted, bool tls = false,
              std::function<bool(int)> admits = nullptr);
  // Who connects here does not speak to us, and is the main session. Before run().
  void listen(UniqueFd socket, Entrance entrance);
  // A listener of a session's own; `asked` names it for hand_over().
  void listen(UniqueFd socket, const SessionPtr& session, std::string asked);
  // Answers DNS there, by the main session's rules. Before run(). Error: io.
  Result<void> serve_dns(DnsSockets sockets);
  void on_readable(int fd, std::function<void()> handler);
  void run();
  // Any thread. Runs `change` on this worker's thread, in the order given.
  void post(std::function<void(Worker&)> change);
  // Any thread. Stops accepting; run() returns when the last connection ended, or after `grace`
  // closes them. Called again, the new grace counts.
  void stop(std::chrono::milliseconds grace);

  // How long this thread has not come round to a question that was put to it; asks the next one.
  // For one other thread.
  std::chrono::milliseconds silence();

  // On this thread, or before run().
  void use(std::shared_ptr<const ProxySettings> settings);
  // Who connects to a listener that speaks TLS gets `front` from now on.
  void show(std::shared_ptr<TlsFront> front) { tls_front_ = std::move(front); }
  void adopt(const SessionPtr& session) {
    table_.add(session);
    pool_.admit(*session);
  }
  // The session is known no more, and its own listeners close. `cut`: its connections too.
  void dismiss(const Session& session, bool cut);
  // The listeners of `old` that `keep` names are `successor`'s from now on.
  void hand_over(const Session& old, const SessionPtr& successor,
                 const std::vector<std::string>& keep);

  // For connections, on this thread.
  // Serves a connected client from now on; of the session `own`, or by its token where that is
  // null.
  void spawn(UniqueFd socket, SessionPtr own, Entrance entrance = {},
             Prepared prepared = Prepared::no);
  Gateway& gateway() { return gateway_; }
  metrics::Metrics& metrics() { return metrics_; }
  const ProxySettings& settings() const { return *settings_; }
  SessionTable& sessions() { return table_; }
  Executor executor() { return context_.get_executor(); }
  bool stopping() const { return stopping_; }
  Poller& poller() { return poller_; }
  Deadlines& deadlines() { return deadlines_; }
  UpstreamPool& pool() { return pool_; }
  dns::SyntheticPool* made_up_names() { return made_up_names_.get(); }  // null: there are none
  Result<dns::Resolver*> resolver(const Session& session);
  Result<ClientTlsContext*> client_tls(const Session& session);
  ServerTlsContext* server_tls() {
    return server_tls_.get();
  }  // null without a certificate authority

 private:
  struct Listener;
  void start(std::shared_ptr<Listener> listener);
  void resolved(dns::AnsweredBy by, const Error* error);
  void await_readable(StreamDescriptor& descriptor, std::function<void()> handler);
  Awaitable<void> accept_loop(std::shared_ptr<Listener> listener);
  bool admit(UniqueFd& socket, const Listener& listener);
  void turn_away(UniqueFd& socket, const Listener& listener, const Problem& problem,
                 metrics::TurnedAway why);
  void say_paused();
  void spawn_behind_tls(UniqueFd socket, SessionPtr own);
  void begin_stop(std::chrono::milliseconds grace);
  void finish_if_idle();

  Gateway& gateway_;
  metrics::Metrics& metrics_;
  std::atomic<std::chrono::steady_clock::rep> asked_at_{0};  // 0: answered
  net::io_context context_{1};
  Poller& poller_ = net::use_service<Poller>(context_);
  Deadlines deadlines_;
  std::shared_ptr<const ProxySettings> settings_;
  SessionTable table_;
  UpstreamPool pool_{deadlines_, &metrics_};
  // Sessions mostly agree on these, so they are kept by what they depend on. Made when first used.
  std::vector<std::pair<std::vector<HostPort>, std::unique_ptr<dns::Resolver>>> resolvers_;
  std::map<std::vector<std::string>, std::unique_ptr<ClientTlsContext>> client_tls_;
  std::unique_ptr<dns::SyntheticPool> made_up_names_;
  std::unique_ptr<DnsFront> dns_;  // null where nobody asks us for names
  std::unique_ptr<intercept::LeafCache> leaves_;
  std::unique_ptr<ServerTlsContext> server_tls_;
  std::shared_ptr<TlsFront> tls_front_;  // null where no listener speaks TLS
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::vector<std::unique_ptr<StreamDescriptor>> watched_;
  std::vector<Connection*> connections_;  // alive, for closing them; each knows its place
  SteadyTimer grace_timer_;
  int draining_ = 0;
  int draining_tls_ = 0;
  std::chrono::steady_clock::time_point says_pause_from_;
  std::size_t behind_tls_ = 0;  // clients of listeners that speak TLS, from their first byte on
  bool running_ = false;
  bool stopping_ = false;
  bool destroying_ = false;  // the context's end destroys connections when the list is gone

  friend class Connection;
  void enter(Connection& connection);
  void leave(Connection& connection);
};

}  // namespace nono
