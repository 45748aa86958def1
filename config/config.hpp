#pragma once
// The configuration of one session, as plain values. A profile file, a session of nono.yaml and the
// command line's flags all fill `Settings` (what the user wrote); `resolve` (config/resolve.hpp)
// expands groups, host sets, variables and credential names into `SessionConfig`, which is then
// immutable.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/host.hpp"
#include "config/base/secret.hpp"

namespace nono {

// Where a setting came from, for messages: "--allow-domain", "profile.json:12:5", "group llm_apis".
struct Origin {
  std::string text;
};

// --- what the user wrote -------------------------------------------------------------------------

// Method and path of an allowed request. Method is a token or "*"; in the path `*` matches within
// one segment and `**` across segments.
struct EndpointRule {
  std::string method = "*";
  std::string path;
  Origin origin;
};

// A host rule as written: "example.com", "*.example.com:8443", "10.0.0.0/8",
// "https://host/path/**", or (in allow lists) the name of a host group. `endpoints`, where given,
// restrict it further.
struct HostRule {
  std::string text;
  std::vector<EndpointRule> endpoints;
  Origin origin;
  bool any_sni = false;     // `sni: any`: tunnels may name no host in TLS, or another one
  bool refuse_ech = false;  // `ech: refuse`: no tunnel whose ClientHello offers to hide its name
};

enum class Access : std::uint8_t { none, read, write, read_write };
std::string_view to_string(Access access);

struct PathRule {
  std::string path;  // variables not yet expanded
  Access access = Access::read;
  bool file = false;  // a single file rather than a directory tree
  Origin origin;
};

// How much the proxy says on stderr: each level includes those before it.
enum class LogLevel : std::uint8_t { error, warn, info, debug };
std::string_view to_string(LogLevel level);
std::optional<LogLevel> parse_log_level(std::string_view text);

enum class InjectMode : std::uint8_t { header, basic_auth, query_param, url_path };

// How a key is written into a request (behaviour.md 5.3).
struct Injection {
  InjectMode mode = InjectMode::header;
  std::string header = "Authorization";
  std::string format = "Bearer {}";  // `{}` is the key
  std::string query_param;
  std::string path_pattern;  // contains `{}`
  std::string path_replacement;
};

// A credential by definition: built in (openai, github, ...) or from custom_credentials.
struct CredentialRoute {
  std::string name;                  // also the first path segment of the reverse form
  bool tls = true;                   // https upstream
  std::optional<HostPort> upstream;  // always set once resolved
  std::string base_path;             // "" or "/v1": what the reverse form prepends
  Injection injection;
  std::vector<std::string>
      sources;  // tried in order: "keyring://nono/openai", "env://X", "file:///p", ...
  std::vector<std::string> phantom_vars;   // variables of the child that get the phantom
  std::vector<std::string> base_url_vars;  // variables of the child that get the reverse form's URL
  std::string phantom_prefix;              // "sk-", "ghp_": what clients check
  std::vector<EndpointRule> endpoints;     // empty: every method and path
  Origin origin;
};

// `--credential NAME` or `--credential NAME=SOURCE`.
struct CredentialChoice {
  std::string name;
  std::optional<std::string> source;
  Origin origin;
};

struct PortRule {
  Port port;
  Origin origin;
};

struct Settings {
  std::string name;                      // meta.name, or the profile's file name
  std::optional<Access> workdir_access;  // workdir.access
  std::vector<std::string> include_groups, exclude_groups;
  std::vector<PathRule> paths;       // filesystem.* and the flags
  std::vector<PathRule> deny_paths;  // filesystem.deny, policy.add_deny_access
  std::vector<std::string> bypass_protection;
  std::vector<PathRule> unix_sockets;  // --allow-unix-socket, filesystem.unix_socket
  bool unix_inside = false;            // --unix-sockets inside, linux.unix_sockets

  std::optional<bool> observe;                 // --observe, network.mode: observe or enforce
  bool block_network = false;                  // --block-net, network.block
  Origin block_origin;                         // empty: the flag
  std::optional<std::string> network_profile;  // "": cleared, whatever was inherited
  Origin network_profile_origin;               // empty: the flag
  std::vector<HostRule> allow_hosts, deny_hosts;
  std::vector<Cidr> allow_private;
  std::vector<HostPort> dns_servers;
  std::vector<CredentialChoice> credentials;
  bool clear_credentials = false;  // `credentials: []`: drops inherited ones
  std::map<std::string, CredentialRoute> custom_credentials;
  std::vector<std::string> allow_endpoints;  // "SERVICE:METHOD:PATH"
  std::vector<std::string> upstream_ca_files;
  std::optional<std::string> upstream_proxy;  // [http://[user:password@]]host:port
  std::vector<std::string> upstream_bypass;   // hosts reached without it
  std::optional<std::uint16_t> proxy_port;
  std::vector<PortRule> open_ports;    // of this machine's loopback, for the command to reach
  std::vector<PortRule> listen_ports;  // of the command's servers, for this machine to reach

  std::optional<std::vector<std::string>> allow_env;  // environment.allow_vars; absent: all
  std::vector<std::string> pass_env;                  // --allow-env: even though it looks secret
  std::vector<std::string> deny_env;
  std::map<std::string, std::string> set_env;
  std::vector<std::string> policy_files;  // files read for this: read-only inside
  std::vector<std::string> policy_links;  // links that led to them: must be out of reach inside
  std::vector<std::string> notes;         // deprecated keys met, each said once
};

// --- what it means -------------------------------------------------------------------------------

struct PathGrant {
  std::string path;  // absolute, canonical
  Access access = Access::read;
  bool file = false;
  bool system = false;  // from a built-in group: counted, not listed, in the banner
  std::string origin;   // group name or flag
  bool bypass = false;  // lies in a denied path all the same, by filesystem.bypass_protection
};

struct DenyPath {
  std::string path;       // absolute, canonical as far as it exists
  bool required = false;  // from a group that no profile can exclude
  std::string origin;
  bool own = false;  // nono's: no bypass lifts it
};

enum class NetworkMode : std::uint8_t {
  open,      // no network flag: internet sockets are not filtered
  filtered,  // only what rules allow
  blocked,   // --block-net
};

struct NetworkRules {
  NetworkMode mode = NetworkMode::open;
  std::vector<HostRule> allow, deny;  // groups and profiles already expanded to hosts
  std::vector<std::string> groups;    // named sets among them, for the banner ("minimal")
  std::vector<Cidr> allow_private;
  std::vector<Port> open_ports;    // of this machine's loopback: captured connections may go there
  bool observe = false;  // what rules refuse passes and is recorded; the always-denied never passes
};

// A proxy that connections go through, a company's mostly (config/upstream_proxy.hpp). Names are
// judged here and looked up there.
struct UpstreamProxy {
  HostPort address;
  std::shared_ptr<const Secret> authorization;  // value of Proxy-Authorization; null: none
  std::vector<std::string> bypass_names;        // "host", "*.parent"; normalised
  std::vector<Cidr> bypass_ranges;
};

struct SessionConfig {
  std::string name = "default";
  NetworkRules network;
  std::vector<CredentialRoute>
      credentials;                    // enabled ones only, sources in the order they are tried
  std::vector<HostPort> dns_servers;  // empty: the system's resolv.conf
  std::vector<std::string> upstream_ca_files;
  std::optional<UpstreamProxy> upstream_proxy;
  std::vector<Port> listen_ports;

  std::vector<PathGrant> grants;
  std::vector<DenyPath> denies;
  std::vector<PathGrant> sockets;           // of the host's, that the command may connect to
  bool unix_inside = false;                 // Unix sockets of its own; implied by the above
  std::vector<std::string> missing_denies;  // denied, not there, and the command could make them
  std::vector<std::string> own_places_to_make;  // nono's own, to be made so that they can be hidden
  Access workdir_access = Access::read_write;
  std::vector<std::string> runtimes;      // runtime trees granted because the command lives there
  std::vector<std::string> policy_files;  // existing files and directories never writable inside

  std::optional<std::vector<std::string>> allow_env;
  std::vector<std::string> pass_env, deny_env;
  std::map<std::string, std::string> set_env;
  std::vector<std::string> warnings;  // for the banner; silent under --silent
};

}  // namespace nono
