#include "proxy/policy/engine.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "proxy/policy/compiled.hpp"
#include "proxy/policy/refusals.hpp"
#include "proxy/policy/request_path.hpp"

namespace nono::policy {

struct Engine::Compiled : CompiledRules {
  explicit Compiled(CompiledRules rules) : CompiledRules(std::move(rules)) {}
};

namespace {

// What no allow rule can change.
std::optional<Refusal> refuse_first(const CompiledRules& rules, const HostPort& target) {
  if (rules.mode == NetworkMode::blocked) return blocked_refusal(target);
  if (std::optional<Refusal> refusal = always_denied_refusal(target)) return refusal;
  if (rules.deny.empty()) return std::nullopt;
  const HostIndex::Found denied = rules.deny.find(target.host, target.port);
  if (denied.entry == HostIndex::no_entry) return std::nullopt;
  return denied_refusal(target, rules.denials[denied.entry]);
}

bool has_denied_paths(const CompiledRules& rules, const HostPort& target) {
  return !rules.deny_paths.empty() &&
         rules.deny_paths.find(target.host, target.port).entry != HostIndex::no_entry;
}

const Allowed* find_allowed(const CompiledRules& rules, const HostPort& target) {
  const HostIndex::Found found = rules.allow.find(target.host, target.port);
  return found.entry == HostIndex::no_entry ? nullptr : &rules.allowed[found.entry];
}

Handling handling_of(const CompiledRules& rules, const HostPort& target, const Allowed* allowed) {
  const bool inspect = allowed != nullptr && (allowed->tls_route || !allowed->endpoints.empty());
  return inspect || has_denied_paths(rules, target) ? Handling::intercept : Handling::tunnel;
}

// A route whose own definition says localhost may reach it; that is no private range let in.
bool goes_to_loopback(const CompiledRules& rules, const Allowed& allowed) {
  return std::any_of(allowed.routes.begin(), allowed.routes.end(),
                     [&](std::size_t route) { return rules.routes[route].loopback; });
}

// The path as servers see it that skip empty segments and cut parameters off: a deny rule must
// not be got around by spelling.
std::vector<std::string> collapsed(const std::vector<std::string>& segments) {
  std::vector<std::string> kept;
  for (const std::string& segment : segments) {
    const std::string plain = segment.substr(0, segment.find(';'));
    if (!plain.empty()) kept.push_back(plain);
  }
  if (kept.empty()) kept.emplace_back();
  return kept;
}

const Denial* denied_by(const CompiledRules& rules, const HostPort& target, std::string_view method,
                        const RequestPath& path) {
  if (rules.deny_paths.empty()) return nullptr;
  const std::vector<std::string> plain = collapsed(path.segments);
  for (const HostIndex::Entry entry : rules.deny_paths.find_all(target.host, target.port)) {
    const Denial& denial = rules.denials[entry];
    for (const Endpoint& endpoint : denial.endpoints) {
      if (endpoint.matches(method, path.segments) || endpoint.matches(method, plain))
        return &denial;
    }
  }
  return nullptr;
}

Engine::RequestDecision refuse(Refusal refusal) {
  Engine::RequestDecision decision;
  decision.because = refusal.because;
  decision.refusal = std::move(refusal);
  return decision;
}

Engine::RequestDecision allow(Because because, std::string path) {
  Engine::RequestDecision decision;
  decision.allowed = true;
  decision.because = std::move(because);
  decision.path = std::move(path);
  return decision;
}

}  // namespace

Engine::Engine(std::unique_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}
Engine::~Engine() = default;

Result<std::shared_ptr<const Engine>> Engine::make(const NetworkRules& rules,
                                                   const std::vector<CredentialRoute>& routes) {
  Result<CompiledRules> compiled = compile(rules, routes);
  if (!compiled) return fail(std::move(compiled.error()));
  return std::shared_ptr<const Engine>(
      new Engine(std::make_unique<Compiled>(std::move(*compiled))));
}

Decision Engine::decide(const HostPort& target) const {
  const CompiledRules& rules = *compiled_;
  if (std::optional<Refusal> refusal = refuse_first(rules, target)) return std::move(*refusal);

  const HostIndex::Found found = rules.allow.find(target.host, target.port);
  const bool literal = !target.host.is_name();
  if (found.entry != HostIndex::no_entry) {
    const Allowed& allowed = rules.allowed[found.entry];
    return Permit(
        target, handling_of(rules, target, &allowed), allowed.because, literal,
        goes_to_loopback(rules, allowed) ? rules.addresses_and_loopback : rules.addresses);
  }
  const Handling handling = handling_of(rules, target, nullptr);
  if (rules.mode == NetworkMode::open) {
    return Permit(target, handling, Because{Reason::open_network, {}}, literal, rules.addresses);
  }
  Refusal refusal = no_rule_refusal(target, rules, found);
  // Observing lets names and public addresses pass, never a way into this machine or its network.
  if (rules.observe && refusal.because.reason == Reason::no_rule &&
      (!literal || classify(target.host.address()) == AddressClass::public_internet)) {
    return Permit(target, handling, Because{Reason::observed, {}}, false, rules.addresses);
  }
  return refusal;
}

Engine::RequestDecision Engine::decide_request(const Permit& permit,
                                               const RequestTarget& request) const {
  const CompiledRules& rules = *compiled_;
  const HostPort& target = permit.target();
  const Allowed* allowed = find_allowed(rules, target);
  const bool restricted = allowed != nullptr && !allowed->endpoints.empty();
  if (!restricted && !has_denied_paths(rules, target)) {
    return allow(permit.because(), std::string(request.path));
  }

  Result<RequestPath> path = normalise_path(request.path);
  if (!path) return refuse(unclear_path_refusal(target, path.error()));
  if (const Denial* denial = denied_by(rules, target, request.method, *path)) {
    return refuse(denied_endpoint_refusal(target, *denial, request.method, path->forwarded));
  }
  if (!restricted) return allow(permit.because(), std::move(path->forwarded));
  for (const Endpoint& endpoint : allowed->endpoints) {
    if (!endpoint.matches(request.method, path->segments)) continue;
    return allow(Because{allowed->because.reason, endpoint.text}, std::move(path->forwarded));
  }
  if (rules.observe) return allow(Because{Reason::observed, {}}, std::move(path->forwarded));
  return refuse(endpoint_refusal(target, *allowed, rules, request.method, path->forwarded));
}

std::vector<std::size_t> Engine::routes_for(const HostPort& target) const {
  const Allowed* allowed = find_allowed(*compiled_, target);
  return allowed == nullptr ? std::vector<std::size_t>{} : allowed->routes;
}

Decision Engine::decide_route(std::size_t route) const {
  const CompiledRules& rules = *compiled_;
  if (route >= rules.routes.size()) {
    return Refusal{Because{Reason::no_rule, {}}, "there is no such credential route", {}};
  }
  const Route& wanted = rules.routes[route];
  const HostPort& target = wanted.upstream;
  if (std::optional<Refusal> refusal = refuse_first(rules, target)) return std::move(*refusal);
  const Handling handling = handling_of(rules, target, find_allowed(rules, target));
  return Permit(target, handling, Because{Reason::credential_route, "credential " + wanted.name},
                !target.host.is_name(),
                wanted.loopback ? rules.addresses_and_loopback : rules.addresses);
}

Permit Engine::permit_upstream_proxy(const HostPort& address) {
  auto addresses = std::make_shared<AddressPolicy>();
  addresses->allow_private = {Cidr(IpAddress::v4({}), 0), Cidr(IpAddress::v6({}), 0)};
  return Permit(address, Handling::tunnel, Because{Reason::rule_allows, "--upstream-proxy"},
                !address.host.is_name(), std::move(addresses));
}

}  // namespace nono::policy
