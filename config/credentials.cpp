#include "config/credentials.hpp"

#include <utility>

namespace nono {
namespace {

struct Vendor {
  std::string name, host, base_path, header, format, prefix;
  std::vector<std::string> key_vars;       // what the vendor's SDKs read the key from
  std::vector<std::string> base_url_vars;  // what they read the base URL from
};

CredentialRoute make_route(Vendor vendor) {
  CredentialRoute route;
  route.name = vendor.name;
  if (Result<Host> host = parse_host(vendor.host)) route.upstream = HostPort{*host, https_port};
  route.base_path = std::move(vendor.base_path);
  route.injection.header = std::move(vendor.header);
  route.injection.format = std::move(vendor.format);
  route.sources = {"keyring://nono/" + vendor.name, "keyring://nono/" + vendor.name + "_api_key"};
  for (const std::string& variable : vendor.key_vars) route.sources.push_back("env://" + variable);
  route.phantom_vars = std::move(vendor.key_vars);
  route.base_url_vars = std::move(vendor.base_url_vars);
  route.phantom_prefix = std::move(vendor.prefix);
  route.origin.text = "built-in credential " + vendor.name;
  return route;
}

// base_path is what the vendor's own default base URL has as its path: SDKs append
// "/chat/completions" to OPENAI_BASE_URL, but "/v1/messages" to ANTHROPIC_BASE_URL and
// "/v1beta/..." to Gemini's.
std::vector<CredentialRoute> make_routes() {
  std::vector<CredentialRoute> routes;
  routes.push_back(make_route({"openai",
                               "api.openai.com",
                               "/v1",
                               "Authorization",
                               "Bearer {}",
                               "sk-",
                               {"OPENAI_API_KEY"},
                               {"OPENAI_BASE_URL", "OPENAI_API_BASE"}}));
  routes.push_back(make_route({"anthropic",
                               "api.anthropic.com",
                               "",
                               "x-api-key",
                               "{}",
                               "sk-ant-",
                               {"ANTHROPIC_API_KEY"},
                               {"ANTHROPIC_BASE_URL"}}));
  routes.push_back(make_route({"gemini",
                               "generativelanguage.googleapis.com",
                               "",
                               "x-goog-api-key",
                               "{}",
                               "AIza",
                               {"GEMINI_API_KEY", "GOOGLE_API_KEY"},
                               {"GOOGLE_GEMINI_BASE_URL", "GEMINI_BASE_URL"}}));
  routes.push_back(make_route({"google-ai",
                               "generativelanguage.googleapis.com",
                               "",
                               "x-goog-api-key",
                               "{}",
                               "AIza",
                               {"GOOGLE_API_KEY", "GEMINI_API_KEY"},
                               {"GOOGLE_GEMINI_BASE_URL", "GOOGLE_AI_BASE_URL"}}));
  routes.push_back(make_route({"github",
                               "api.github.com",
                               "",
                               "Authorization",
                               "Bearer {}",
                               "ghp_",
                               {"GITHUB_TOKEN", "GH_TOKEN"},
                               {"GITHUB_API_URL", "GITHUB_BASE_URL"}}));
  routes.push_back(make_route({"gitlab",
                               "gitlab.com",
                               "/api",
                               "Authorization",
                               "Bearer {}",
                               "glpat-",
                               {"GITLAB_TOKEN"},
                               {"GITLAB_BASE_URL"}}));
  return routes;
}

}  // namespace

const std::vector<CredentialRoute>& builtin_credentials() {
  static const std::vector<CredentialRoute> routes = make_routes();
  return routes;
}

const CredentialRoute* builtin_credential(std::string_view name) {
  for (const CredentialRoute& route : builtin_credentials()) {
    if (route.name == name) return &route;
  }
  return nullptr;
}

}  // namespace nono
