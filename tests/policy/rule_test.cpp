#include "proxy/policy/rule.hpp"

#include <catch2/catch.hpp>

using namespace nono;
using namespace nono::policy;
using namespace std::string_view_literals;

namespace {

Result<Rule> parse(std::string_view text, RuleUse use = RuleUse::allow) {
  return parse_rule(HostRule{std::string(text), {}, {}}, use);
}

std::string shape(const Rule& rule) {
  std::string text;
  if (const auto* name = std::get_if<HostName>(&rule.host)) text = name->text();
  if (const auto* below = std::get_if<NamesBelow>(&rule.host))
    text = "below " + below->suffix.text();
  if (const auto* range = std::get_if<Cidr>(&rule.host)) text = "range " + range->to_string();
  for (Port port : rule.ports) text += " " + std::to_string(port.value());
  if (rule.ports.empty()) text += " any";
  if (!rule.endpoints.empty()) text += " paths";
  return text;
}

const std::string_view unreadable[] = {""sv,
                                       "*"sv,
                                       "*:443"sv,
                                       "*.*"sv,
                                       "*."sv,
                                       "**.example.com"sv,
                                       "*example.com"sv,
                                       "a.*.example.com"sv,
                                       "example.*"sv,
                                       "*.com"sv,
                                       "*.co.uk"sv,
                                       "*.CO.UK."sv,
                                       "*.ck"sv,
                                       "*.foo.ck"sv,
                                       "*.xn--p1ai"sv,
                                       "*.\u0440\u0444"sv,
                                       "*.10.0.0.1"sv,
                                       "*.0x7f"sv,
                                       ".example.com"sv,
                                       "example.com:"sv,
                                       "example.com:0"sv,
                                       "example.com:65536"sv,
                                       "example.com:http"sv,
                                       "example.com:443:443"sv,
                                       "example.com:443,80"sv,
                                       "example.com/path"sv,
                                       "example.com:443/path"sv,
                                       "exa mple.com"sv,
                                       " example.com"sv,
                                       "example.com\n"sv,
                                       "example.com\0"sv,
                                       "a..b"sv,
                                       "0.0.0.0/0"sv,
                                       "::/0"sv,
                                       "[::/0]:443"sv,
                                       "10.0.0.1/8"sv,
                                       "10.0.0.0/33"sv,
                                       "256.0.0.1"sv,
                                       "[::1"sv,
                                       "[::1]x"sv,
                                       "[10.0.0.1]"sv,
                                       "[example.com]:443"sv,
                                       "fe80::1%eth0"sv,
                                       "ftp://example.com/x"sv,
                                       "://example.com"sv,
                                       "https://"sv,
                                       "https:///x"sv,
                                       "https://example.com/"sv,
                                       "https://example.com?x"sv,
                                       "https://example.com/x?y=1"sv,
                                       "https://example.com/../x"sv,
                                       "https://example.com/a%2fb"sv,
                                       "https://user@example.com/x"sv,
                                       "https://user:pw@example.com/x"sv,
                                       "https://*/x"sv,
                                       "https://*.com/x"sv};

}  // namespace

TEST_CASE("rules parse into a pattern, ports and paths") {
  struct Row {
    const char* text;
    const char* shape;
  };
  const Row rows[] = {
      {"example.com", "example.com 443 80"},
      {"EXAMPLE.com.", "example.com 443 80"},
      {"example.com:8443", "example.com 8443"},
      {"example.com:*", "example.com any"},
      {"*.example.com", "below example.com 443 80"},
      {"*.Example.com:8443", "below example.com 8443"},
      {"*.example.com:*", "below example.com any"},
      {"b\u00fccher.example", "xn--bcher-kva.example 443 80"},
      {"*.b\u00fccher.example", "below xn--bcher-kva.example 443 80"},
      {"localhost:8080", "localhost 8080"},
      {"*.internal", "below internal 443 80"},
      {"*.googleapis.com", "below googleapis.com 443 80"},
      {"10.0.0.1", "range 10.0.0.1 443 80"},
      {"10.0.0.1:5432", "range 10.0.0.1 5432"},
      {"127.1", "range 127.0.0.1 443 80"},
      {"::ffff:10.0.0.1", "range 10.0.0.1 443 80"},
      {"10.0.0.0/8", "range 10.0.0.0/8 443 80"},
      {"10.0.0.0/8:5432", "range 10.0.0.0/8 5432"},
      {"10.0.0.0/8:*", "range 10.0.0.0/8 any"},
      {"::1", "range ::1 443 80"},
      {"[::1]", "range ::1 443 80"},
      {"[::1]:8080", "range ::1 8080"},
      {"[::1]:*", "range ::1 any"},
      {"fd00::/8", "range fd00::/8 443 80"},
      {"fd00::/8:443", "range fd00::/8 443"},
      {"[fd00::/8]:443", "range fd00::/8 443"},
      {"https://example.com/v1/**", "example.com 443 paths"},
      {"HTTPS://example.com/v1/**", "example.com 443 paths"},
      {"http://example.com/v1", "example.com 80 paths"},
      {"https://example.com:8443/v1", "example.com 8443 paths"},
      {"https://example.com", "example.com 443"},
      {"https://*.example.com/v1/**", "below example.com 443 paths"},
      {"https://[::1]:8443/v1", "range ::1 8443 paths"},
      {"https://10.0.0.1/v1", "range 10.0.0.1 443 paths"},
      {"https://10.0.0.0/8", "range 10.0.0.0 443 paths"},  // a path, no prefix length
  };
  for (const Row& row : rows) {
    INFO(row.text);
    const Result<Rule> rule = parse(row.text);
    REQUIRE(rule);
    CHECK(shape(*rule) == row.shape);
    CHECK(rule->text == row.text);
  }
}

TEST_CASE("a deny rule without a port means every port") {
  CHECK(shape(*parse("example.com", RuleUse::deny)) == "example.com any");
  CHECK(shape(*parse("*.com", RuleUse::deny)) == "below com any");
  CHECK(shape(*parse("10.0.0.0/8", RuleUse::deny)) == "range 10.0.0.0/8 any");
  CHECK(shape(*parse("example.com:80", RuleUse::deny)) == "example.com 80");
}

TEST_CASE("rules that say too much or nothing readable are refused, with what to write") {
  for (std::string_view row : unreadable) {
    INFO(row);
    const Result<Rule> rule = parse(row);
    REQUIRE_FALSE(rule);
    CHECK(rule.error().code == ErrorCode::bad_input);
  }
  CHECK(parse("*").error().fix ==
        "name the hosts, or run without network flags for an open network");
  CHECK(parse("*", RuleUse::deny).error().fix == "use --block-net instead");
  CHECK(parse("*.co.uk").error().fix == "write the name itself, such as *.example.co.uk");
  CHECK(parse("example.com/x").error().fix == "write https://example.com/x");
  CHECK(parse(".example.com").error().fix == "write *.example.com");
}

TEST_CASE("endpoints of a rule are checked with it") {
  const auto with = [](std::string method, std::string path) {
    return parse_rule(
        HostRule{"example.com", {EndpointRule{std::move(method), std::move(path), {}}}, {}},
        RuleUse::allow);
  };
  CHECK(with("get", "/x")->endpoints.at(0).text == "example.com: GET /x");
  CHECK(with("*", "/x"));
  CHECK(with("", "/x")->endpoints.at(0).method == "*");
  CHECK_FALSE(with("GE T", "/x"));
  CHECK_FALSE(with("GET\r\n", "/x"));
  CHECK_FALSE(with("GET", "x"));
  CHECK_FALSE(with("GET", ""));
}
