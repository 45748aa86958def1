#pragma once
// nono.yaml: the configuration of a proxy on its own.

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "config/base/error.hpp"
#include "config/config.hpp"
#include "config/profile.hpp"

namespace nono {

// `limits:`; what is absent keeps the proxy's own default.
struct ProxyLimits {
  std::optional<std::size_t> connections_max, head_bytes_max, fields_max;
  std::optional<std::chrono::milliseconds> head_time_max, keep_alive_time_max, resolve_time_max,
      connect_time_max, tls_time_max, first_byte_time_max, idle_time_max;
};

struct ProxyConfig {
  std::vector<std::string> listen;  // as --listen takes them
  std::optional<unsigned> threads;
  std::optional<std::string> profile;  // its network and credentials come below `session`
  Settings session;                    // network, dns, credentials

  std::optional<std::string> audit_log;  // audit.log
  bool audit_required = false;           // audit.required

  std::optional<std::string> ca_cert,
      ca_key;                                // tls.ca_cert, tls.ca_key: PEM files, both or neither
  std::optional<unsigned> ca_validity_days;  // tls.ca_validity

  std::optional<std::string> token;  // auth.token: "env://NAME" or "file:///path", never the token
  bool no_auth = false;              // auth.required: false

  std::optional<std::string> env_file, env_format;  // env_file.path, env_file.format
  ProxyLimits limits;
  std::vector<std::string> notes;
};

// Reads and checks a file whole; all errors of it are in one Error (bad_input), a line for each as
// "FILE:LINE:COLUMN: what". Relative paths in it are relative to the file's directory.
Result<ProxyConfig> load_proxy_config(const std::string& path, const UserContext& user);
Result<ProxyConfig> parse_proxy_config(std::string_view text, const std::string& file,
                                       const UserContext& user);

}  // namespace nono
