#pragma once
// The variables files of sessions that nono.yaml describes: how a token that was made here gets to
// whom it is for.

#include <map>
#include <string>
#include <vector>

#include "config/proxy_config.hpp"
#include "proxy/cli/env_file.hpp"
#include "proxy/session_setup.hpp"

namespace nono::cli {

// How clients reach the proxy, for the variables of sessions.
struct ProxyPlace {
  std::string authority;    // "127.0.0.1:8080"; empty: Unix sockets only
  std::string bundle_path;  // of the CA; empty: nothing is intercepted
  bool tls = false;         // the listener there speaks TLS
  bool several_threads = false;
  bool off_loopback = false;  // other machines reach a listener, which no reload closes
};

// By the session's own TCP listener, which asks for no token, or by the proxy's. Empty: neither is
// there, and no variable names a Unix socket.
Variables session_variables(const SessionSetup& setup, const ProxyPlace& place);

struct SessionEnv {
  std::string session, path;
  EnvFileFormat format = EnvFileFormat::shell;
  Variables variables;
  std::vector<std::string> secrets;  // token and phantoms
};

// What the files of `entries` have to say, for those that are among `setups`.
Result<std::vector<SessionEnv>> session_envs(const std::vector<SessionEntry>& entries,
                                             const std::vector<SessionSetup>& setups,
                                             const ProxyPlace& place);

// Remembers what was written, so that reading nono.yaml again writes what has changed and no more.
class SessionEnvFiles {
 public:
  // All of them or none are ready; then nothing should go wrong any more.
  Result<void> stage(const std::vector<SessionEnv>& envs);
  void unstage() { staged_.clear(); }
  // The error of the first that could not be put in its place; the others are.
  Result<void> put_in_place();

 private:
  struct Staged {
    std::string path;
    StagedEnvFile file;
    std::string masks;
  };
  std::vector<Staged> staged_;
  std::map<std::string, std::string> written_, next_;  // by path: format and text
};

}  // namespace nono::cli
