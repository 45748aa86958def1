#include "proxy/policy/compiled.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "proxy/policy/host_index_builder.hpp"

namespace nono::policy {
namespace {

// Gathers what is wrong with many rules, so that a user sees all of it at once.
class Faults {
 public:
  void add(const Origin& origin, Error error) {
    if (!origin.text.empty()) error.what = fmt::format("{}: {}", origin.text, error.what);
    errors_.push_back(std::move(error));
  }
  bool any() const { return !errors_.empty(); }
  Error as_one() const {
    if (errors_.size() == 1) return errors_.front();
    std::vector<std::string> lines;
    for (const Error& error : errors_) {
      lines.push_back(error.fix.empty() ? error.what : error.what + "; " + error.fix);
    }
    return Error{Side::self, ErrorCode::bad_input, fmt::format("{}", fmt::join(lines, "\n"))};
  }

 private:
  std::vector<Error> errors_;
};

// What is gathered rule by rule, before the indexes are made of it.
struct Gathered {
  CompiledRules rules;
  HostIndexBuilder allow, deny, deny_paths;
  AddressPolicy addresses;
  Faults faults;
};

std::vector<std::optional<Port>> each_port(const std::vector<Port>& ports) {
  if (ports.empty()) return {std::nullopt};
  return {ports.begin(), ports.end()};
}

Allowed& allowed_at(Gathered& gathered, const HostPattern& host, std::optional<Port> port) {
  std::vector<Allowed>& allowed = gathered.rules.allowed;
  HostIndex::Entry& entry = gathered.allow.place(host, port);
  if (entry == HostIndex::no_entry) {
    entry = static_cast<HostIndex::Entry>(allowed.size());
    allowed.emplace_back();
  }
  return allowed[entry];
}

void append(std::vector<Endpoint>& to, const std::vector<Endpoint>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void add_allow(Gathered& gathered, const Rule& rule) {
  for (const std::optional<Port> port : each_port(rule.ports)) {
    Allowed& allowed = allowed_at(gathered, rule.host, port);
    if (allowed.because.rule.empty()) allowed.because = Because{Reason::rule_allows, rule.text};
    append(allowed.endpoints, rule.endpoints);
    allowed.tunnel.any_sni = allowed.tunnel.any_sni || rule.tunnel.any_sni;
    allowed.tunnel.refuse_ech = allowed.tunnel.refuse_ech || rule.tunnel.refuse_ech;
    const bool options = allowed.tunnel.any_sni || allowed.tunnel.refuse_ech;
    gathered.rules.tunnel_options = gathered.rules.tunnel_options || options;
  }
}

void add_deny(Gathered& gathered, const Rule& rule, const Origin& origin) {
  const bool whole_host = rule.endpoints.empty();
  HostIndexBuilder& index = whole_host ? gathered.deny : gathered.deny_paths;
  std::vector<Denial>& denials = gathered.rules.denials;
  for (const std::optional<Port> port : each_port(rule.ports)) {
    HostIndex::Entry& entry = index.place(rule.host, port);
    if (entry == HostIndex::no_entry) {
      entry = static_cast<HostIndex::Entry>(denials.size());
      denials.push_back(Denial{rule.text, origin.text, {}});
    }
    append(denials[entry].endpoints, rule.endpoints);
    const Cidr* range = std::get_if<Cidr>(&rule.host);
    if (whole_host && range != nullptr) {
      gathered.addresses.denied.push_back(AddressPolicy::Denied{*range, port, rule.text});
    }
  }
}

bool is_localhost(const Host& host) {
  return host.is_name() &&
         (host.name().text() == "localhost" || host.name().text().ends_with(".localhost"));
}

void add_route(Gathered& gathered, const CredentialRoute& written) {
  Faults& faults = gathered.faults;
  if (!written.upstream) {
    const std::string what = fmt::format("credential {} has no upstream", written.name);
    faults.add(written.origin, Error{Side::self, ErrorCode::bad_input, what});
    return;
  }
  const HostPort& upstream = *written.upstream;
  const std::string label = "credential " + written.name;
  std::vector<Endpoint> endpoints;
  for (const EndpointRule& rule : written.endpoints) {
    Result<Endpoint> endpoint = parse_endpoint(rule, label);
    if (endpoint) {
      endpoints.push_back(std::move(*endpoint));
    } else {
      faults.add(rule.origin, std::move(endpoint.error()));
    }
  }
  std::vector<Route>& routes = gathered.rules.routes;
  const std::size_t index = routes.size();
  routes.push_back(Route{upstream, written.name, written.tls, is_localhost(upstream.host)});

  Allowed& allowed = allowed_at(gathered, exactly(upstream.host), upstream.port);
  if (allowed.routes.empty()) allowed.because = Because{Reason::credential_route, label};
  allowed.routes.push_back(index);
  allowed.tls_route = allowed.tls_route || written.tls;
  append(allowed.endpoints, endpoints);
}

std::string spelled(Spelling spelling, std::string_view pattern, std::optional<Port> port) {
  std::string text(pattern);
  if (spelling != Spelling::with_port) return text;
  return text + ':' + (port ? std::to_string(port->value()) : "*");
}

// What can be said of this rule without keeping it.
Spelling spelling_of(const Allowed& allowed, std::string_view pattern, std::optional<Port> port) {
  const bool plain = allowed.endpoints.empty() && allowed.routes.empty() &&
                     !allowed.tunnel.any_sni && !allowed.tunnel.refuse_ech &&
                     allowed.because.reason == Reason::rule_allows && !pattern.empty();
  if (!plain) return Spelling::own;
  for (Spelling spelling : {Spelling::pattern, Spelling::with_port}) {
    if (allowed.because.rule == spelled(spelling, pattern, port)) return spelling;
  }
  return Spelling::own;
}

// Makes the indexes, with one entry in place of all the plain ones.
void make_indexes(Gathered& gathered, const SipKey& key) {
  CompiledRules& rules = gathered.rules;
  std::vector<Allowed> kept;
  for (Spelling spelling : {Spelling::pattern, Spelling::with_port}) {
    Allowed plain;
    plain.because.reason = Reason::rule_allows;
    plain.spelling = spelling;
    kept.push_back(std::move(plain));
  }
  const auto keep = [&](std::string_view pattern, std::optional<Port> port,
                        HostIndex::Entry entry) {
    Allowed& allowed = rules.allowed[entry];
    const Spelling spelling = spelling_of(allowed, pattern, port);
    if (spelling != Spelling::own) return static_cast<HostIndex::Entry>(spelling) - 1;
    kept.push_back(std::move(allowed));
    return static_cast<HostIndex::Entry>(kept.size() - 1);
  };
  rules.allow = gathered.allow.finish(key, keep);
  kept.shrink_to_fit();
  rules.allowed = std::move(kept);
  rules.deny = gathered.deny.finish(key);
  rules.deny_paths = gathered.deny_paths.finish(key);
}

Cidr every_v4() {
  return Cidr(IpAddress::v4({}), 0);
}
Cidr every_v6() {
  return Cidr(IpAddress::v6({}), 0);
}

void set_addresses(CompiledRules& compiled, AddressPolicy addresses) {
  // An open network filters nothing but what is never allowed.
  if (compiled.mode == NetworkMode::open) addresses.allow_private = {every_v4(), every_v6()};
  compiled.addresses = std::make_shared<const AddressPolicy>(addresses);
  for (const char* range : {"127.0.0.0/8", "::1"}) {
    addresses.allow_private.push_back(*Cidr::parse(range));
  }
  compiled.addresses_and_loopback = std::make_shared<const AddressPolicy>(std::move(addresses));
}

}  // namespace

void set_because(Because& because, const CompiledRules& rules, const HostIndex::Found& found) {
  const HostIndex::Entry entry =
      found.entry == HostIndex::no_entry ? found.other_port : found.entry;
  const Allowed& allowed = rules.allowed[entry];
  because.reason = allowed.because.reason;
  if (allowed.spelling == Spelling::own) {
    because.rule = allowed.because.rule;
    return;
  }
  because.rule = found.below ? "*." : "";
  because.rule += found.name;
  if (allowed.spelling == Spelling::with_port) {
    because.rule += ':';
    because.rule += found.port ? std::to_string(found.port->value()) : "*";
  }
}

Because because_of(const CompiledRules& rules, const HostIndex::Found& found) {
  Because because;
  set_because(because, rules, found);
  return because;
}

Result<CompiledRules> compile(const NetworkRules& rules,
                              const std::vector<CredentialRoute>& routes) {
  Gathered gathered;
  gathered.rules.mode = rules.mode;
  gathered.rules.observe = rules.observe;
  gathered.rules.open_ports = rules.open_ports;
  gathered.addresses.allow_private = rules.allow_private;
  gathered.addresses.observe = rules.observe;
  for (const HostRule& written : rules.allow) {
    Result<Rule> rule = parse_rule(written, RuleUse::allow);
    if (rule) {
      add_allow(gathered, *rule);
    } else {
      gathered.faults.add(written.origin, std::move(rule.error()));
    }
  }
  for (const HostRule& written : rules.deny) {
    Result<Rule> rule = parse_rule(written, RuleUse::deny);
    if (rule) {
      add_deny(gathered, *rule, written.origin);
    } else {
      gathered.faults.add(written.origin, std::move(rule.error()));
    }
  }
  for (const CredentialRoute& route : routes) add_route(gathered, route);
  if (gathered.faults.any()) return fail(gathered.faults.as_one());
  const std::optional<SipKey> key = SipKey::random();
  if (!key)
    return fail(ErrorCode::io, "the system gives no random numbers for indexing host rules");
  make_indexes(gathered, *key);
  set_addresses(gathered.rules, std::move(gathered.addresses));
  return std::move(gathered.rules);
}

}  // namespace nono::policy
