#pragma once
// The rules of one engine, checked and indexed: built once, then only read.

#include <memory>
#include <string>
#include <vector>

#include "config/base/permit.hpp"
#include "config/config.hpp"
#include "proxy/policy/host_index.hpp"
#include "proxy/policy/rule.hpp"

namespace nono::policy {

// How a rule is spelled that says no more than its pattern does. Nearly all rules are such ones,
// and they share one Allowed each, so that many rules take little memory and a decision reads
// little of it.
enum class Spelling : std::uint8_t {
  own,        // because.rule has it
  pattern,    // "example.com", "*.example.com"
  with_port,  // "example.com:8443", "example.com:*"
};

// All that allows one pattern on one port (or on every port).
struct Allowed {
  Because because;  // the first rule, or the credential where there is one
  Spelling spelling = Spelling::own;
  TunnelRules tunnel;
  bool tls_route = false;
  std::vector<Endpoint> endpoints;  // of all rules here; where there are any, nothing else passes
  std::vector<std::size_t> routes;  // credential routes with this upstream
};

struct Denial {
  std::string rule;                 // as written
  std::string origin;               // where, for the fix
  std::vector<Endpoint> endpoints;  // only these requests; empty: the whole host
};

struct Route {
  HostPort upstream;
  std::string name;
  bool tls = true;
  bool loopback = false;  // its definition says localhost: it may resolve to this machine
};

struct CompiledRules {
  NetworkMode mode = NetworkMode::filtered;
  bool observe = false;
  std::vector<Port> open_ports;
  HostIndex allow;       // → allowed
  HostIndex deny;        // → denials, of whole hosts
  HostIndex deny_paths;  // → denials, of some requests
  std::vector<Allowed> allowed;
  std::vector<Denial> denials;
  std::vector<Route> routes;
  bool tunnel_options = false;  // some rule has any
  std::shared_ptr<const AddressPolicy> addresses;
  std::shared_ptr<const AddressPolicy> addresses_and_loopback;  // for routes to localhost
};

// The rule behind what HostIndex::find found in `rules.allow`, in its entry or its other_port.
void set_because(Because& because, const CompiledRules& rules, const HostIndex::Found& found);
Because because_of(const CompiledRules& rules, const HostIndex::Found& found);

// Parses and checks every rule. All that is wrong is in one Error: one line each, its origin first.
Result<CompiledRules> compile(const NetworkRules& rules,
                              const std::vector<CredentialRoute>& routes);

}  // namespace nono::policy
