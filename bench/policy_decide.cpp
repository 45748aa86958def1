// What one policy decision costs with ten and with a hundred thousand host rules. Prints JSON:
// nanoseconds per decision and their ratio, for targets that are used as people use them (Zipf),
// spread evenly over all rules, always the same few, and in no rule at all.
//
//   bench_policy_decide [RULES [ROUNDS]]
//
// Both engines are asked for the same hosts: the ten rules have a star for each team's hosts. They
// are asked in turn within each round, in small batches whose targets were parsed just before, as a
// proxy does it; the figure is the median over the rounds.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "proxy/policy/engine.hpp"

using namespace nono;

namespace {

constexpr std::size_t batch = 32;
constexpr std::size_t batches = 400;

constexpr std::size_t teams = 10;

std::string team_text(std::size_t i) {
  return "team" + std::to_string(i % teams) + ".example.com";
}

// The hosts that rule `i` of many is about: one in four rules has a star.
std::string rule_text(std::size_t i) {
  const std::string name = "service-" + std::to_string(i * 7919 % 1'000'003) + '.' + team_text(i);
  return i % 4 == 3 ? "*." + name : name;
}

std::string target_text(std::size_t i) {
  const std::string rule = rule_text(i);
  return rule[0] == '*' ? "host" + rule.substr(1) : rule;
}

std::vector<std::string> few_rules() {
  std::vector<std::string> rules;
  for (std::size_t i = 0; i < teams; ++i) rules.push_back("*." + team_text(i));
  return rules;
}

std::vector<std::string> many_rules(std::size_t count) {
  std::vector<std::string> rules;
  for (std::size_t i = 0; i < count; ++i) rules.push_back(rule_text(i));
  return rules;
}

std::shared_ptr<const policy::Engine> make_engine(const std::vector<std::string>& allowed) {
  NetworkRules rules;
  rules.mode = NetworkMode::filtered;
  for (const std::string& rule : allowed) rules.allow.push_back(HostRule{rule, {}, {}});
  auto engine = policy::Engine::make(rules, {});
  if (!engine) {
    std::fprintf(stderr, "%s\n", engine.error().what.c_str());
    std::exit(1);
  }
  return *engine;
}

enum class Pattern : std::uint8_t { hot, zipf, spread, absent };

// Which rule is asked for next.
class Chooser {
 public:
  Chooser(Pattern pattern, std::size_t rules, unsigned seed)
      : pattern_(pattern), rules_(rules), random_(seed) {}

  std::string next() {
    std::uniform_real_distribution<double> unit(0, 1);
    std::size_t i = 0;
    switch (pattern_) {
      case Pattern::hot:
        i = random_() % std::min<std::size_t>(10, rules_);
        break;
      case Pattern::zipf:
        // Exponent 1: the inverse of ln(x) / ln(n); popular rules lie anywhere in the list.
        i = static_cast<std::size_t>(std::pow(static_cast<double>(rules_), unit(random_))) - 1;
        i = i * 48'271 % rules_;
        break;
      case Pattern::spread:
        i = random_() % rules_;
        break;
      case Pattern::absent:
        return "host" + std::to_string(random_() % 1'000'000) + ".elsewhere.example.org";
    }
    return target_text(std::min(i, rules_ - 1));
  }

 private:
  Pattern pattern_;
  std::size_t rules_;
  std::mt19937_64 random_;
};

// Time on the CPU: other processes of the machine are not counted.
double cpu_nanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

double nanoseconds_per_decision(const policy::Engine& engine, Chooser& chooser, bool allowed) {
  double spent = 0;
  for (std::size_t b = 0; b < batches; ++b) {
    std::vector<HostPort> targets;
    for (std::size_t i = 0; i < batch; ++i) {
      targets.push_back(*parse_host_port(chooser.next(), https_port));
    }
    std::size_t permits = 0;
    const double start = cpu_nanoseconds();
    for (const HostPort& target : targets) {
      permits += std::holds_alternative<Permit>(engine.decide(target)) ? 1 : 0;
    }
    spent += cpu_nanoseconds() - start;
    if (permits != (allowed ? batch : 0)) std::exit(3);
  }
  return spent / static_cast<double>(batch * batches);
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 100'000;
  const std::size_t rounds = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 61;
  if (count < teams || rounds == 0 || rounds > 1000) return 2;
  const auto few = make_engine(few_rules());
  const auto many = make_engine(many_rules(count));
  struct Row {
    Pattern pattern;
    const char* name;
  };
  const Row rows[] = {{Pattern::zipf, "zipf"},
                      {Pattern::spread, "spread"},
                      {Pattern::hot, "hot"},
                      {Pattern::absent, "no_rule"}};
  std::printf("{\"rules\": [%zu, %zu], \"nanoseconds_per_decision\": {", teams, count);
  for (const Row& row : rows) {
    Chooser choose_few(row.pattern, count, 1);
    Chooser choose_many(row.pattern, count, 1);
    const bool allowed = row.pattern != Pattern::absent;
    std::vector<double> of_few, of_many, ratios;
    for (std::size_t round = 0; round < rounds; ++round) {
      of_few.push_back(nanoseconds_per_decision(*few, choose_few, allowed));
      of_many.push_back(nanoseconds_per_decision(*many, choose_many, allowed));
      ratios.push_back(of_many.back() / of_few.back());
    }
    std::printf("%s\"%s\": [%.0f, %.0f, %.2f]", row.pattern == Pattern::zipf ? "" : ", ", row.name,
                median(of_few), median(of_many), median(ratios));
  }
  std::printf("}}\n");
  return 0;
}
