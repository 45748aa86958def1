#include "config/network_keys.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "config/host_groups.hpp"
#include "config/suggest.hpp"

namespace nono::document {
namespace {

bool is_method(const std::string& text) {
  if (text == "*") return true;
  if (text.empty()) return false;
  for (char c : text) {
    bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
    if (!letter) return false;
  }
  return true;
}

void read_endpoint(Problems& problems, const YAML::Node& node, const std::string& key,
                   std::vector<EndpointRule>& out) {
  if (!is_map(problems, node, key)) return;
  EndpointRule rule;
  rule.origin = problems.origin(node);
  for (const auto& item : node) {
    const std::string& name = item.first.Scalar();
    if (name != "method" && name != "path") {
      problems.at(item.first, fmt::format("unknown key {}.{}{}", key, name,
                                          suggestion(name, {"method", "path"})));
      continue;
    }
    std::optional<std::string> text = as_string(problems, item.second, key + "." + name);
    if (!text) continue;
    (name == "method" ? rule.method : rule.path) = *text;
  }
  if (!is_method(rule.method))
    problems.at(node, fmt::format("{}: {} is no method", key, rule.method));
  if (!rule.path.starts_with('/')) {
    problems.at(node, fmt::format("{}: the path must start with '/'", key));
    return;
  }
  out.push_back(std::move(rule));
}

// `sni: any`, `ech: refuse`: what a tunnel's ClientHello may do. Both have one word only.
void read_tunnel_option(Problems& problems, const YAML::Node& node, const std::string& key,
                        std::string_view word, bool& out) {
  out = one_of(problems, node, key, {std::string(word)}).has_value();
}

void read_rule_map(Problems& problems, const YAML::Node& item, std::string_view key, RuleList list,
                   HostRule& rule) {
  std::vector<std::string> names{"domain", "endpoints"};
  if (list == RuleList::allow) names.insert(names.end(), {"sni", "ech"});
  for (const auto& field : item) {
    const std::string& name = field.first.Scalar();
    std::string full = fmt::format("{}.{}", key, name);
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      problems.at(field.first, fmt::format("unknown key {}{}", full, suggestion(name, names)));
    } else if (name == "domain") {
      rule.text = as_string(problems, field.second, full).value_or("");
    } else if (name == "sni") {
      read_tunnel_option(problems, field.second, full, "any", rule.any_sni);
    } else if (name == "ech") {
      read_tunnel_option(problems, field.second, full, "refuse", rule.refuse_ech);
    } else {
      rule.endpoints = read_endpoints(problems, field.second, full);
      if (rule.endpoints.empty()) {
        problems.at(field.second, full + ": an empty list would allow nothing; leave it out");
      }
    }
  }
  const bool has_paths = !rule.endpoints.empty() || rule.text.find("://") != std::string::npos;
  if ((rule.any_sni || rule.refuse_ech) && has_paths) {
    problems.at(item, fmt::format("{}: sni and ech are about opaque tunnels; a rule with paths is "
                                  "intercepted, so leave them out",
                                  key));
  }
}

}  // namespace

std::optional<std::string> one_of(Problems& problems, const YAML::Node& node, std::string_view key,
                                  const std::vector<std::string>& words) {
  std::optional<std::string> text = as_string(problems, node, key);
  if (!text || std::find(words.begin(), words.end(), *text) != words.end()) return text;
  problems.at(node, fmt::format("{}: expected {}, found {}{}", key, fmt::join(words, " or "), *text,
                                suggestion(*text, words)));
  return std::nullopt;
}

std::vector<EndpointRule> read_endpoints(Problems& problems, const YAML::Node& node,
                                         std::string_view key) {
  std::vector<EndpointRule> rules;
  if (!is_list(problems, node, key)) return rules;
  for (const YAML::Node& item : node) read_endpoint(problems, item, std::string(key), rules);
  return rules;
}

void read_host_rules(Problems& problems, const YAML::Node& node, std::string_view key,
                     std::vector<HostRule>& out, RuleList list) {
  if (!is_list(problems, node, key)) return;
  for (const YAML::Node& item : node) {
    HostRule rule;
    rule.origin = problems.origin(item);
    if (item.IsMap()) {
      read_rule_map(problems, item, key, list, rule);
    } else {
      std::optional<std::string> text = as_string(problems, item, key);
      if (!text) continue;
      rule.text = *text;
    }
    if (rule.text.empty()) {
      problems.at(item, fmt::format("{}: a rule without a host", key));
    } else {
      out.push_back(std::move(rule));
    }
  }
}

void read_mode(Problems& problems, const YAML::Node& node, std::string_view key, Settings& out) {
  std::optional<std::string> text = one_of(problems, node, key, {"enforce", "observe"});
  if (!text) return;
  const bool observe = *text == "observe";
  if (out.observe && *out.observe != observe) {
    problems.at(node, fmt::format("{}: {} was said already", key, observe ? "enforce" : "observe"));
  }
  out.observe = observe;
}

void read_credentials(Problems& problems, const YAML::Node& node, std::string_view key,
                      Settings& out) {
  if (!is_list(problems, node, key)) return;
  if (node.size() == 0) out.clear_credentials = true;
  for (const YAML::Node& item : node) {
    CredentialChoice choice;
    choice.origin = problems.origin(item);
    if (!item.IsMap()) {
      choice.name = as_string(problems, item, key).value_or("");
    } else {
      for (const auto& field : item) {
        const std::string& name = field.first.Scalar();
        std::string full = fmt::format("{}.{}", key, name);
        if (name == "name") {
          choice.name = as_string(problems, field.second, full).value_or("");
        } else if (name == "source") {
          choice.source = as_string(problems, field.second, full);
        } else {
          problems.at(field.first,
                      fmt::format("unknown key {}{}", full, suggestion(name, {"name", "source"})));
        }
      }
      if (choice.name.empty())
        problems.at(item, fmt::format("{}: a credential without a name", key));
    }
    if (!choice.name.empty()) out.credentials.push_back(std::move(choice));
  }
}

void read_network_profile(Problems& problems, const YAML::Node& node, std::string_view key,
                          Settings& out) {
  out.network_profile_origin = problems.origin(node);
  if (node.IsNull()) {
    out.network_profile = "";
    return;
  }
  std::optional<std::string> name = as_string(problems, node, key);
  if (!name) return;
  if (network_profile(*name) == nullptr) {
    problems.at(node, fmt::format("{}: no network profile is called {}{}", key, *name,
                                  suggestion(*name, network_profile_names())));
    return;
  }
  out.network_profile = *name;
}

void read_private_ranges(Problems& problems, const YAML::Node& node, std::string_view key,
                         Settings& out) {
  if (!is_list(problems, node, key)) return;
  for (const YAML::Node& item : node) {
    std::optional<std::string> text = as_string(problems, item, key);
    if (!text) continue;
    Result<Cidr> range = Cidr::parse(*text);
    if (range) {
      out.allow_private.push_back(*range);
    } else {
      problems.at(item, fmt::format("{}: {}", key, range.error().what));
    }
  }
}

void read_upstream_proxy(Problems& problems, const YAML::Node& node, std::string_view key,
                         Settings& out) {
  if (!node.IsNull()) out.upstream_proxy = as_string(problems, node, key);
}

void read_upstream_bypass(Problems& problems, const YAML::Node& node, std::string_view key,
                          Settings& out) {
  for (std::string& host : as_strings(problems, node, key)) {
    out.upstream_bypass.push_back(std::move(host));
  }
}

void read_ports(Problems& problems, const YAML::Node& node, std::string_view key,
                std::vector<PortRule>& out) {
  if (!is_list(problems, node, key)) return;
  for (const YAML::Node& item : node) {
    std::optional<std::uint64_t> port = as_number(problems, item, key, 1, 65'535);
    if (!port) continue;
    out.push_back({Port(static_cast<std::uint16_t>(*port)), problems.origin(item)});
  }
}

void read_dns_servers(Problems& problems, const YAML::Node& node, std::string_view key,
                      Settings& out) {
  if (!is_list(problems, node, key)) return;
  for (const YAML::Node& item : node) {
    std::optional<std::string> text = as_string(problems, item, key);
    if (!text) continue;
    Result<HostPort> server = parse_host_port(*text, Port(53));
    if (server && !server->host.is_name()) {
      out.dns_servers.push_back(*server);
    } else {
      problems.at(item,
                  fmt::format("{}: {} is no address; write ADDRESS or ADDRESS:PORT", key, *text));
    }
  }
}

}  // namespace nono::document
