#pragma once
// What can be done to a proxy that runs: reading its configuration again, making and ending
// sessions. The slow part runs on a thread of its own, one job after the other.

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "proxy/admin/sessions_api.hpp"
#include "proxy/cli/control_thread.hpp"
#include "proxy/cli/logger.hpp"
#include "proxy/cli/session_env.hpp"
#include "proxy/cli/session_factory.hpp"
#include "proxy/registry.hpp"
#include "proxy/server.hpp"

namespace nono::cli {

class ProxyControl final : public admin::SessionAdmin {
 public:
  // All must outlive it. `file` is the configuration in force.
  ProxyControl(Server& server, const ProxyOptions& options, const UserContext& user,
               const Logger& log, ProxyConfig file, ProxyPlace place, Keepsakes keepsakes,
               OpenListeners open);
  ~ProxyControl() override;

  // Writes the variables files of the sessions that there are at the start. Before anything else.
  Result<void> write_env_files(const std::vector<SessionEnv>& envs);

  // Told, on the control thread, from which files the listeners' certificate was read again. Before
  // anything else.
  using OnCertificate = std::function<void(const std::string& cert, const std::string& key)>;
  void on_certificate(OnCertificate told) { on_certificate_ = std::move(told); }

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
  void leave_out_revoked(ProxyPlan& plan) const;
  void forget_revoked(const std::vector<SessionEntry>& entries);
  void revoke_again();
  Result<Reload> make_reload(ProxyPlan& plan);
  Result<admin::CreatedSession> create_now(admin::SessionRequest& request);
  Result<SessionEntry> entry_of(admin::SessionRequest& request);

  Server& server_;
  const ProxyOptions& options_;
  const UserContext& user_;
  const Logger& log_;
  ProxyPlace place_;
  // On the control thread only.
  ProxyConfig file_;
  Keepsakes keepsakes_;
  OpenListeners open_;
  SessionEnvFiles env_files_;
  OnCertificate on_certificate_;
  mutable std::mutex mutex_;
  std::map<std::string, std::string> profiles_;  // of sessions, as written
  std::map<std::string, Secret> revoked_;        // sessions of the file, and their tokens
  ControlThread thread_;                         // last: its jobs use all of the above
};

}  // namespace nono::cli
