#include "proxy/cli/session_entry.hpp"

#include <chrono>
#include <nlohmann/json.hpp>

#include "proxy/cli/session_settings.hpp"

namespace nono::cli {

namespace {

using nlohmann::json;

constexpr std::string_view env_scheme = "env://";

// A profile's name as it is, its path from here: the proxy runs elsewhere.
std::string placed_profile(const std::string& profile, const UserContext& user) {
  const bool path = profile.find('/') != std::string::npos || profile.ends_with(".json") ||
                    profile.ends_with(".jsonc") || profile.ends_with(".yaml") ||
                    profile.ends_with(".yml");
  return path ? absolute(profile, user) : profile;
}

json rules_of(const std::vector<HostRule>& rules) {
  json list = json::array();
  for (const HostRule& rule : rules) {
    if (rule.endpoints.empty()) {
      list.push_back(rule.text);
      continue;
    }
    json endpoints = json::array();
    for (const EndpointRule& endpoint : rule.endpoints) {
      endpoints.push_back({{"method", endpoint.method}, {"path", endpoint.path}});
    }
    list.push_back({{"domain", rule.text}, {"endpoints", endpoints}});
  }
  return list;
}

json network_of(const Settings& settings, const UserContext& user) {
  json network = json::object();
  if (settings.network_profile) network["network_profile"] = *settings.network_profile;
  if (!settings.allow_hosts.empty()) network["allow_domain"] = rules_of(settings.allow_hosts);
  if (!settings.deny_hosts.empty()) network["deny_domain"] = rules_of(settings.deny_hosts);
  for (const Cidr& range : settings.allow_private) {
    network["allow_private"].push_back(range.to_string());
  }
  for (const std::string& file : settings.upstream_ca_files) {
    network["upstream_ca"].push_back(absolute(file, user));
  }
  if (settings.upstream_proxy) network["upstream_proxy"] = *settings.upstream_proxy;
  if (!settings.upstream_bypass.empty()) network["upstream_bypass"] = settings.upstream_bypass;
  if (settings.observe.value_or(false)) network["mode"] = "observe";
  return network;
}

json credentials_of(const Settings& settings, const UserContext& user, json& environment) {
  json list = json::array();
  for (const CredentialChoice& choice : settings.credentials) {
    json item = {{"name", choice.name}};
    if (choice.source) {
      item["source"] = *choice.source;
      if (choice.source->starts_with(env_scheme)) {
        const std::string name = choice.source->substr(env_scheme.size());
        if (const std::optional<std::string> value = user.env(name)) environment[name] = *value;
      }
    }
    list.push_back(std::move(item));
  }
  return list;
}

Result<void> check(const SessionOptions& options) {
  const PolicyOptions& policy = options.policy;
  const Settings& settings = policy.settings;
  const char* flag = nullptr;
  if (policy.audit_log) flag = "--audit-log";
  if (policy.audit_required) flag = "--audit required";
  if (policy.ca_validity_days) flag = "--proxy-ca-validity";
  if (!settings.dns_servers.empty()) flag = "--dns-server";
  if (settings.block_network) flag = "--block-net";
  if (!settings.allow_endpoints.empty()) flag = "--allow-endpoint";
  if (flag == nullptr) return {};
  return fail(ErrorCode::bad_input, std::string(flag) + " is not for a session",
              "it belongs to the proxy, or into the session's --profile");
}

}  // namespace

Result<std::string> session_request_body(const SessionOptions& options, const UserContext& user) {
  if (Result<void> checked = check(options); !checked) return fail(checked.error());
  const PolicyOptions& policy = options.policy;
  json body = json::object();
  json environment = json::object();
  if (!options.name.empty()) body["name"] = options.name;
  if (policy.profile) body["profile"] = placed_profile(*policy.profile, user);
  for (const std::string& name : policy.extends) {
    body["extends"].push_back(placed_profile(name, user));
  }
  json network = network_of(policy.settings, user);
  if (!network.empty()) body["network"] = std::move(network);
  json credentials = credentials_of(policy.settings, user, environment);
  if (!credentials.empty()) body["credentials"] = std::move(credentials);
  if (!environment.empty()) body["environment"] = std::move(environment);
  if (options.ttl) {
    body["ttl_seconds"] = std::chrono::ceil<std::chrono::seconds>(*options.ttl).count();
  }
  constexpr std::string_view unix_scheme = "unix:";
  for (const std::string& text : options.listen) {
    const bool unix_socket = text.starts_with(unix_scheme);
    body["listen"].push_back(unix_socket ? std::string(unix_scheme) +
                                               absolute(text.substr(unix_scheme.size()), user)
                                         : text);
  }
  if (options.limits.connections_max) {
    body["limits"]["connections_max"] = *options.limits.connections_max;
  }
  if (options.limits.connects_per_second_max) {
    body["limits"]["connects_per_second_max"] = *options.limits.connects_per_second_max;
  }
  return body.dump(-1, ' ', true, json::error_handler_t::replace);
}

}  // namespace nono::cli
