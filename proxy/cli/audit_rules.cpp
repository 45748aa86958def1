#include "proxy/cli/audit_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <variant>

#include "proxy/cli/console.hpp"
#include "proxy/policy/engine.hpp"

namespace nono::cli {

namespace {

using audit::HostUse;
using audit::Needs;

constexpr std::size_t siblings_min = 6;  // from so many on a wildcard is mentioned

// Would this rule, alone, allow this target? Says no to whatever no rule can allow.
bool rule_allows(const std::string& rule, const HostPort& target) {
  NetworkRules rules;
  rules.mode = NetworkMode::filtered;
  rules.allow.push_back(HostRule{rule, {}, {}});
  const auto engine = policy::Engine::make(rules, {});
  return engine && std::holds_alternative<Permit>((*engine)->decide(target));
}

// The host of a log's line, if it is one in its normal form.
std::optional<Host> host_of(const std::string& text) {
  Result<Host> host = parse_host(text);
  if (!host || host->to_string() != text) return std::nullopt;
  return std::move(*host);
}

// Ports 443 and 80 need not be written, but where the name could be taken for a set of hosts.
std::string rule_for(const HostPort& target) {
  const bool usual = target.port == https_port || target.port == http_port;
  const std::string host = target.host.to_string();
  const bool plain = !target.host.is_name() || host.find('.') != std::string::npos;
  return usual && plain ? host : target.to_string();
}

bool is_url(std::string_view rule) {
  return rule.starts_with("https://") || rule.starts_with("http://");
}

// Safe within single quotes of a shell and double quotes of YAML, on one line.
bool printable_rule(std::string_view rule) {
  constexpr std::string_view marks = "-._~:/*[]@!$&()+,;=%";
  return rule.size() <= 2'048 && std::all_of(rule.begin(), rule.end(), [&](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  marks.find(c) != std::string_view::npos;
         });
}

bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= 128 && text[0] != '-' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-' || c == '.';
         });
}

void add_use(RulePlan::Rules& rules, const std::string& text, std::uint64_t decisions,
             const HostUse& use) {
  RulePlan::Use& rule = rules[text];
  rule.decisions += decisions;
  rule.observed += use.observed;
  rule.bytes_to_upstream += use.bytes_to_upstream;
  rule.bytes_to_client += use.bytes_to_client;
  for (const std::string& reason : use.reasons) {
    if (is_word(reason)) rule.reasons.insert(reason);
  }
}

// The rules with a path by which the host was allowed, if by no others.
std::vector<std::string> url_rules(const HostUse& use, const HostPort& target) {
  std::vector<std::string> rules;
  for (const std::string& rule : use.rules) {
    if (!is_url(rule) || !printable_rule(rule) || !rule_allows(rule, target)) return {};
    rules.push_back(rule);
  }
  return rules;
}

class Planner {
 public:
  void add(const std::string& host_text, std::uint16_t port, const HostUse& use) {
    const std::optional<Host> host = host_of(host_text);
    if (!host || host_text.starts_with('-')) {
      ++plan_.unusable;
      return;
    }
    const HostPort target{*host, port == 0 ? https_port : Port(port)};
    const std::string rule = rule_for(target);
    if (!printable_rule(rule) || !rule_allows(rule, target)) {
      plan_.forbidden.insert(host_text);
      return;
    }
    if (use.refused > 0) add_use(plan_.refused, rule, use.refused, use);
    if (use.allowed + use.observed == 0) return;
    if (!use.reached()) {
      add_use(plan_.unreached, rule, use.failed, use);
      return;
    }
    if (host->is_name()) add_private(host_text, use);
    for (const std::string& credential : use.credentials) {
      if (is_word(credential)) plan_.credentials[credential].insert(host_text);
    }
    if (use.by_credential_only && use.observed == 0 && !use.credentials.empty()) return;
    const std::vector<std::string> urls = url_rules(use, target);
    for (const std::string& url : urls) add_use(plan_.allow, url, use.allowed + use.observed, use);
    if (urls.empty()) add_use(plan_.allow, rule, use.allowed + use.observed, use);
    if (host->is_name() && urls.empty()) siblings_[below(host_text)].insert({host_text, port});
  }

  RulePlan take() {
    for (const auto& [parent, names] : siblings_) {
      const std::string rule = "*." + parent;
      std::set<std::string> hosts;
      for (const auto& [name, port] : names) hosts.insert(name);
      if (parent.empty() || hosts.size() < siblings_min) continue;
      const Result<Host> one = parse_host(*hosts.begin());
      if (!one || !rule_allows(rule, HostPort{*one, https_port})) continue;
      plan_.wide.emplace(rule, hosts.size());
    }
    return std::move(plan_);
  }

 private:
  static std::string below(const std::string& name) {
    const std::size_t dot = name.find('.');
    return dot == std::string::npos ? std::string() : name.substr(dot + 1);
  }

  void add_private(const std::string& name, const HostUse& use) {
    for (const std::string& text : use.addresses) {
      const Result<IpAddress> address = IpAddress::parse(text);
      if (!address) continue;
      const AddressClass address_class = classify(*address);
      if (address_class == AddressClass::public_internet || never_allowed(address_class)) continue;
      const IpAddress plain = address->unmapped();
      plan_.allow_private[Cidr(plain, plain.is_v4() ? 32 : 128).to_string()].insert(name);
    }
  }

  RulePlan plan_;
  std::map<std::string, std::set<std::pair<std::string, std::uint16_t>>> siblings_;
};

std::string size_text(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  constexpr std::array<const char*, 5> units = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
  return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string times(std::uint64_t count) {
  return count == 1 ? "once" : fmt::format("{} times", count);
}

std::string joined(const std::set<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string use_text(const RulePlan::Use& rule) {
  std::string text = times(rule.decisions);
  if (rule.observed > 0) text += fmt::format(", {} by observing", rule.observed);
  return text + fmt::format(", {} up, {} down", size_text(rule.bytes_to_upstream),
                            size_text(rule.bytes_to_client));
}

// How a format writes its lines.
struct Words {
  std::string head, allow, credential_head, credential, range_head, range, off;
  char quote;

  std::string quoted(const std::string& text) const {
    const bool bare = quote == '\'' && text.find_first_of("*[]!$&();~") == std::string::npos;
    return bare ? text : quote + text + quote;
  }
};

Words words_of(AuditOptions::Format format) {
  if (format == AuditOptions::Format::flags) {
    return {"", "--allow-domain ", "", "--credential ", "", "--allow-private ", "# ", '\''};
  }
  return {"network:\n",         "    - ", "credentials:\n", "  - ",
          "  allow_private:\n", "    - ", "    # - ",       '"'};
}

std::string line(const std::string& begin, const std::string& comment) {
  return fmt::format("{:<50}  # {}\n", begin, comment);
}

std::string remarks_text(const Needs& needs, const RulePlan& plan) {
  std::string text;
  for (const auto& [rule, names] : plan.wide) {
    text += fmt::format("# {} names are below {}: '{}' would allow all that are\n", names,
                        rule.substr(2), rule);
  }
  for (const std::string& host : plan.forbidden) {
    text += "# " + printable(host) + " is left out: no rule allows it\n";
  }
  if (plan.unusable > 0) {
    text +=
        fmt::format("# {} left out: no name or address\n",
                    plan.unusable == 1 ? "1 host is" : fmt::format("{} hosts are", plan.unusable));
  }
  if (needs.unreadable > 0) {
    text += fmt::format("# {} of {} lines could not be read; see nono audit verify\n",
                        needs.unreadable, needs.lines);
  }
  if (!needs.complete) {
    text +=
        fmt::format("# the log names more than {} hosts; the rest is left out\n", Needs::hosts_max);
  }
  return text;
}

std::string plain_text(const Needs& needs, const RulePlan& plan, AuditOptions::Format format,
                       bool refused) {
  const Words words = words_of(format);
  const bool yaml = format == AuditOptions::Format::yaml;
  std::string rules, ranges, credentials;
  for (const auto& [rule, use] : plan.allow) {
    rules += line(words.allow + words.quoted(rule), use_text(use));
  }
  for (const auto& [rule, use] : plan.unreached) {
    rules += line(words.off + (yaml ? "" : words.allow) + words.quoted(rule),
                  "allowed, but never reached");
  }
  if (refused) {
    for (const auto& [rule, use] : plan.refused) {
      rules += line(words.off + (yaml ? "" : words.allow) + words.quoted(rule),
                    "refused " + times(use.decisions) + ": " + joined(use.reasons));
    }
  }
  for (const auto& [range, names] : plan.allow_private) {
    ranges += line(words.range + words.quoted(range), "an address of " + joined(names));
  }
  for (const auto& [name, hosts] : plan.credentials) {
    credentials += line(words.credential + words.quoted(name), "for " + joined(hosts));
  }
  if (yaml && !rules.empty()) {
    // A list of comments alone is no list.
    rules = (plan.allow.empty() ? "  allow_domain: []\n" : "  allow_domain:\n") + rules;
  }
  std::string text;
  if (!rules.empty() || !ranges.empty()) text += words.head;
  text += rules;
  if (!ranges.empty()) text += words.range_head + ranges;
  if (!credentials.empty()) text += words.credential_head + credentials;
  if (text.empty()) text = "# the log tells of nothing that a rule would be needed for\n";
  return text + remarks_text(needs, plan);
}

nlohmann::json as_json(const RulePlan::Rules& rules) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [rule, use] : rules) {
    nlohmann::json entry{{"rule", rule},
                         {"decisions", use.decisions},
                         {"observed", use.observed},
                         {"bytes_to_upstream", use.bytes_to_upstream},
                         {"bytes_to_client", use.bytes_to_client}};
    if (!use.reasons.empty()) entry["reasons"] = use.reasons;
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace

RulePlan plan_rules(const Needs& needs) {
  Planner planner;
  for (const auto& [where, use] : needs.hosts) planner.add(where.first, where.second, use);
  return planner.take();
}

std::string rules_text(const Needs& needs, const RulePlan& plan, AuditOptions::Format format,
                       bool refused) {
  if (format != AuditOptions::Format::json) return plain_text(needs, plan, format, refused);
  nlohmann::json result{{"lines", needs.lines},
                        {"unreadable_lines", needs.unreadable},
                        {"complete", needs.complete},
                        {"allow_domain", as_json(plan.allow)},
                        {"allow_private", plan.allow_private},
                        {"credentials", plan.credentials},
                        {"unreached", as_json(plan.unreached)},
                        {"left_out", plan.unusable + plan.forbidden.size()}};
  if (refused) result["refused"] = as_json(plan.refused);
  return result.dump(2) + "\n";
}

}  // namespace nono::cli
