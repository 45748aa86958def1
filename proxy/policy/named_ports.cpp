#include "proxy/policy/named_ports.hpp"

#include <set>

#include "proxy/policy/rule.hpp"

namespace nono::policy {

NamedPorts named_ports(const NetworkRules& rules, const std::vector<CredentialRoute>& routes) {
  NamedPorts named;
  std::set<std::uint16_t> seen;
  for (const HostRule& written : rules.allow) {
    const Result<Rule> rule = parse_rule(written, RuleUse::allow);
    if (!rule) continue;
    if (rule->ports.empty()) named.every_port = true;
    for (const Port port : rule->ports) seen.insert(port.value());
  }
  for (const CredentialRoute& route : routes) {
    if (route.upstream) seen.insert(route.upstream->port.value());
  }
  seen.erase(0);
  for (const std::uint16_t port : seen) named.ports.emplace_back(port);
  return named;
}

}  // namespace nono::policy
