#include "proxy/cli/child_environment.hpp"

#include <algorithm>

#include "config/base/host.hpp"
#include "proxy/server.hpp"

namespace nono::cli {

namespace {

std::string host_of(const std::string& authority) {
  const Result<HostPort> parsed = parse_host_port(authority);
  return parsed ? parsed->host.to_string() : "";
}

}  // namespace

std::map<std::string, std::string> proxy_variables(
    const ProxyAccess& access, const std::vector<PlannedCredential>& credentials) {
  const std::string user = access.token.empty() ? "" : "nono:" + access.token + "@";
  const std::string scheme = access.tls ? "https://" : "http://";
  const std::string proxy = scheme + user + access.authority;
  // Base URLs lead to the listener itself, wherever it is.
  std::string direct = "localhost,127.0.0.1,::1";
  const std::string own = host_of(access.authority);
  if (own != "127.0.0.1" && own != "::1" && !own.empty()) direct += "," + own;
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
      variables.try_emplace(name, scheme + access.authority + "/" + credential.route.name);
    }
  }
  return variables;
}

std::map<std::string, std::string> redirected_ca_variables(const EnvLookup& parent,
                                                           const std::string& ca_bundle) {
  // Ours holds what the parent's SSL_CERT_FILE does, and the system's.
  std::vector<std::string> contained{"/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem",
                                     "/etc/pki/tls/certs/ca-bundle.crt"};
  if (std::optional<std::string> own = parent("SSL_CERT_FILE")) contained.push_back(*own);
  std::map<std::string, std::string> variables;
  for (const char* name : {"PIP_CERT", "AWS_CA_BUNDLE", "HTTPLIB2_CA_CERTS", "NIX_SSL_CERT_FILE",
                           "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
                           "CARGO_HTTP_CAINFO", "UV_SSL_CERT_FILE", "NPM_CONFIG_CAFILE",
                           "npm_config_cafile", "DENO_CERT"}) {
    const std::optional<std::string> value = parent(name);
    if (value && std::find(contained.begin(), contained.end(), *value) != contained.end()) {
      variables[name] = ca_bundle;
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
