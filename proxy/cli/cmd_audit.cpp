// nono audit: verify, hosts.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "proxy/audit/needs.hpp"
#include "proxy/audit/verify.hpp"
#include "proxy/cli/audit_rules.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/console.hpp"

namespace nono::cli {

namespace {

// The log is whole but for the end of its last line, as after a crash.
constexpr int exit_incomplete = 3;

int exit_code(const audit::Verdict& verdict) {
  if (!verdict.whole()) return exit_error;
  return verdict.incomplete.empty() ? 0 : exit_incomplete;
}

nlohmann::json as_json(const std::vector<audit::Finding>& findings) {
  nlohmann::json list = nlohmann::json::array();
  for (const audit::Finding& finding : findings) {
    list.push_back({{"file", finding.file}, {"line", finding.line}, {"what", finding.what}});
  }
  return list;
}

std::string json_text(const audit::Verdict& verdict) {
  nlohmann::json result{{"whole", verdict.whole()},
                        {"lines", verdict.lines},
                        {"bytes", verdict.bytes},
                        {"chain", verdict.chain},
                        {"lost_records", verdict.lost},
                        {"problems", as_json(verdict.problems)},
                        {"problems_total", verdict.problems_total},
                        {"remarks", as_json(verdict.remarks)}};
  if (verdict.first_sequence) result["first_seq"] = *verdict.first_sequence;
  if (verdict.last_sequence) result["last_seq"] = *verdict.last_sequence;
  result["incomplete"] = nlohmann::json::array();
  for (const audit::Incomplete& torn : verdict.incomplete) {
    result["incomplete"].push_back(
        {{"file", torn.file}, {"bytes", torn.bytes}, {"whole_lines", torn.whole_lines}});
  }
  // File names need not be UTF-8.
  return result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string plain_text(const audit::Verdict& verdict) {
  std::string text;
  const auto tell = [&](const audit::Finding& finding) {
    text += fmt::format("{}:{}: {}\n", printable(finding.file), finding.line, finding.what);
  };
  for (const audit::Finding& finding : verdict.problems) tell(finding);
  if (verdict.problems_total > verdict.problems.size()) {
    text += fmt::format("and {} more\n", verdict.problems_total - verdict.problems.size());
  }
  for (const audit::Finding& finding : verdict.remarks) tell(finding);
  for (const audit::Incomplete& torn : verdict.incomplete) {
    text += fmt::format("{}: the last line is incomplete: {} {}; the log up to line {} is {}\n",
                        printable(torn.file), torn.bytes, torn.bytes == 1 ? "byte" : "bytes",
                        torn.whole_lines, verdict.whole() ? "whole" : "as said above");
  }
  const std::string lines =
      fmt::format("{} {}", verdict.lines, verdict.lines == 1 ? "line" : "lines");
  if (!verdict.whole()) {
    return text + fmt::format("broken: {} {} in {}\n", verdict.problems_total,
                              verdict.problems_total == 1 ? "problem" : "problems", lines);
  }
  if (verdict.lines == 0) return text + "whole: no lines\n";
  return text + fmt::format("whole: {}, seq {} to {}, last chain value {}\n", lines,
                            verdict.first_sequence.value_or(0), verdict.last_sequence.value_or(0),
                            verdict.chain);
}

int verify(const AuditOptions& options) {
  const Result<audit::Verdict> verdict = audit::verify(options.files);
  if (!verdict) return complain(verdict.error());
  if (options.json) {
    print_out(json_text(*verdict));
  } else if (!options.common.silent || !verdict->whole()) {
    print_out(plain_text(*verdict));
  }
  return exit_code(*verdict);
}

int hosts(const AuditOptions& options) {
  const Result<audit::Needs> needs = audit::read_needs(options.files);
  if (!needs) return complain(needs.error());
  print_out(rules_text(*needs, plan_rules(*needs), options.format, options.refused));
  return 0;
}

}  // namespace

int audit_command(const AuditOptions& options, const UserContext&) {
  return options.action == AuditOptions::Action::verify ? verify(options) : hosts(options);
}

}  // namespace nono::cli
