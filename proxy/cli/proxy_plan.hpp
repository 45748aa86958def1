#pragma once
// What a standalone proxy is to be: nono.yaml and the flags put together, before anything is opened
// or read. Made once at start and again at each reload.

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/proxy_config.hpp"
#include "proxy/cli/child_environment.hpp"
#include "proxy/cli/console.hpp"
#include "proxy/cli/listen_address.hpp"
#include "proxy/cli/options.hpp"
#include "proxy/limits.hpp"
#include "proxy/session_setup.hpp"

namespace nono::cli {

// A failure with its exit code; what every step of start-up returns.
struct Failure {
  Error error;
  int exit_code = exit_error;
};
template <class T>
using Step = tl::expected<T, Failure>;

// What clients were given and so must stay the same when nono.yaml is read again: generated tokens,
// by session, and phantoms, by session and credential.
class Keepsakes {
 public:
  const std::string& token(const std::string& session);
  const std::string& phantom(const std::string& session, const CredentialRoute& credential);
  // When it was first planned: reading nono.yaml again does not begin its time to live anew.
  std::chrono::steady_clock::time_point since(const std::string& session);
  void forget(const std::string& session);

 private:
  std::map<std::string, std::chrono::steady_clock::time_point> since_;
  std::map<std::string, std::string> tokens_;
  std::map<std::pair<std::string, std::string>, std::string> phantoms_;
};

struct PlannedListener {
  std::string asked;
  ListenAddress address;
};

struct PlannedSession {
  SessionConfig config;
  std::string profile;  // as written; empty: none
  std::vector<PlannedCredential> credentials;
  std::string token;
  bool token_preset = false;
  Limits limits;
  std::vector<PlannedListener> listen;
  std::optional<std::chrono::seconds> ttl;
  SessionOrigin origin = SessionOrigin::main;
};

struct ProxyPlan {
  ProxyConfig file;
  std::optional<PlannedSession> main;  // none: only the sessions
  std::vector<PlannedSession> sessions;
  std::vector<ListenAddress> listen;
  bool no_auth = false;
  bool socks5 = true;
  std::string tls_cert, tls_key;  // PEM files: the listeners speak TLS; empty: they do not
  bool via = false;
  bool admin = false;  // sessions can be made while it runs
  Limits limits;
};

Step<ProxyPlan> make_plan(const ProxyOptions& options, const UserContext& user,
                          Keepsakes& keepsakes);

// One session of the file or of the admin socket. `extends` are further profiles below the entry's.
Step<PlannedSession> plan_session(const SessionEntry& entry,
                                  const std::vector<std::string>& extends,
                                  const ProxyOptions& options, const ProxyConfig& file,
                                  const UserContext& user, Keepsakes& keepsakes);

// Whether something may have to be intercepted, so that an authority is needed.
bool needs_authority(const ProxyPlan& plan);

}  // namespace nono::cli
