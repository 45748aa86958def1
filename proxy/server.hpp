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
#include "dns/synthetic_pool.hpp"
#include "proxy/audit/record.hpp"
#include "proxy/capture.hpp"
#include "proxy/dns_listen.hpp"
#include "proxy/inbound.hpp"
#include "proxy/listen.hpp"
#include "proxy/net/asio.hpp"
#include "proxy/reload.hpp"

namespace nono {

// The per-run certificate authority that interception mints leaves with (intercept/ca.hpp).
namespace intercept {
class CertificateAuthority;
}

class SessionRegistry;

struct ListenerSetup {
  UniqueFd socket;       // listening
  bool trusted = false;  // this listener is the main session's identity: no token needed
  bool tls = false;      // clients speak TLS to it; needs ServerOptions::tls_cert
  // Clients do not know of us: where each wanted to go. They are the main session's. Null: clients
  // speak to a proxy.
  std::shared_ptr<OriginalDestination> captured = nullptr;
  // Asked for each connection by its accepted socket; false: a stranger's, and it is closed. Null:
  // all are served.
  std::function<bool(int accepted)> admits = nullptr;
};

// A port of this machine that leads to the sandboxed program's server of the same port.
struct InboundSetup {
  UniqueFd socket;  // listening
  Port port;
};

struct ServerOptions {
  std::optional<SessionSetup> main;  // flags and the top level of nono.yaml
  std::vector<SessionSetup> sessions;
  std::shared_ptr<intercept::CertificateAuthority>
      ca;  // null: a host that needs interception is refused
  std::vector<ListenerSetup> listeners;
  std::vector<InboundSetup> inbound;
  std::shared_ptr<InnerSockets> inner_sockets;  // for `inbound`
  std::string tls_cert, tls_key;  // PEM files for listeners that speak TLS; empty: there are none
  std::vector<DnsSockets> dns_listeners;  // DNS is answered there, by the main session's rules
  DnsSettings dns;
  // Where connections are captured: DNS answers with made-up addresses, and a connection to one is
  // for the name behind it. Needs a single thread.
  std::optional<dns::SyntheticOptions> made_up_names;
  unsigned threads = 1;
  Limits limits;                // until the session of a connection is known
  bool no_auth = false;         // loopback only: every request is taken as the main session's
  bool socks5 = true;           // on the same listeners, told by the first byte
  bool via = false;             // a Via field in what is forwarded
  std::string audit_log;        // path; empty: none
  bool audit_required = false;  // refuse what cannot be recorded
  std::uint64_t audit_rotate_bytes = 0;  // a new file beyond that size; 0: never
  unsigned audit_keep = 0;               // rotated files that stay; 0: all
  std::vector<std::string> audit_notes;  // sentences that the log begins with
  std::function<void(const audit::Record&)>
      on_record;                     // called on the audit thread for each record
  std::string server_name = "nono";  // in Proxy-Status
  std::string version;               // in /metrics
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

  // Adding, revoking and listing sessions, and putting a configuration that was read again into
  // force. Until run() returns.
  virtual SessionRegistry& sessions() = 0;

  // Calls `handler` on the thread of run() when serving has ended, before the connections that are
  // left are destroyed: what waits for other threads must be let go there. Before run().
  virtual void on_end(std::function<void()> handler) = 0;

  // Serves /metrics, /healthz and /readyz on a listening TCP socket, until run() has ended all
  // connections. Before run(), once.
  virtual void serve_status(UniqueFd listener) = 0;

  // Of the first thread, for what runs beside the proxy: status and admin servers. Their handlers
  // end with run().
  virtual Executor executor() = 0;
};

}  // namespace nono
