#pragma once
// The proxy as a whole: listeners, policy, resolver, credentials and audit, put together from
// values.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/base/fd.hpp"
#include "config/base/secret.hpp"
#include "config/config.hpp"
#include "proxy/audit/record.hpp"
#include "proxy/limits.hpp"

namespace nono {

// One enabled credential, its secret read (or the reason why not: the route then answers 503).
struct LoadedCredential {
  CredentialRoute route;
  std::optional<Secret> secret;
  std::string source;   // where it was found, for the banner: "env://OPENAI_API_KEY"
  std::string missing;  // where secret is empty: what to do about it
  std::string phantom;  // what the client holds instead
};

// 256 random bits as hex behind a recognisable infix: "<prefix>nono_<64 hex>".
std::string make_phantom(std::string_view prefix);
// A session token: 64 hex digits from 256 random bits.
std::string make_token();

// The per-run certificate authority that interception mints leaves with (intercept/ca.hpp).
namespace intercept {
class CertificateAuthority;
}

struct ListenerSetup {
  UniqueFd socket;       // listening
  bool trusted = false;  // this listener is the session's identity: no token needed
};

struct ServerOptions {
  SessionConfig session;
  std::vector<LoadedCredential> credentials;
  Secret token;
  std::shared_ptr<intercept::CertificateAuthority>
      ca;  // null: a host that needs interception is refused
  std::vector<ListenerSetup> listeners;
  unsigned threads = 1;
  Limits limits;
  bool no_auth = false;         // loopback only: every request is taken as the session's
  std::string audit_log;        // path; empty: none
  bool audit_required = false;  // refuse what cannot be recorded
  std::function<void(const audit::Record&)>
      on_record;                     // called on the audit thread for each record
  std::string server_name = "nono";  // in Proxy-Status
};

// Made, run and destroyed on one thread. `run()` blocks until stop() or, with external work posted,
// may be driven by the caller's own use of context().
class Server {
 public:
  // Checks everything that can be wrong (rules, files, certificates) before anything starts.
  static Result<std::unique_ptr<Server>> make(ServerOptions options);
  virtual ~Server() = default;

  // Starts `threads` - 1 further threads and serves on the calling one until stop(). Returns after
  // every session ended and the audit log is on disk.
  virtual void run() = 0;
  // Calls `handler` on the serving thread whenever `fd` is readable, until stop(); the fd stays the
  // caller's.
  virtual void on_readable(int fd, std::function<void()> handler) = 0;
  // Stops accepting, lets sessions finish for up to `grace`, then closes them; run() returns. Any
  // thread.
  virtual void stop(std::chrono::milliseconds grace) = 0;
  // Refusals so far, one per host and reason, in the order first seen: for the footer after a run.
  virtual std::vector<audit::Record> refusals() const = 0;
};

// Binds and listens. Errors name the address and what holds it ("127.0.0.1:8080 is in use").
Result<UniqueFd> listen_tcp(const IpAddress& address, std::uint16_t port, bool reuse_port);
Result<UniqueFd> listen_unix(const std::string& path);
// The address a listening socket has, for "listening on ...".
Result<HostPort> local_address(const UniqueFd& socket);

}  // namespace nono
