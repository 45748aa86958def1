#pragma once
// The variables that lead a program to the proxy: proxy URLs, the CA bundle, phantoms, base URLs.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "config/profile.hpp"

namespace nono::cli {

// A credential with the stand-in made for this session.
struct PlannedCredential {
  CredentialRoute route;
  std::string phantom;
};

// How clients reach the proxy.
struct ProxyAccess {
  std::string authority;                 // "127.0.0.1:3128"
  std::string token;                     // empty: none is asked
  bool tls = false;                      // the listener speaks TLS
  std::optional<std::string> ca_bundle;  // path; absent: nothing is intercepted
};

// Decided before anything is loaded, so that a sandboxed child's environment is complete when it is
// forked.
std::map<std::string, std::string> proxy_variables(
    const ProxyAccess& access, const std::vector<PlannedCredential>& credentials);

// Further variables that name a CA file (PIP_CERT, AWS_CA_BUNDLE, ...): those whose value in the
// parent is a bundle that ours contains are pointed at ours, so that their programs trust the
// interception too.
std::map<std::string, std::string> redirected_ca_variables(const EnvLookup& parent,
                                                           const std::string& ca_bundle);

// True where some host of `config` is intercepted: a credential or rules about method and path.
bool needs_interception(const SessionConfig& config);

// Makes a phantom for each enabled credential.
std::vector<PlannedCredential> plan_credentials(const SessionConfig& config);

}  // namespace nono::cli
