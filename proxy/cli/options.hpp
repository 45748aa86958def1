#pragma once
// The command line, read into plain structs. CLI11 is seen by options*.cpp and policy_flags.cpp
// alone.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.hpp"
#include "config/profile.hpp"
#include "config/proxy_config.hpp"
#include "sandbox/plan.hpp"

namespace nono::cli {

// What every command knows.
struct CommonOptions {
  bool silent = false;
  int verbose = 0;
  std::vector<std::string> notes;  // deprecated spellings met, each said once; not under silent
};

// What `run`, `proxy` and `session create` share: everything that decides about the network and
// keys.
// --observe is `settings.observe`.
struct PolicyOptions {
  std::optional<std::string> profile;
  std::vector<std::string> extends;
  Settings settings;  // what the flags say, to be merged over the profile
  std::optional<std::string> audit_log;
  bool audit_required = false;
  std::optional<unsigned> ca_validity_days;
};

struct RunOptions {
  CommonOptions common;
  PolicyOptions policy;
  bool allow_cwd = false;
  bool dry_run = false;
  sandbox::AllPorts capture_all_ports = sandbox::AllPorts::automatic;
  std::optional<sandbox::Backend> backend;  // absent: whichever works here
  std::vector<sandbox::Weakness> weak;
  sandbox::ResourceLimits limits;
  std::string user;  // as written: a number or "owner"; empty: whoever runs nono
  bool diagnose = false;          // note the files that were not granted
  bool diagnostics_json = false;  // the footer as JSON
  std::vector<std::string> command;
};

enum class EnvFileFormat : std::uint8_t { shell, github, json };

struct ProxyOptions {
  CommonOptions common;
  PolicyOptions policy;
  std::vector<std::string> listen;  // as written
  std::optional<std::uint16_t> port;
  bool no_auth = false;
  std::optional<std::string> token;  // --pass, NONO_PROXY_TOKEN or NONO_PROXY_PASS
  bool print_token = false;
  bool insecure_listen = false;
  std::optional<std::size_t> connections_max;       // 0: no bound of its own
  std::optional<unsigned> connects_per_second_max;  // of all sessions together
  SessionLimits session_limits;                     // --max-...-per-session
  std::optional<unsigned> threads;
  std::optional<std::string> config;
  std::optional<std::string> tls_cert, tls_key;  // the listeners speak TLS
  std::optional<std::string> ca_cert, ca_key;
  std::vector<std::string> dns_listen;        // as written: ADDR[:PORT]
  std::optional<std::string> metrics_listen;  // as written: ADDR:PORT
  std::optional<std::string> admin_socket;    // a path
  bool no_admin = false;
  std::optional<std::chrono::milliseconds> drain_time;
  std::optional<LogLevel> log_level;
  std::optional<std::uint64_t> audit_rotate_bytes;
  std::optional<unsigned> audit_keep;
  bool reload_cut = false;
  bool no_socks5 = false;
  bool via = false;
  std::optional<std::string> env_file;
  std::optional<EnvFileFormat> env_format;
};

// Makes, lists and ends sessions of a proxy that runs, through its admin socket.
struct SessionOptions {
  enum class Action : std::uint8_t { create, list, revoke };
  CommonOptions common;
  Action action = Action::list;
  std::string name;  // create: --name, or empty for one that the proxy makes up; revoke: which
  std::optional<std::string> admin_socket;  // absent: the usual place
  bool json = false;

  // create
  PolicyOptions policy;
  std::vector<std::string> listen;  // as written; a connection there needs no token
  std::optional<std::chrono::milliseconds> ttl;
  SessionLimits limits;
  std::optional<std::string> env_file;
  std::optional<EnvFileFormat> env_format;
  bool print_token = false;
};

// Reads audit logs.
struct AuditOptions {
  enum class Action : std::uint8_t { verify, hosts };
  enum class Format : std::uint8_t { flags, yaml, json };
  CommonOptions common;
  Action action = Action::verify;
  std::vector<std::string> files;  // one or more; verify: oldest first
  bool json = false;               // verify
  Format format = Format::flags;   // hosts
  bool refused = false;            // hosts: what was refused as well
};

struct KeyOptions {
  enum class Action : std::uint8_t { set, list, remove };
  CommonOptions common;
  Action action = Action::list;
  std::string name;         // set, remove
  bool from_stdin = false;  // set: read from stdin even where it is a terminal
};

struct SetupOptions {
  CommonOptions common;
  bool json = false;
};

// --help, --version: text for stdout, exit 0.
struct Information {
  std::string text;
};

// Exit 2, one line on stderr.
struct UsageError {
  std::string message;
};

using CommandLine = std::variant<UsageError, Information, RunOptions, ProxyOptions, KeyOptions,
                                 SetupOptions, SessionOptions, AuditOptions>;

// Reads the arguments (without the program's name) and the NONO_* variables that stand in for
// flags. A flag given on the command line replaces its variable.
CommandLine parse_command_line(const std::vector<std::string>& arguments, const EnvLookup& env);

}  // namespace nono::cli
