#include "proxy/policy/compiled.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

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

std::vector<std::optional<Port>> each_port(const std::vector<Port>& ports) {
  if (ports.empty()) return {std::nullopt};
  return {ports.begin(), ports.end()};
}

Allowed& allowed_at(CompiledRules& compiled, const HostPattern& host, std::optional<Port> port) {
  HostIndex::Entry& entry = compiled.allow.place(host, port);
  if (entry == HostIndex::no_entry) {
    entry = static_cast<HostIndex::Entry>(compiled.allowed.size());
    compiled.allowed.emplace_back();
  }
  return compiled.allowed[entry];
}

void append(std::vector<Endpoint>& to, const std::vector<Endpoint>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void add_allow(CompiledRules& compiled, const Rule& rule) {
  for (const std::optional<Port> port : each_port(rule.ports)) {
    Allowed& allowed = allowed_at(compiled, rule.host, port);
    if (allowed.because.rule.empty()) allowed.because = Because{Reason::rule_allows, rule.text};
    append(allowed.endpoints, rule.endpoints);
    allowed.tunnel.any_sni = allowed.tunnel.any_sni || rule.tunnel.any_sni;
    allowed.tunnel.refuse_ech = allowed.tunnel.refuse_ech || rule.tunnel.refuse_ech;
    const bool options = allowed.tunnel.any_sni || allowed.tunnel.refuse_ech;
    compiled.tunnel_options = compiled.tunnel_options || options;
  }
}

void add_deny(CompiledRules& compiled, AddressPolicy& addresses, const Rule& rule,
              const Origin& origin) {
  const bool whole_host = rule.endpoints.empty();
  HostIndex& index = whole_host ? compiled.deny : compiled.deny_paths;
  for (const std::optional<Port> port : each_port(rule.ports)) {
    HostIndex::Entry& entry = index.place(rule.host, port);
    if (entry == HostIndex::no_entry) {
      entry = static_cast<HostIndex::Entry>(compiled.denials.size());
      compiled.denials.push_back(Denial{rule.text, origin.text, {}});
    }
    append(compiled.denials[entry].endpoints, rule.endpoints);
    const Cidr* range = std::get_if<Cidr>(&rule.host);
    if (whole_host && range != nullptr) {
      addresses.denied.push_back(AddressPolicy::Denied{*range, port, rule.text});
    }
  }
}

bool is_localhost(const Host& host) {
  return host.is_name() &&
         (host.name().text() == "localhost" || host.name().text().ends_with(".localhost"));
}

void add_route(CompiledRules& compiled, Faults& faults, const CredentialRoute& written) {
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
  const std::size_t index = compiled.routes.size();
  compiled.routes.push_back(
      Route{upstream, written.name, written.tls, is_localhost(upstream.host)});

  Allowed& allowed = allowed_at(compiled, exactly(upstream.host), upstream.port);
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

// Puts one entry in place of all the plain ones, and makes the indexes small.
void finish_indexes(CompiledRules& compiled) {
  std::vector<Allowed> kept;
  for (Spelling spelling : {Spelling::pattern, Spelling::with_port}) {
    Allowed plain;
    plain.because.reason = Reason::rule_allows;
    plain.spelling = spelling;
    kept.push_back(std::move(plain));
  }
  compiled.allow.finish(
      [&](std::string_view pattern, std::optional<Port> port, HostIndex::Entry entry) {
        Allowed& allowed = compiled.allowed[entry];
        const Spelling spelling = spelling_of(allowed, pattern, port);
        if (spelling != Spelling::own) return static_cast<HostIndex::Entry>(spelling) - 1;
        kept.push_back(std::move(allowed));
        return static_cast<HostIndex::Entry>(kept.size() - 1);
      });
  kept.shrink_to_fit();
  compiled.allowed = std::move(kept);
  const auto same = [](std::string_view, std::optional<Port>, HostIndex::Entry entry) {
    return entry;
  };
  compiled.deny.finish(same);
  compiled.deny_paths.finish(same);
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

Because because_of(const CompiledRules& rules, const HostIndex::Found& found) {
  const HostIndex::Entry entry =
      found.entry == HostIndex::no_entry ? found.other_port : found.entry;
  const Allowed& allowed = rules.allowed[entry];
  if (allowed.spelling == Spelling::own) return allowed.because;
  Because because{allowed.because.reason, {}};
  because.rule.reserve(found.name.size() + 8);
  if (found.below) because.rule = "*.";
  because.rule += found.name;
  if (allowed.spelling == Spelling::with_port) {
    because.rule += ':';
    because.rule += found.port ? std::to_string(found.port->value()) : "*";
  }
  return because;
}

Result<CompiledRules> compile(const NetworkRules& rules,
                              const std::vector<CredentialRoute>& routes) {
  CompiledRules compiled;
  compiled.mode = rules.mode;
  compiled.observe = rules.observe;
  compiled.open_ports = rules.open_ports;
  AddressPolicy addresses;
  addresses.allow_private = rules.allow_private;
  addresses.observe = rules.observe;
  Faults faults;
  for (const HostRule& written : rules.allow) {
    Result<Rule> rule = parse_rule(written, RuleUse::allow);
    if (rule) {
      add_allow(compiled, *rule);
    } else {
      faults.add(written.origin, std::move(rule.error()));
    }
  }
  for (const HostRule& written : rules.deny) {
    Result<Rule> rule = parse_rule(written, RuleUse::deny);
    if (rule) {
      add_deny(compiled, addresses, *rule, written.origin);
    } else {
      faults.add(written.origin, std::move(rule.error()));
    }
  }
  for (const CredentialRoute& route : routes) add_route(compiled, faults, route);
  if (faults.any()) return fail(faults.as_one());
  finish_indexes(compiled);
  set_addresses(compiled, std::move(addresses));
  return compiled;
}

}  // namespace nono::policy
