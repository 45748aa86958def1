// Host rules: the index decides as a walk over all rules would, deny wins, metadata addresses stay
// out of reach, and no other spelling of a host gets another answer. Lines: the target; then rules,
// those of the deny list behind a '-'.
#include "proxy/policy/engine.hpp"
#include "proxy/policy/rule.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace nono;
using namespace nono::fuzz;
using namespace nono::policy;

struct Written {
  NetworkRules rules;
  std::vector<Rule> allow, deny;
};

void add(Written& written, std::string_view line) {
  const bool deny = line.starts_with('-');
  if (deny) line.remove_prefix(1);
  const HostRule rule{std::string(line), {}, Origin{"line"}};
  auto parsed = parse_rule(rule, deny ? RuleUse::deny : RuleUse::allow);
  if (!parsed) {
    expect(parsed.error().code == ErrorCode::bad_input && !parsed.error().what.empty());
    return;
  }
  expect(parsed->text == line);
  (deny ? written.rules.deny : written.rules.allow).push_back(rule);
  (deny ? written.deny : written.allow).push_back(std::move(*parsed));
}

bool speaks_of(const Rule& rule, const HostPort& target) {
  const bool port = rule.ports.empty() || std::find(rule.ports.begin(), rule.ports.end(),
                                                    target.port) != rule.ports.end();
  if (!port) return false;
  if (const auto* name = std::get_if<HostName>(&rule.host))
    return target.host.is_name() && target.host.name() == *name;
  if (const auto* below = std::get_if<NamesBelow>(&rule.host))
    return target.host.is_name() && target.host.name().text().ends_with("." + below->suffix.text());
  return !target.host.is_name() &&
         std::get<Cidr>(rule.host).contains(target.host.address().unmapped());
}

bool any_speaks_of(const std::vector<Rule>& rules, const HostPort& target, bool whole_host) {
  return std::any_of(rules.begin(), rules.end(), [&](const Rule& rule) {
    return speaks_of(rule, target) && (!whole_host || rule.endpoints.empty());
  });
}

bool permits(const Engine& engine, const HostPort& target) {
  return std::holds_alternative<Permit>(engine.decide(target));
}

void expect_sound(const Engine& engine, const Written& written, const HostPort& target) {
  const Decision decision = engine.decide(target);
  const auto* permit = std::get_if<Permit>(&decision);
  const bool address = !target.host.is_name();
  const bool never = address && never_allowed(classify(target.host.address()));
  const bool denied = any_speaks_of(written.deny, target, true);
  const bool allowed = any_speaks_of(written.allow, target, false);
  expect((permit != nullptr) == (allowed && !denied && !never));
  if (permit == nullptr) {
    const Refusal& refusal = std::get<Refusal>(decision);
    expect(!refusal.detail.empty() && refusal.detail.find_first_of("\r\n") == std::string::npos);
    return;
  }
  expect(permit->target() == target);
  const auto request = engine.decide_request(*permit, RequestTarget{"GET", "/a/../b?c"});
  if (request.allowed) expect(request.path == "/b?c" || request.path == "/a/../b?c");
  expect(!engine.decide_request(*permit, RequestTarget{"GET", "/%2e%2e%2fb"}).allowed ||
         permit->handling() == Handling::tunnel);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::string_view target_text = input.line();
  Written written;
  written.rules.mode = NetworkMode::filtered;
  while (!input.rest().empty()) add(written, input.line());
  const auto engine = Engine::make(written.rules, {});
  if (!engine) return 0;
  const auto target = parse_host_port(target_text, https_port);
  if (!target) return 0;
  expect_sound(**engine, written, *target);
  if (const auto shouted = parse_host_port(upper(target_text), https_port))
    expect(permits(**engine, *shouted) == permits(**engine, *target));
  if (!target->host.is_name()) return 0;
  const auto rooted =
      parse_host_port(target->host.to_string() + ".:" + std::to_string(target->port.value()));
  expect(rooted.has_value() && permits(**engine, *rooted) == permits(**engine, *target));
  return 0;
}
