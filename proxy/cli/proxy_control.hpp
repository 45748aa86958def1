#pragma once
// What can be done to a proxy that runs: reading its configuration again, making and ending
// sessions. The slow part runs on a thread of its own, one job after the other.

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "proxy/admin/sessions_api.hpp"
#include "proxy/cli/control_thread.hpp"
#include "proxy/cli/logger.hpp"
#include "proxy/cli/session_factory.hpp"
#include "proxy/registry.hpp"
#include "proxy/server.hpp"

namespace nono::cli {

// How clients reach the proxy, for the variables of new sessions.
struct ProxyPlace {
  std::string authority;    // "127.0.0.1:8080"; empty: Unix sockets only
  std::string bundle_path;  // of the CA; empty: nothing is intercepted
  bool tls = false;         // the listener there speaks TLS
  bool several_threads = false;
  bool off_loopback = false;  // other machines reach a listener, which no reload closes
};

class ProxyControl final : public admin::SessionAdmin {
 public:
  // All must outlive it. `file` is the configuration in force.
  ProxyControl(Server& server, const ProxyOptions& options, const UserContext& user,
               const Logger& log, ProxyConfig file, ProxyPlace place, Keepsakes keepsakes,
               OpenListeners open);
  ~ProxyControl() override;

  // Reads the configuration, profiles and keys again and puts all of it into force, or says what is
  // wrong and changes nothing. Returns at once.
  void reload(std::string why);

  // On the admin thread, or any other.
  Awaitable<Result<admin::CreatedSession>> create(admin::SessionRequest request) override;
  std::vector<admin::ListedSession> list() const override;
  Result<void> revoke(const std::string& name) override;

  // Waits for what is under way, at most `time_max`; nothing is begun any more. False: it still
  // runs.
  bool finish(std::chrono::milliseconds time_max) { return thread_.finish(time_max); }

 private:
  struct Creation;

  Result<void> reload_now();
  void forget_ended();
  Result<Reload> make_reload(ProxyPlan& plan);
  Result<admin::CreatedSession> create_now(admin::SessionRequest& request);
  Result<SessionEntry> entry_of(admin::SessionRequest& request);
  void remove_socket_files(const std::vector<std::string>& places) const;

  Server& server_;
  const ProxyOptions& options_;
  const UserContext& user_;
  const Logger& log_;
  ProxyPlace place_;
  // On the control thread only.
  ProxyConfig file_;
  Keepsakes keepsakes_;
  OpenListeners open_;
  mutable std::mutex mutex_;
  std::map<std::string, std::string> profiles_;  // of sessions, as written
  ControlThread thread_;                         // last: its jobs use all of the above
};

}  // namespace nono::cli
