#include "proxy/cli/child_environment.hpp"

#include <algorithm>

#include "proxy/server.hpp"

namespace nono::cli {

std::map<std::string, std::string> proxy_variables(
    const ProxyAccess& access, const std::vector<PlannedCredential>& credentials) {
  const std::string user = access.token.empty() ? "" : "nono:" + access.token + "@";
  const std::string proxy = "http://" + user + access.authority;
  const std::string direct = "localhost,127.0.0.1,::1";
  std::map<std::string, std::string> variables{{"HTTP_PROXY", proxy},      {"http_proxy", proxy},
                                               {"HTTPS_PROXY", proxy},     {"https_proxy", proxy},
                                               {"NO_PROXY", direct},       {"no_proxy", direct},
                                               {"NODE_USE_ENV_PROXY", "1"}};
  if (!access.token.empty()) variables["NONO_PROXY_TOKEN"] = access.token;
  if (access.ca_bundle) {
    for (const char* name : {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
                             "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"}) {
      variables[name] = *access.ca_bundle;
    }
  }
  for (const PlannedCredential& credential : credentials) {
    // The first credential that claims a variable has it (gemini and google-ai share theirs).
    for (const std::string& name : credential.route.phantom_vars) {
      variables.try_emplace(name, credential.phantom);
    }
    for (const std::string& name : credential.route.base_url_vars) {
      variables.try_emplace(name, "http://" + access.authority + "/" + credential.route.name);
    }
  }
  return variables;
}

bool needs_interception(const SessionConfig& config) {
  if (!config.credentials.empty()) return true;
  return std::any_of(config.network.allow.begin(), config.network.allow.end(),
                     [](const HostRule& rule) {
                       return !rule.endpoints.empty() || rule.text.find("://") != std::string::npos;
                     });
}

std::vector<PlannedCredential> plan_credentials(const SessionConfig& config) {
  std::vector<PlannedCredential> planned;
  for (const CredentialRoute& route : config.credentials) {
    planned.push_back(PlannedCredential{route, make_phantom(route.phantom_prefix)});
  }
  return planned;
}

}  // namespace nono::cli
