#include "proxy/policy/named_ports.hpp"

#include <algorithm>
#include <bitset>

#include "proxy/policy/rule.hpp"

namespace nono::policy {

NamedPorts named_ports(const NetworkRules& rules, const std::vector<CredentialRoute>& routes) {
  NamedPorts named;
  std::bitset<65'536> seen;
  for (const HostRule& written : rules.allow) {
    const Result<Rule> rule = parse_rule(written, RuleUse::allow);
    if (!rule) continue;
    if (rule->ports.empty()) named.every_port = true;
    for (const Port port : rule->ports) seen.set(port.value());
  }
  for (const CredentialRoute& route : routes) {
    if (route.upstream) seen.set(route.upstream->port.value());
  }
  for (std::size_t port = 1; port < seen.size(); ++port) {
    if (seen.test(port)) named.ports.emplace_back(static_cast<std::uint16_t>(port));
  }
  return named;
}

}  // namespace nono::policy
