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

Result<CompiledRules> compile(const NetworkRules& rules,
                              const std::vector<CredentialRoute>& routes) {
  CompiledRules compiled;
  compiled.mode = rules.mode;
  compiled.observe = rules.observe;
  AddressPolicy addresses{rules.allow_private};
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
  set_addresses(compiled, std::move(addresses));
  return compiled;
}

}  // namespace nono::policy
