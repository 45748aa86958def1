#pragma once
// Readers of the network and credential keys that profiles and nono.yaml share. Internal to
// config/.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/document.hpp"

namespace nono::document {

// One of a few words; anything else is a complaint that lists them.
std::optional<std::string> one_of(Problems& problems, const YAML::Node& node, std::string_view key,
                                  const std::vector<std::string>& words);
// A list whose items are a rule, or `{domain, endpoints: [{method, path}], sni, ech}`; the last two
// only in lists that allow.
enum class RuleList : std::uint8_t { allow, deny };
void read_host_rules(Problems& problems, const YAML::Node& node, std::string_view key,
                     std::vector<HostRule>& out, RuleList list = RuleList::allow);
// `observe` or `enforce`.
void read_mode(Problems& problems, const YAML::Node& node, std::string_view key, Settings& out);
// A list of `{method, path}`.
std::vector<EndpointRule> read_endpoints(Problems& problems, const YAML::Node& node,
                                         std::string_view key);
// A list of names, or of `{name, source}`.
void read_credentials(Problems& problems, const YAML::Node& node, std::string_view key,
                      Settings& out);
// A map from a name to a definition; custom_credential.cpp has its keys.
void read_custom_credentials(Problems& problems, const YAML::Node& node, std::string_view key,
                             Settings& out);
void read_network_profile(Problems& problems, const YAML::Node& node, std::string_view key,
                          Settings& out);
void read_private_ranges(Problems& problems, const YAML::Node& node, std::string_view key,
                         Settings& out);
// A string, or null for none; parsed by config/upstream_proxy.hpp once all is merged.
void read_upstream_proxy(Problems& problems, const YAML::Node& node, std::string_view key,
                         Settings& out);
void read_upstream_bypass(Problems& problems, const YAML::Node& node, std::string_view key,
                          Settings& out);
// A list of ports.
void read_ports(Problems& problems, const YAML::Node& node, std::string_view key,
                std::vector<PortRule>& out);
void read_dns_servers(Problems& problems, const YAML::Node& node, std::string_view key,
                      Settings& out);

}  // namespace nono::document
