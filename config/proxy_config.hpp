#pragma once
// nono.yaml: the configuration of a proxy on its own.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/base/error.hpp"
#include "config/config.hpp"
#include "config/profile.hpp"

namespace nono {

// Bounds of one session. Absent: what `limits:` says for each session, and without that the proxy's
// own default.
struct SessionLimits {
  std::optional<std::size_t> connections_max;       // at once
  std::optional<unsigned> connects_per_second_max;  // new ones; a second's worth may come at once
};

// `limits:`; what is absent keeps the proxy's own default (proxy/limits.hpp).
struct ProxyLimits {
  std::optional<std::size_t> connections_max, head_bytes_max, request_line_bytes_max, fields_max,
      peek_bytes_max, drain_bytes_max, upstream_pool_max;
  std::optional<std::chrono::milliseconds> head_time_max, keep_alive_time_max, resolve_time_max,
      connect_time_max, tls_time_max, first_byte_time_max, peek_time_max, idle_time_max,
      drain_time_max, upstream_idle_time_max;
  std::optional<unsigned> connects_per_second_max;  // of all sessions together
  // connections_per_session_max, connects_per_second_per_session_max: of each session that says
  // nothing itself.
  SessionLimits session;
};

// One of `sessions:`; a user of the proxy with rules, keys and a token of their own.
struct SessionEntry {
  std::string name;  // letters, digits, '-', '_', '.'; unique in the file
  std::optional<std::string>
      profile;                       // a name or a path; its network and keys lie below `settings`
  Settings settings;                 // network, dns and credentials of the entry itself
  std::optional<std::string> token;  // "env://NAME" or "file:///path"; absent: made at each start
  std::vector<std::string> listen;   // as --listen; a connection there needs no token
  std::optional<std::chrono::milliseconds> ttl;  // counted from start; absent: for ever
  SessionLimits limits;
  std::optional<std::string> env_file, env_format;  // as those of the main session, but its own
  Origin origin;
};

// `dns:` apart from `servers`, which are the session's.
struct DnsConfig {
  std::vector<std::string> listen;                 // ADDR[:PORT], 53 without one; as --dns-listen
  std::optional<std::size_t> cache_entries_max;    // answers kept
  std::optional<unsigned> queries_per_second_max;  // from one client address to dns.listen
};

struct ProxyConfig {
  std::vector<std::string> listen;  // as --listen takes them
  std::optional<unsigned> threads;
  std::optional<std::string> profile;  // its network and credentials come below `session`
  Settings session;                    // network, dns, credentials of the default session
  std::vector<SessionEntry> sessions;
  DnsConfig dns;

  std::optional<std::string> audit_log;  // audit.log
  bool audit_required = false;           // audit.required; `audit: required`
  std::optional<std::uint64_t>
      audit_rotate_bytes;              // audit.rotate_bytes: a new file beyond that size
  std::optional<unsigned> audit_keep;  // audit.keep: rotated files that stay

  std::optional<std::string> tls_cert, tls_key;  // tls.cert, tls.key: the listeners speak TLS
  std::optional<std::string> ca_cert,
      ca_key;                                // tls.ca_cert, tls.ca_key: PEM files, both or neither
  std::optional<unsigned> ca_validity_days;  // tls.ca_validity

  std::optional<std::string> token;  // auth.token: "env://NAME" or "file:///path", never the token
  bool no_auth = false;              // auth.required: false

  std::optional<std::string> env_file, env_format;  // env_file.path, env_file.format
  std::optional<std::string> metrics_listen;        // metrics.listen: ADDR:PORT
  std::optional<std::string> admin_socket;          // admin.socket: a path; absent: the usual place
  std::optional<bool> admin_enabled;  // admin.enabled; absent: only where admin.socket is there

  std::optional<std::chrono::milliseconds> drain_time;  // how long SIGTERM lets connections finish
  bool reload_cut = false;       // `reload: cut`: connections of the old policy end with a reload
  bool reload_on_change = true;  // reload when the file changes, not only on SIGHUP
  std::optional<LogLevel> log_level;
  bool via = false;    // add Via (RFC 9110 7.6.3) to what is forwarded
  bool socks5 = true;  // SOCKS5 on the same listeners, told by its first byte

  ProxyLimits limits;
  std::vector<std::string> notes;
};

// Reads and checks a file whole; all errors of it are in one Error (bad_input), a line for each as
// "FILE:LINE:COLUMN: what". Relative paths in it are relative to the file's directory.
Result<ProxyConfig> load_proxy_config(const std::string& path, const UserContext& user);
Result<ProxyConfig> parse_proxy_config(std::string_view text, const std::string& file,
                                       const UserContext& user);

// A session's name: 1 to 64 letters, digits, '-', '_' and '.', the first a letter or digit. It
// stands in URLs, file names and audit lines as it is.
bool is_session_name(std::string_view name);

// The least that audit.rotate_bytes and --audit-rotate take: every file begins with a line about itself.
inline constexpr std::uint64_t audit_rotate_bytes_min = 64 * 1024;

// How long a session may live: a second to 366 days.
inline constexpr std::chrono::seconds session_ttl_min{1};
inline constexpr std::chrono::hours session_ttl_max{366 * 24};

}  // namespace nono
