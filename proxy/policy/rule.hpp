#pragma once
// Rules as values: what a user wrote in an allow or deny list, parsed and checked.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "config/base/permit.hpp"
#include "config/config.hpp"
#include "proxy/policy/path_pattern.hpp"

namespace nono::policy {

// "*.example.com": every name below the suffix, at any depth, but not the suffix itself.
struct NamesBelow {
  HostName suffix;
};
using HostPattern = std::variant<HostName, NamesBelow, Cidr>;

// The pattern that is this one host.
HostPattern exactly(const Host& host);

// One method and path that a rule speaks of.
struct Endpoint {
  std::string method;  // upper case, or "*"
  PathPattern path;
  std::optional<PathPattern> within;  // the URL rule's own path, which must match as well
  std::string text;                   // names it in messages

  bool matches(std::string_view request_method, const std::vector<std::string>& segments) const;
};
// `owner` is the rule or credential it belongs to, for `text`.
Result<Endpoint> parse_endpoint(const EndpointRule& written, std::string_view owner);

struct Rule {
  HostPattern host;
  std::vector<Port> ports;          // empty: every port
  std::vector<Endpoint> endpoints;  // empty: every request
  std::string text;                 // as the user wrote it
  TunnelRules tunnel = {};
};

// allow: no port means 443 and 80; a star on a public suffix, or on everything, is refused.
// deny: no port means every port, so that no way round stays open.
enum class RuleUse : std::uint8_t { allow, deny };

// `example.com`, `*.example.com`, an address, a range, each with `:port` or `:*`; or a URL, whose
// path (if any) is the only one that the rule speaks of. Errors: bad_input, with what to write
// instead.
Result<Rule> parse_rule(const HostRule& written, RuleUse use);

}  // namespace nono::policy
