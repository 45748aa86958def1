#include "config/base/permit.hpp"

#include <algorithm>

namespace nono {

std::string_view to_string(Reason reason) {
  switch (reason) {
    case Reason::rule_allows:
      return "rule_allows";
    case Reason::credential_route:
      return "credential_route";
    case Reason::open_network:
      return "open_network";
    case Reason::observed:
      return "observed";
    case Reason::no_rule:
      return "no_rule";
    case Reason::rule_denies:
      return "rule_denies";
    case Reason::network_blocked:
      return "network_blocked";
    case Reason::always_denied:
      return "always_denied";
    case Reason::private_address:
      return "private_address";
    case Reason::endpoint_denied:
      return "endpoint_denied";
    case Reason::bad_target:
      return "bad_target";
    case Reason::foreign_credential:
      return "foreign_credential";
    case Reason::phantom_elsewhere:
      return "phantom_elsewhere";
    case Reason::no_token:
      return "no_token";
    case Reason::authority_mismatch:
      return "authority_mismatch";
    case Reason::limit:
      return "limit";
    case Reason::upstream_failed:
      return "upstream_failed";
    case Reason::secret_missing:
      return "secret_missing";
    case Reason::internal:
      return "internal";
    case Reason::malformed:
      return "malformed";
  }
  return "no_rule";
}

const AddressPolicy::Denied* AddressPolicy::denies(const IpAddress& address, Port port) const {
  if (denied.empty()) return nullptr;
  const std::vector<IpAddress> inside = embedded_v4(address);
  const auto found = std::find_if(denied.begin(), denied.end(), [&](const Denied& rule) {
    if (rule.port && *rule.port != port) return false;
    return rule.range.contains(address) ||
           std::any_of(inside.begin(), inside.end(),
                       [&](const IpAddress& v4) { return rule.range.contains(v4); });
  });
  return found == denied.end() ? nullptr : &*found;
}

}  // namespace nono
