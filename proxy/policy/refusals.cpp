#include "proxy/policy/refusals.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace nono::policy {
namespace {

// What --allow-domain takes to allow this very target.
std::string as_rule(const HostPort& target) {
  const bool usual = target.port == https_port || target.port == http_port;
  return usual ? target.host.to_string() : target.to_string();
}

std::string allow_flag(const HostPort& target) {
  return "allow it with --allow-domain " + as_rule(target);
}

// Names by which clouds serve instance credentials. Their addresses are refused as well; the names
// are refused so that they are not even looked up.
bool is_metadata_name(std::string_view name) {
  constexpr std::array<std::string_view, 9> names{"metadata",
                                                  "metadata.google.internal",
                                                  "metadata.goog",
                                                  "metadata.azure.internal",
                                                  "metadata.azure.com",
                                                  "metadata.tencentyun.com",
                                                  "api.metadata.cloud.ibm.com",
                                                  "instance-data",
                                                  "instance-data.ec2.internal"};
  if (std::find(names.begin(), names.end(), name) != names.end()) return true;
  if (std::any_of(names.begin() + 1, names.end(), [&](std::string_view parent) {
        return name.size() > parent.size() && name.ends_with(parent) &&
               name[name.size() - parent.size() - 1] == '.';
      })) {
    return true;
  }
  // instance-data.REGION.compute.internal
  return name.starts_with("instance-data.") && name.ends_with(".compute.internal");
}

// A path may be as long as a request head; a sentence should not. What is cut off becomes `**`, so
// that the shortened path is still a pattern that covers it.
std::string shortened(std::string_view path) {
  constexpr std::size_t shown_octets_max = 100;
  path = path.substr(0, path.find('?'));
  if (path.size() <= shown_octets_max) return std::string(path);
  return fmt::format("{}/**", path.substr(0, path.rfind('/', shown_octets_max)));
}

// What --allow-domain takes to allow this path of the target.
std::string as_url_rule(const HostPort& target, std::string_view path) {
  const bool http = target.port == http_port;
  std::string authority = target.to_string();
  if (http || target.port == https_port) authority.erase(authority.rfind(':'));
  return fmt::format("{}://{}{}", http ? "http" : "https", authority, path);
}

}  // namespace

Refusal blocked_refusal(const HostPort& target) {
  return Refusal{Because{Reason::network_blocked, "--block-net"},
                 fmt::format("{} is refused because the network is blocked", target.to_string()),
                 fmt::format("run it without --block-net and {}", allow_flag(target))};
}

std::optional<Refusal> always_denied_refusal(const HostPort& target) {
  std::string_view kind = "a cloud metadata service";
  if (target.host.is_name()) {
    if (!is_metadata_name(target.host.name().text())) return std::nullopt;
  } else {
    const AddressClass address_class = classify(target.host.address());
    if (!never_allowed(address_class)) return std::nullopt;
    kind = describe(address_class);
  }
  return Refusal{
      Because{Reason::always_denied, {}},
      fmt::format("{} is {}, which is never allowed", target.to_string(), kind),
      "no rule or flag allows it; pass what the program needs with --credential or --set-env"};
}

Refusal loopback_refusal(const HostPort& target) {
  Refusal refusal;
  refusal.because.reason = Reason::no_rule;
  refusal.detail = fmt::format("nothing listens on {} inside the sandbox", target.to_string());
  refusal.fix = fmt::format("--open-port {} leads to this machine's own", target.port.value());
  return refusal;
}

Refusal denied_refusal(const HostPort& target, const Denial& denial) {
  std::string fix = fmt::format("remove the deny rule {}", denial.rule);
  if (!denial.origin.empty()) fix += fmt::format(" ({})", denial.origin);
  return Refusal{Because{Reason::rule_denies, denial.rule},
                 fmt::format("{} is denied by the rule {}", target.to_string(), denial.rule),
                 std::move(fix)};
}

Refusal no_rule_refusal(const HostPort& target, const CompiledRules& rules,
                        const HostIndex::Found& found) {
  const Host& host = target.host;
  Refusal refusal{Because{Reason::no_rule, {}}, target.to_string() + " is in no rule",
                  allow_flag(target)};
  if (found.other_port != HostIndex::no_entry) {
    refusal.detail += fmt::format("; {} does not cover port {}", because_of(rules, found).rule,
                                  target.port.value());
    return refusal;
  }
  if (!host.is_name()) {
    const AddressClass address_class = classify(host.address());
    if (address_class != AddressClass::public_internet) {
      refusal.because.reason = Reason::private_address;
      refusal.detail =
          fmt::format("{} is {} that no rule names", target.to_string(), describe(address_class));
    }
    return refusal;
  }
  // The rule's star was meant to cover this one, perhaps.
  const HostIndex::Found below = rules.allow.find_below(host.name(), target.port);
  if (below.entry != HostIndex::no_entry) {
    refusal.detail += fmt::format("; {} covers only names below it", because_of(rules, below).rule);
  }
  return refusal;
}

Refusal endpoint_refusal(const HostPort& target, const Allowed& allowed, const CompiledRules& rules,
                         const std::string& rule, std::string_view method, std::string_view path) {
  const std::string shown = shortened(path);
  std::string fix = "allow it with --allow-domain " + as_url_rule(target, shown);
  if (!allowed.routes.empty()) {
    fix = fmt::format("allow it with --allow-endpoint {}:{}:{}",
                      rules.routes[allowed.routes.front()].name, method, shown);
  }
  return Refusal{
      Because{Reason::endpoint_denied, rule},
      fmt::format("{} {} is in no endpoint rule of {}", method, shown, target.host.to_string()),
      std::move(fix)};
}

Refusal denied_endpoint_refusal(const HostPort& target, const Denial& denial,
                                std::string_view method, std::string_view path) {
  Refusal refusal = denied_refusal(target, denial);
  refusal.detail = fmt::format("{} {} on {} is denied by the rule {}", method, shortened(path),
                               target.host.to_string(), denial.rule);
  return refusal;
}

Refusal name_refusal(const HostName& name, const CompiledRules& rules) {
  const HostPort target{name, https_port};
  Refusal refusal = no_rule_refusal(target, rules, HostIndex::Found{});
  // No port is asked for yet, so none is named.
  refusal.detail.replace(0, target.to_string().size(), name.text());
  return refusal;
}

Refusal unclear_path_refusal(const HostPort& target, const Error& error) {
  return Refusal{Because{Reason::endpoint_denied, {}},
                 fmt::format("{}, which cannot be judged by the path rules of {}", error.what,
                             target.host.to_string()),
                 error.fix};
}

}  // namespace nono::policy
