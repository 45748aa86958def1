#include "config/host_groups.hpp"

#include <algorithm>
#include <map>

namespace nono {
namespace {

using Table = std::map<std::string, std::vector<std::string>, std::less<>>;

const Table& groups() {
  static const Table table = {
      {"llm_apis",
       {"api.openai.com", "api.anthropic.com", "claude.ai", "platform.claude.com",
        "generativelanguage.googleapis.com", "aiplatform.googleapis.com", "api.groq.com",
        "api.mistral.ai", "api.cohere.com", "api.together.xyz", "api.fireworks.ai",
        "api.deepseek.com", "api.perplexity.ai", "inference.cerebras.ai", "openrouter.ai",
        "api.x.ai"}},
      {"github",
       {"github.com", "api.github.com", "codeload.github.com", "raw.githubusercontent.com",
        "objects.githubusercontent.com", "release-assets.githubusercontent.com",
        "github-releases.githubusercontent.com", "pkg-containers.githubusercontent.com",
        "ghcr.io"}},
      {"gitlab", {"gitlab.com", "cloud.gitlab.com", "registry.gitlab.com"}},
      {"sigstore",
       {"rekor.sigstore.dev", "fulcio.sigstore.dev", "oauth2.sigstore.dev",
        "tuf-repo-cdn.sigstore.dev"}},
      {"documentation",
       {"docs.python.org", "docs.rs", "doc.rust-lang.org", "developer.mozilla.org", "nodejs.org",
        "go.dev", "pkg.go.dev", "learn.microsoft.com"}},
      {"google_cloud", {"*.googleapis.com"}},
      {"azure", {"*.openai.azure.com", "*.cognitiveservices.azure.com"}},
      // The regional endpoints are bedrock-runtime.REGION.amazonaws.com: a wildcard cannot stand in
      // the middle of a rule, so the regions are written out.
      {"aws_bedrock",
       {"bedrock-runtime.us-east-1.amazonaws.com", "bedrock-runtime.us-east-2.amazonaws.com",
        "bedrock-runtime.us-west-2.amazonaws.com", "bedrock-runtime.ca-central-1.amazonaws.com",
        "bedrock-runtime.eu-central-1.amazonaws.com", "bedrock-runtime.eu-north-1.amazonaws.com",
        "bedrock-runtime.eu-west-1.amazonaws.com", "bedrock-runtime.eu-west-2.amazonaws.com",
        "bedrock-runtime.eu-west-3.amazonaws.com", "bedrock-runtime.ap-northeast-1.amazonaws.com",
        "bedrock-runtime.ap-northeast-2.amazonaws.com", "bedrock-runtime.ap-south-1.amazonaws.com",
        "bedrock-runtime.ap-southeast-1.amazonaws.com",
        "bedrock-runtime.ap-southeast-2.amazonaws.com", "bedrock-runtime.sa-east-1.amazonaws.com"}},
  };
  return table;
}

const Table& profiles() {
  static const std::vector<std::string> developer = {
      "llm_apis", "package_registries", "github", "gitlab", "sigstore", "documentation"};
  static const Table table = {
      {"minimal", {"llm_apis"}},
      {"developer", developer},
      {"codex", developer},
      {"opencode", developer},
      {"claude-code", developer},
      {"enterprise",
       {"llm_apis", "package_registries", "github", "gitlab", "sigstore", "documentation",
        "google_cloud", "azure", "aws_bedrock"}},
  };
  return table;
}

const std::vector<std::string>* find(const Table& table, std::string_view name) {
  auto it = table.find(name);
  return it == table.end() ? nullptr : &it->second;
}

std::vector<std::string> keys(const Table& table) {
  std::vector<std::string> names;
  for (const auto& entry : table) names.push_back(entry.first);
  return names;
}

}  // namespace

const std::vector<std::string>* host_group(std::string_view name) {
  return find(groups(), name);
}

const std::vector<std::string>* network_profile(std::string_view name) {
  return find(profiles(), name);
}

std::vector<std::string> host_group_names() {
  std::vector<std::string> names = keys(groups());
  names.emplace_back(package_registries_group);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> network_profile_names() {
  return keys(profiles());
}

}  // namespace nono
