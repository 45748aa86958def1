#include "dns/filter.hpp"

#include "tests/dns/fixture.hpp"

using namespace nono;
using namespace nono::test;
using dns::Filter;

namespace {

std::vector<IpAddress> ips(const std::vector<std::string>& texts) {
  std::vector<IpAddress> addresses;
  for (const std::string& text : texts) addresses.push_back(ip(text));
  return addresses;
}

Result<std::string> vet(const Permit& permit, const std::vector<std::string>& candidates) {
  return Filter::vet(permit, ips(candidates)).map([](const dns::VettedAddresses& vetted) {
    return text_of(vetted.addresses());
  });
}

Error refusal(const Permit& permit, const std::vector<std::string>& candidates) {
  Result<std::string> result = vet(permit, candidates);
  REQUIRE_FALSE(result);
  return result.error();
}

}  // namespace

TEST_CASE("Public addresses pass, each once and in their order") {
  Permit permit = permit_for("www.example.org");
  CHECK(vet(permit, {"93.184.216.34", "2606:4700::1", "93.184.216.34", "8.8.8.8"}).value() ==
        "93.184.216.34, 2606:4700::1, 8.8.8.8");
}

TEST_CASE("A private address among public ones is dropped silently") {
  Permit permit = permit_for("www.example.org");
  CHECK(vet(permit, {"10.0.0.1", "93.184.216.34", "::1", "169.254.169.254"}).value() ==
        "93.184.216.34");
}

TEST_CASE("A refused address is named with its class and the flag that would admit it") {
  struct Row {
    const char* address;
    const char* says;
    const char* flag;
  };
  const Row rows[] = {
      {"10.1.2.3", "a private address", "--allow-private 10.0.0.0/8"},
      {"172.20.1.1", "a private address", "--allow-private 172.16.0.0/12"},
      {"192.168.7.7", "a private address", "--allow-private 192.168.0.0/16"},
      {"127.0.0.5", "a loopback address", "--allow-private 127.0.0.0/8"},
      {"100.64.3.4", "carrier-grade NAT", "--allow-private 100.64.0.0/10"},
      {"224.0.0.9", "a multicast address", "--allow-private 224.0.0.0/4"},
      {"0.0.0.0", "an address of this host", "--allow-private 0.0.0.0/8"},
      {"198.18.0.7", "a reserved address", "--allow-private 198.18.0.7"},
      {"255.255.255.255", "a reserved address", "--allow-private 255.255.255.255"},
      {"::1", "a loopback address", "--allow-private ::1"},
      {"fd12:3456:789a:1::5", "a private address", "--allow-private fd12:3456:789a::/48"},
      {"64:ff9b::a00:1", "a private address", "--allow-private 64:ff9b::a00:1"},
      {"2002:7f00:1::", "a loopback address", "--allow-private 2002:7f00:1::"},
      {"::ffff:10.1.2.3", "a private address", "--allow-private 10.0.0.0/8"},
  };
  for (const Row& row : rows) {
    INFO(row.address);
    Error error = refusal(permit_for("api.example.org"), {row.address});
    CHECK(error.code == ErrorCode::address_refused);
    CHECK(error.side == Side::client);
    CHECK_THAT(error.what, Catch::Contains("api.example.org resolves to "));
    CHECK_THAT(error.what, Catch::Contains(row.says));
    CHECK_THAT(error.fix, Catch::Contains(row.flag));
  }
}

TEST_CASE("The flag that a refusal names does admit the address") {
  for (const char* text :
       {"10.1.2.3", "172.31.0.1", "192.168.0.1", "127.9.9.9", "100.127.0.1", "239.1.1.1", "0.1.2.3",
        "198.19.0.1", "240.0.0.1", "::1", "::", "fd99::1", "fec0::1", "ff02::1", "64:ff9b::7f00:1",
        "2001:db8::1", "::ffff:192.168.1.1"}) {
    INFO(text);
    std::optional<Cidr> range = dns::range_to_allow(ip(text));
    REQUIRE(range);
    Permit permit = permit_for("api.example.org", {range->to_string()});
    CHECK(vet(permit, {text}));
  }
}

TEST_CASE("Metadata and link-local addresses pass under no flag") {
  for (const char* text :
       {"169.254.169.254", "169.254.1.1", "100.100.100.200", "168.63.129.16", "fd00:ec2::254",
        "fe80::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"}) {
    INFO(text);
    Permit permit = permit_for("api.example.org", {"0.0.0.0/0", "::/0"});
    Error error = refusal(permit, {text});
    CHECK(error.code == ErrorCode::address_refused);
    CHECK(error.fix == "no flag allows it");
    CHECK_FALSE(dns::range_to_allow(ip(text)));
  }
}

TEST_CASE("Where several addresses are refused, the one that a flag can admit is named") {
  Error error = refusal(permit_for("api.example.org"), {"169.254.169.254", "10.0.0.9"});
  CHECK_THAT(error.fix, Catch::Contains("--allow-private 10.0.0.0/8"));
}

TEST_CASE("allow_private admits what it names and nothing beside it") {
  Permit permit = permit_for("api.example.org", {"127.0.0.0/8"});
  CHECK(vet(permit, {"127.0.0.5", "::1", "10.0.0.1"}).value() == "127.0.0.5");
  CHECK(refusal(permit, {"::1", "10.0.0.1"}).code == ErrorCode::address_refused);
}

TEST_CASE("A mapped address is vetted and dialled as the IPv4 address inside it") {
  Permit permit = permit_for("api.example.org", {"127.0.0.0/8"});
  CHECK(vet(permit, {"::ffff:127.0.0.5", "127.0.0.5"}).value() == "127.0.0.5");
  CHECK(vet(permit, {"::ffff:8.8.8.8"}).value() == "8.8.8.8");
}

TEST_CASE("Other embeddings of an allowed IPv4 range stay refused") {
  Permit permit = permit_for("api.example.org", {"10.0.0.0/8"});
  CHECK(refusal(permit, {"64:ff9b::a00:1"}).code == ErrorCode::address_refused);
}

TEST_CASE("A rule that names an address admits exactly that literal target") {
  Permit permit = permit_for("10.1.2.3");
  REQUIRE(permit.literal());
  CHECK(vet(permit, {"10.1.2.3"}).value() == "10.1.2.3");
}

TEST_CASE("A name without candidates is not found, which is nobody's refusal") {
  Error error = refusal(permit_for("api.example.org"), {});
  CHECK(error.code == ErrorCode::name_not_found);
  CHECK(error.side == Side::upstream);
}

TEST_CASE("Families alternate, IPv6 first") {
  CHECK(text_of(dns::interleave_families(
            ips({"1.1.1.1", "1.1.1.2", "1.1.1.3", "2606:4700::1", "2606:4700::2"}))) ==
        "2606:4700::1, 1.1.1.1, 2606:4700::2, 1.1.1.2, 1.1.1.3");
  CHECK(text_of(dns::interleave_families(ips({"1.1.1.1"}))) == "1.1.1.1");
  CHECK(dns::interleave_families({}).empty());
}

TEST_CASE("An address in a denied range is dropped, whatever name led to it") {
  NetworkRules rules;
  rules.mode = NetworkMode::filtered;
  rules.allow = {HostRule{"www.example.org", {}, {}}};
  rules.deny = {HostRule{"93.184.0.0/16", {}, {}}, HostRule{"8.8.8.8:80", {}, {}}};
  auto engine = policy::Engine::make(rules, {});
  REQUIRE(engine);
  Decision decision = (*engine)->decide(HostPort{*parse_host("www.example.org"), https_port});
  REQUIRE(std::holds_alternative<Permit>(decision));
  const Permit& permit = std::get<Permit>(decision);
  CHECK(vet(permit, {"93.184.216.34", "8.8.8.8"}).value() == "8.8.8.8");
  Error error = refusal(permit, {"93.184.216.34"});
  CHECK(error.code == ErrorCode::address_refused);
  CHECK(error.what.find("denied by the rule 93.184.0.0/16") != std::string::npos);
  CHECK(error.fix == "remove the deny rule 93.184.0.0/16");
}

namespace {

Permit observed_permit(const std::string& host, const std::vector<std::string>& deny = {}) {
  NetworkRules rules;
  rules.mode = NetworkMode::filtered;
  rules.observe = true;
  for (const std::string& text : deny) rules.deny.push_back(HostRule{text, {}, {}});
  auto engine = policy::Engine::make(rules, {});
  REQUIRE(engine);
  Decision decision = (*engine)->decide(HostPort{*parse_host(host), https_port});
  REQUIRE(std::holds_alternative<Permit>(decision));
  return std::get<Permit>(decision);
}

}  // namespace

TEST_CASE(
    "Observing lets private and denied addresses pass and says what would have refused them") {
  const Permit permit = observed_permit("www.example.org", {"93.184.0.0/16"});
  Result<dns::VettedAddresses> vetted = Filter::vet(permit, ips({"10.0.0.1", "127.0.0.1"}));
  REQUIRE(vetted);
  CHECK(text_of(vetted->addresses()) == "10.0.0.1, 127.0.0.1");
  REQUIRE(vetted->set_aside() != nullptr);
  CHECK(vetted->set_aside()->because.reason == Reason::private_address);
  CHECK(vetted->set_aside()->detail.find("10.0.0.1") != std::string::npos);

  vetted = Filter::vet(permit, ips({"93.184.216.34"}));
  REQUIRE(vetted);
  REQUIRE(vetted->set_aside() != nullptr);
  CHECK(vetted->set_aside()->because.reason == Reason::rule_denies);
  CHECK(vetted->set_aside()->because.rule == "93.184.0.0/16");

  // What would pass without observing passes alone, as it then would.
  vetted = Filter::vet(permit, ips({"10.0.0.1", "8.8.8.8"}));
  REQUIRE(vetted);
  CHECK(text_of(vetted->addresses()) == "8.8.8.8");
  CHECK(vetted->set_aside() == nullptr);
}

TEST_CASE("Observing never lets metadata and link-local addresses pass") {
  const Permit permit = observed_permit("www.example.org");
  for (const char* address : {"169.254.169.254", "169.254.1.1", "fe80::1", "::ffff:169.254.169.254",
                              "fd00:ec2::254", "64:ff9b::a9fe:a9fe"}) {
    INFO(address);
    CHECK(refusal(permit, {address}).code == ErrorCode::address_refused);
    CHECK(vet(permit, {address, "10.0.0.1"}).value() == "10.0.0.1");
  }
}
