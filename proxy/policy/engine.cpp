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
  std::vector<Decision> route_decisions;  // one for each route
  Decision no_route =
      Refusal{Because{Reason::no_rule, {}}, "there is no such credential route", {}};
};

namespace {

constexpr std::size_t rule_beyond_host = 8;  // "*." and ":65535"

// What no rule and no mode can change.
std::optional<Refusal> refuse_always(const CompiledRules& rules, const HostPort& target) {
  if (rules.mode == NetworkMode::blocked) return blocked_refusal(target);
  return always_denied_refusal(target);
}

// What a deny rule says of an IPv4 address, it says of each IPv6 address that leads there.
HostIndex::Found find_denied(const HostIndex& index, const HostProbe& probe, Port port) {
  HostIndex::Found found = index.find(probe, port);
  if (probe.host().is_name()) return found;
  for (const IpAddress& inside : embedded_v4(probe.host().address())) {
    if (found.entry != HostIndex::no_entry) break;
    found = index.find(inside, port);
  }
  return found;
}

std::vector<HostIndex::Entry> find_all_denied(const HostIndex& index, const HostPort& target) {
  std::vector<HostIndex::Entry> all = index.find_all(target.host, target.port);
  if (target.host.is_name()) return all;
  for (const IpAddress& inside : embedded_v4(target.host.address())) {
    const std::vector<HostIndex::Entry> more = index.find_all(inside, target.port);
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

std::optional<Refusal> refuse_denied(const CompiledRules& rules, const HostPort& target,
                                     const HostProbe& probe) {
  if (rules.deny.empty()) return std::nullopt;
  const HostIndex::Found denied = find_denied(rules.deny, probe, target.port);
  if (denied.entry == HostIndex::no_entry) return std::nullopt;
  return denied_refusal(target, rules.denials[denied.entry]);
}

bool has_denied_paths(const CompiledRules& rules, const HostPort& target) {
  return !rules.deny_paths.empty() &&
         find_denied(rules.deny_paths, HostProbe(target.host), target.port).entry !=
             HostIndex::no_entry;
}

// Of all the rules that allow the target, not only the most specific one.
TunnelRules tunnel_rules_of(const CompiledRules& rules, const HostProbe& probe, Port port) {
  TunnelRules all;
  if (!rules.tunnel_options) return all;
  for (const HostIndex::Entry entry : rules.allow.find_all(probe, port)) {
    const TunnelRules& one = rules.allowed[entry].tunnel;
    all.any_sni = all.any_sni || one.any_sni;
    all.refuse_ech = all.refuse_ech || one.refuse_ech;
  }
  return all;
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
  for (const HostIndex::Entry entry : find_all_denied(rules.deny_paths, target)) {
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
  auto all = std::make_unique<Compiled>(std::move(*compiled));
  for (const Route& route : all->routes) all->route_decisions.push_back(judge_route(*all, route));
  return std::shared_ptr<const Engine>(new Engine(std::move(all)));
}

Decision Engine::decide(const HostPort& target) const {
  const CompiledRules& rules = *compiled_;
  const HostProbe probe(target.host, &rules.allow);
  if (std::optional<Refusal> refusal = refuse_always(rules, target)) return std::move(*refusal);
  std::optional<Refusal> denied = refuse_denied(rules, target, probe);
  if (denied && !rules.observe) return std::move(*denied);

  // Made before the rule is looked for, so that memory has the time to send it.
  const bool literal = !target.host.is_name();
  Decision decision = Permit(target, Handling::tunnel, Because{}, literal, rules.addresses);
  Permit& permit = std::get<Permit>(decision);
  std::string& because = permit.because_.rule;
  if (!literal) {
    because.reserve(target.host.name().text().size() + rule_beyond_host);
    because = target.host.name().text();  // as most rules are written
  }

  const HostIndex::Found found = rules.allow.find(probe, target.port);
  if (found.entry != HostIndex::no_entry) {
    const Allowed& allowed = rules.allowed[found.entry];
    const bool written_so = allowed.spelling == Spelling::pattern && !found.below;
    permit.because_.reason = allowed.because.reason;
    if (!written_so) set_because(permit.because_, rules, found);
    permit.handling_ = handling_of(rules, target, &allowed);
    permit.tunnel_rules_ = tunnel_rules_of(rules, probe, target.port);
    if (goes_to_loopback(rules, allowed)) permit.addresses_ = rules.addresses_and_loopback;
    if (denied) observe(permit, std::move(*denied));
    return decision;
  }
  permit.handling_ = handling_of(rules, target, nullptr);
  if (rules.mode == NetworkMode::open && !denied) {
    permit.because_ = Because{Reason::open_network, {}};
    return decision;
  }
  Refusal refusal = denied ? std::move(*denied) : no_rule_refusal(target, rules, found);
  if (rules.observe) {
    permit.literal_ = false;
    observe(permit, std::move(refusal));
  } else {
    decision = std::move(refusal);
  }
  return decision;
}

void Engine::observe(Permit& permit, Refusal refusal) {
  permit.because_ = Because{Reason::observed, refusal.because.rule};
  permit.set_aside_ = std::make_shared<const Refusal>(std::move(refusal));
}

Decision Engine::decide_name(const HostName& name) const {
  const CompiledRules& rules = *compiled_;
  // The usual ports first: with an open or observed network, and with rules for every port, they
  // do.
  std::vector<std::optional<Port>> ports{https_port, http_port};
  const std::vector<std::optional<Port>> named = rules.allow.ports_of(name);
  ports.insert(ports.end(), named.begin(), named.end());
  std::optional<Refusal> first;
  const auto permits = [&](Port port) -> std::optional<Permit> {
    Decision decision = decide(HostPort{name, port});
    if (auto* permit = std::get_if<Permit>(&decision)) return std::move(*permit);
    Refusal& refusal = std::get<Refusal>(decision);
    if (!first || refusal.because.reason == Reason::rule_denies) first = std::move(refusal);
    return std::nullopt;
  };
  bool every_port = rules.mode == NetworkMode::open;
  for (const std::optional<Port>& port : ports) {
    if (!port) every_port = true;
    if (!port) continue;
    if (std::optional<Permit> permit = permits(*port)) return std::move(*permit);
  }
  // Deny rules for some ports leave others of a rule for every port.
  const std::vector<std::optional<Port>> denied = rules.deny.ports_of(name);
  const bool denied_all = std::find(denied.begin(), denied.end(), std::nullopt) != denied.end();
  for (std::size_t port = 1; every_port && !denied_all && port <= denied.size() + 1; ++port) {
    if (std::optional<Permit> permit = permits(Port(static_cast<std::uint16_t>(port)))) {
      return std::move(*permit);
    }
  }
  if (first->because.reason != Reason::no_rule) return std::move(*first);
  return name_refusal(name, rules);
}

Engine::RequestDecision Engine::decide_request(const Permit& permit,
                                               const RequestTarget& request) const {
  const CompiledRules& rules = *compiled_;
  const HostPort& target = permit.target();
  const HostIndex::Found found = rules.allow.find(target.host, target.port);
  const Allowed* allowed =
      found.entry == HostIndex::no_entry ? nullptr : &rules.allowed[found.entry];
  const bool restricted = allowed != nullptr && !allowed->endpoints.empty();
  if (!restricted && !has_denied_paths(rules, target)) {
    return allow(permit.because(), std::string(request.path));
  }

  // Where a key is put into requests, its rules say what it may be used for: observing a job is no
  // reason to let it do more with the key.
  const bool keyed = allowed != nullptr && !allowed->routes.empty();
  const auto refuse_or_observe = [&](Refusal refusal, std::string path) {
    if (!rules.observe || keyed) return refuse(std::move(refusal));
    RequestDecision decision =
        allow(Because{Reason::observed, refusal.because.rule}, std::move(path));
    decision.refusal = std::move(refusal);
    return decision;
  };
  Result<RequestPath> path = normalise_path(request.path);
  if (!path) {
    return refuse_or_observe(unclear_path_refusal(target, path.error()), std::string(request.path));
  }
  if (const Denial* denial = denied_by(rules, target, request.method, *path)) {
    return refuse_or_observe(
        denied_endpoint_refusal(target, *denial, request.method, path->forwarded), path->forwarded);
  }
  if (!restricted) return allow(permit.because(), std::move(path->forwarded));
  for (const Endpoint& endpoint : allowed->endpoints) {
    if (!endpoint.matches(request.method, path->segments)) continue;
    return allow(Because{allowed->because.reason, endpoint.text}, std::move(path->forwarded));
  }
  return refuse_or_observe(endpoint_refusal(target, *allowed, rules, because_of(rules, found).rule,
                                            request.method, path->forwarded),
                           path->forwarded);
}

std::vector<std::size_t> Engine::routes_for(const HostPort& target) const {
  const CompiledRules& rules = *compiled_;
  const HostIndex::Found found = rules.allow.find(target.host, target.port);
  return found.entry == HostIndex::no_entry ? std::vector<std::size_t>{}
                                            : rules.allowed[found.entry].routes;
}

const Decision& Engine::decide_route(std::size_t route) const {
  const std::vector<Decision>& decisions = compiled_->route_decisions;
  return route < decisions.size() ? decisions[route] : compiled_->no_route;
}

Decision Engine::judge_route(const CompiledRules& rules, const Route& wanted) {
  const HostPort& target = wanted.upstream;
  const HostProbe probe(target.host);
  if (std::optional<Refusal> refusal = refuse_always(rules, target)) return std::move(*refusal);
  std::optional<Refusal> denied = refuse_denied(rules, target, probe);
  if (denied && !rules.observe) return std::move(*denied);
  const HostIndex::Found found = rules.allow.find(probe, target.port);
  const Allowed* allowed =
      found.entry == HostIndex::no_entry ? nullptr : &rules.allowed[found.entry];
  Permit permit(target, handling_of(rules, target, allowed),
                Because{Reason::credential_route, "credential " + wanted.name},
                !target.host.is_name(),
                wanted.loopback ? rules.addresses_and_loopback : rules.addresses);
  if (denied) observe(permit, std::move(*denied));
  return permit;
}

Decision Engine::decide_open_port(Port port) const {
  const CompiledRules& rules = *compiled_;
  const HostPort target{IpAddress::v4({127, 0, 0, 1}), port};
  if (rules.mode == NetworkMode::blocked) return blocked_refusal(target);
  const std::vector<Port>& open = rules.open_ports;
  if (std::find(open.begin(), open.end(), port) == open.end()) return loopback_refusal(target);
  return Permit(target, Handling::tunnel,
                Because{Reason::rule_allows, "--open-port " + std::to_string(port.value())}, true,
                rules.addresses);
}

Permit Engine::permit_upstream_proxy(const HostPort& address) {
  auto addresses = std::make_shared<AddressPolicy>();
  addresses->allow_private = {Cidr(IpAddress::v4({}), 0), Cidr(IpAddress::v6({}), 0)};
  return Permit(address, Handling::tunnel, Because{Reason::rule_allows, "--upstream-proxy"},
                !address.host.is_name(), std::move(addresses));
}

}  // namespace nono::policy
