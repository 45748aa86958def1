// The rules that nono audit hosts makes of a log, hostile ones included.

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "proxy/audit/format.hpp"
#include "proxy/cli/audit_rules.hpp"
#include "tests/support/temp_dir.hpp"

namespace nono::cli {

namespace {

using audit::Kind;
using audit::Record;
using Format = AuditOptions::Format;

// A log made of records; the chain is of no matter here.
class Job {
 public:
  Job& decided(const std::string& host, std::uint16_t port, Reason reason,
               const std::string& rule = {}) {
    Record record;
    record.host = host;
    record.port = port;
    record.allowed = reason == Reason::rule_allows || reason == Reason::credential_route ||
                     reason == Reason::open_network || reason == Reason::observed;
    record.because = {reason, rule};
    return add(record);
  }
  Job& ended(const std::string& host, std::uint16_t port, const std::string& address,
             Reason reason = Reason::rule_allows) {
    Record record;
    record.kind = Kind::end;
    record.host = host;
    record.port = port;
    record.allowed = reason == Reason::rule_allows;
    record.because.reason = reason;
    record.address = address;
    record.bytes_to_client = 3'000'000;
    return add(record);
  }
  Job& raw(const std::string& line) {
    text_ += line + "\n";
    return *this;
  }
  std::string rules(Format format = Format::flags, bool refused = false) const {
    const testing::TempDir dir;
    const auto needs = audit::read_needs({dir.write("audit.jsonl", text_)});
    REQUIRE(needs);
    return rules_text(*needs, plan_rules(*needs), format, refused);
  }
  // The lines of flags, without comments.
  std::vector<std::string> flags(bool refused = false) const {
    std::istringstream in(rules(Format::flags, refused));
    std::vector<std::string> flags;
    for (std::string line; std::getline(in, line);) {
      line.resize(std::min(line.find('#'), line.size()));
      line.resize(line.find_last_not_of(' ') + 1);
      if (!line.empty()) flags.push_back(line);
    }
    return flags;
  }

 private:
  Job& add(const Record& record) {
    audit::append_number(text_, 0);
    std::string room;
    text_ += audit::record_text(room, record);
    text_ += ",\"chain\":\"\"}\n";
    return *this;
  }
  std::string text_;
};

using Flags = std::vector<std::string>;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a host is named once, and its port only where it is neither 443 nor 80") {
  Job job;
  job.decided("api.example.com", 443, Reason::observed)
      .decided("api.example.com", 80, Reason::rule_allows, "*.example.com")
      .decided("db.example.com", 5432, Reason::observed)
      .decided("203.0.113.7", 443, Reason::observed)
      .decided("8.8.8.8", 853, Reason::observed)
      .decided("2606:4700::1111", 8443, Reason::observed)
      .ended("api.example.com", 443, "93.184.216.34");
  CHECK(job.flags() == Flags{"--allow-domain 203.0.113.7", "--allow-domain 8.8.8.8:853",
                             "--allow-domain '[2606:4700::1111]:8443'",
                             "--allow-domain api.example.com",
                             "--allow-domain db.example.com:5432"});
  CHECK(has(job.rules(), "2 times, 1 by observing, 0 B up, 2.9 MiB down"));
}

TEST_CASE("what was refused is shown only on request, and never as a flag in force") {
  Job job;
  job.decided("good.example.com", 443, Reason::rule_allows, "good.example.com")
      .decided("evil.example.com", 443, Reason::no_rule);
  CHECK(job.flags() == Flags{"--allow-domain good.example.com"});
  CHECK(job.flags(true) == Flags{"--allow-domain good.example.com"});
  CHECK_FALSE(has(job.rules(), "evil"));
  const std::string shown = job.rules(Format::flags, true);
  CHECK(has(shown, "# --allow-domain evil.example.com"));
  CHECK(has(shown, "refused once: no_rule"));
  const auto json = nlohmann::json::parse(job.rules(Format::json, true));
  CHECK(json["refused"][0]["rule"] == "evil.example.com");
  CHECK_FALSE(nlohmann::json::parse(job.rules(Format::json)).contains("refused"));
}

TEST_CASE("addresses that no rule can allow are never suggested") {
  Job job;
  for (const char* host : {"169.254.169.254", "fd00:ec2::254", "fe80::1", "100.100.100.200",
                           "metadata.google.internal"}) {
    job.decided(host, 80, Reason::observed).decided(host, 80, Reason::always_denied);
  }
  job.decided("inside.example.com", 443, Reason::observed)
      .ended("inside.example.com", 443, "169.254.169.254");
  CHECK(job.flags(true) == Flags{"--allow-domain inside.example.com"});
  CHECK(has(job.rules(), "# 169.254.169.254 is left out: no rule allows it"));
}

TEST_CASE("a name that was reached at a private address needs that address allowed") {
  Job job;
  job.decided("git.corp.example", 443, Reason::observed)
      .ended("git.corp.example", 443, "10.1.2.3")
      .decided("ci.corp.example", 443, Reason::observed)
      .ended("ci.corp.example", 443, "fd12::7")
      .decided("10.9.9.9", 8080, Reason::rule_allows, "10.9.9.9:8080")
      .ended("10.9.9.9", 8080, "10.9.9.9");
  CHECK(job.flags() == Flags{"--allow-domain 10.9.9.9:8080", "--allow-domain ci.corp.example",
                             "--allow-domain git.corp.example", "--allow-private 10.1.2.3",
                             "--allow-private fd12::7"});
}

TEST_CASE("a host that was never reached is named, and not allowed") {
  Job job;
  job.decided("typo.exmaple", 443, Reason::observed)
      .ended("typo.exmaple", 443, "", Reason::upstream_failed)
      .decided("private.example.com", 443, Reason::observed)
      .ended("private.example.com", 443, "", Reason::private_address);
  CHECK(job.flags().empty());
  CHECK(has(job.rules(), "# --allow-domain typo.exmaple"));
  CHECK(has(job.rules(), "allowed, but never reached"));
  CHECK(has(job.rules(Format::flags, true), "private_address"));
}

TEST_CASE("a credential's host needs the credential and no rule") {
  Job job;
  job.decided("api.openai.com", 443, Reason::credential_route, "credential openai")
      .decided("api.github.com", 443, Reason::credential_route, "credential github")
      .decided("api.github.com", 443, Reason::observed);
  CHECK(job.flags() ==
        Flags{"--allow-domain api.github.com", "--credential github", "--credential openai"});
}

TEST_CASE("a rule with a path stays as narrow as it was") {
  Job job;
  job.decided("files.example.com", 443, Reason::rule_allows, "https://files.example.com/public/**")
      .decided("lies.example.com", 443, Reason::rule_allows, "https://other.example.com/**");
  CHECK(job.flags() == Flags{"--allow-domain 'https://files.example.com/public/**'",
                             "--allow-domain lies.example.com"});
}

TEST_CASE("wildcards are mentioned where they would stand for many, and never made up") {
  Job job;
  for (int i = 0; i < 7; ++i) {
    job.decided("n" + std::to_string(i) + ".cdn.example.com", 443, Reason::observed);
    job.decided("n" + std::to_string(i) + ".co.uk", 443, Reason::observed);
  }
  CHECK(job.flags().size() == 14);
  CHECK(has(job.rules(), "# 7 names are below cdn.example.com: '*.cdn.example.com'"));
  CHECK_FALSE(has(job.rules(), "*.co.uk"));
}

TEST_CASE("a name without a dot is not taken for a named set of hosts") {
  Job job;
  job.decided("github", 443, Reason::observed).decided("developer", 80, Reason::observed);
  CHECK(job.flags() == Flags{"--allow-domain developer:80", "--allow-domain github:443"});
}

TEST_CASE("nothing that is no host gets out of a hostile log") {
  Job job;
  for (const std::string host : {"x; rm -rf /",
                                 "$(id)",
                                 "`id`",
                                 "a\nb.example",
                                 "-oProxy=x",
                                 "--observe",
                                 "a b",
                                 "'",
                                 "\x1b[31mred",
                                 "UPPER.example",
                                 "xn--",
                                 "*",
                                 "*.example.com",
                                 "..",
                                 "10.0.0.0/8",
                                 "0x7f.1",
                                 "a.example\" --allow-domain '*",
                                 "null\\",
                                 "#",
                                 "a.example:443",
                                 "\xff\xfe.example",
                                 "https://a.example/"}) {
    job.decided(host, 443, Reason::observed).decided(host, 443, Reason::no_rule);
  }
  job.decided("fine.example.com", 443, Reason::credential_route, "credential '; id")
      .decided("fine.example.com", 443, Reason::rule_allows, "https://fine.example.com/$(id)'/**");
  job.raw("not json").raw("{").raw("{\"kind\":\"decision\",\"host\":\"x.example\",\"port\":99999}");
  job.raw(
      "{\"kind\":\"decision\",\"decision\":\"refuse\",\"reason\":\"$(x)\",\"host\":\"a.example\"}");
  for (const bool refused : {false, true}) {
    CHECK(job.flags(refused) == Flags{"--allow-domain fine.example.com"});
    for (const Format format : {Format::flags, Format::yaml, Format::json}) {
      const std::string text = job.rules(format, refused);
      for (const char* part : {"rm -rf", "$(", "`", "\x1b", "--observe", "\\n"}) {
        INFO(text);
        CHECK_FALSE(has(text, part));
      }
      for (const char c : text) REQUIRE((c == '\n' || (c >= ' ' && c <= '~')));
    }
  }
  CHECK(has(job.rules(), " lines could not be read; see nono audit verify"));
}

TEST_CASE("an empty log needs nothing, in every format") {
  const Job job;
  CHECK(job.flags().empty());
  CHECK(nlohmann::json::parse(job.rules(Format::json))["allow_domain"].empty());
}

}  // namespace nono::cli
