#include "proxy/policy/engine.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "proxy/policy/named_ports.hpp"
#include "tests/policy/engine_fixture.hpp"

using namespace nono;
using namespace nono::policy;
using namespace nono::policy::test;

TEST_CASE("a name passes only by a rule that covers it and its port") {
  const auto engine = engine_with({.allow = {"example.com", "*.star.example", "port.example:8443",
                                             "any.example:*", "b\u00fccher.example"}});
  for (const char* target :
       {"example.com:443", "example.com:80", "EXAMPLE.com.:443", "a.star.example:443",
        "a.b.c.star.example:80", "port.example:8443", "any.example:1", "any.example:65535",
        "xn--bcher-kva.example:443", "B\u00dcCHER.example:443", "\uff45xample.com:443"}) {
    INFO(target);
    CHECK(allowed(*engine, target));
  }
  for (const char* target :
       {"evil.example:443", "example.com:8443", "example.com:22", "evilexample.com:443",
        "example.com.evil.example:443", "sub.example.com:443", "xample.com:443", "com:443",
        "star.example:443", "evilstar.example:443", "star.example.evil.example:443",
        "a.star.example:8443", "port.example:443", "port.example:80", "localhost:443",
        "ex\u0430mple.com:443", "bucher.example:443", "8.8.8.8:443"}) {
    INFO(target);
    CHECK_FALSE(allowed(*engine, target));
  }
}

TEST_CASE("an empty allow list allows nothing") {
  const auto engine = engine_with({});
  CHECK(refusal(*engine, "example.com:443").because.reason == Reason::no_rule);
  CHECK(refusal(*engine, "8.8.8.8:443").because.reason == Reason::no_rule);
}

TEST_CASE("a refusal says what is wrong and which flag allows it") {
  const auto engine =
      engine_with({.allow = {"example.com", "*.star.example", "port.example:8443"}});
  struct Row {
    const char* target;
    const char* detail;
    const char* fix;
  };
  const Row rows[] = {
      {"evil.example:443", "evil.example:443 is in no rule",
       "allow it with --allow-domain evil.example"},
      {"evil.example:80", "evil.example:80 is in no rule",
       "allow it with --allow-domain evil.example"},
      {"evil.example:8443", "evil.example:8443 is in no rule",
       "allow it with --allow-domain evil.example:8443"},
      {"example.com:8443", "example.com:8443 is in no rule; example.com does not cover port 8443",
       "allow it with --allow-domain example.com:8443"},
      {"port.example:443",
       "port.example:443 is in no rule; port.example:8443 does not cover port 443",
       "allow it with --allow-domain port.example"},
      {"star.example:443",
       "star.example:443 is in no rule; *.star.example covers only names below it",
       "allow it with --allow-domain star.example"},
      {"8.8.8.8:443", "8.8.8.8:443 is in no rule", "allow it with --allow-domain 8.8.8.8"},
      {"[2606:4700::1]:8443", "[2606:4700::1]:8443 is in no rule",
       "allow it with --allow-domain [2606:4700::1]:8443"},
      {"[2606:4700::1]:443", "[2606:4700::1]:443 is in no rule",
       "allow it with --allow-domain 2606:4700::1"},
      {"0x7f.1:8080", "127.0.0.1:8080 is a loopback address that no rule names",
       "allow it with --allow-domain 127.0.0.1:8080"},
  };
  for (const Row& row : rows) {
    INFO(row.target);
    const Refusal refused = refusal(*engine, row.target);
    CHECK(refused.detail == row.detail);
    CHECK(refused.fix == row.fix);
    // The remedy works as printed.
    const std::string flag = "--allow-domain ";
    const std::string rule = refused.fix.substr(refused.fix.find(flag) + flag.size());
    CHECK(allowed(*engine_with({.allow = {rule}}), row.target));
  }
}

TEST_CASE("literal addresses pass only where a rule names them or a range around them") {
  const auto engine = engine_with({.allow = {"10.0.0.0/8", "127.0.0.1:8080", "1.2.3.4",
                                             "[fd12::1]:443", "2606:4700::/32", "example.com"},
                                   .allow_private = {"192.168.0.0/16"}});
  for (const char* target : {"10.1.2.3:443", "127.0.0.1:8080", "127.1:8080", "0x7f000001:8080",
                             "1.2.3.4:80", "16909060:443", "[fd12::1]:443", "[2606:4700::1]:443",
                             "[::ffff:10.1.2.3]:443", "[::ffff:1.2.3.4]:443"}) {
    INFO(target);
    const Permit permit = permit_for(*engine, target);
    CHECK(permit.literal());
    CHECK(permit.because().reason == Reason::rule_allows);
  }
  for (const char* target :
       {"10.1.2.3:22", "127.0.0.1:443", "127.0.0.2:8080", "1.2.3.5:443", "[fd12::2]:443",
        "[::1]:8080", "0.0.0.0:8080", "[::]:8080", "192.168.1.1:443", "172.16.0.1:443",
        "100.64.0.1:443", "[64:ff9b::10.1.2.3]:443", "[2002:a01:203::]:443", "[::10.1.2.3]:443",
        "224.0.0.1:443"}) {
    INFO(target);
    CHECK_FALSE(allowed(*engine, target));
  }
  CHECK(refusal(*engine, "192.168.1.1:443").because.reason == Reason::private_address);
  CHECK(refusal(*engine, "[64:ff9b::10.1.2.3]:443").because.reason == Reason::private_address);
}

TEST_CASE("a name's permit is not literal and carries the private ranges") {
  const auto engine = engine_with({.allow = {"example.com"}, .allow_private = {"10.0.0.0/8"}});
  const Permit permit = permit_for(*engine, "example.com:443");
  CHECK_FALSE(permit.literal());
  CHECK(permit.addresses().allow_private == std::vector<Cidr>{*Cidr::parse("10.0.0.0/8")});
  CHECK(permit.handling() == Handling::tunnel);
  CHECK(permit.because().rule == "example.com");
}

TEST_CASE("metadata and link-local are denied whatever the rules") {
  Setup setup{
      .allow = {"169.254.169.254", "169.254.0.0/16:*", "fe80::/10", "fd00:ec2::/32",
                "100.100.100.200", "168.63.129.16", "192.0.0.192", "metadata.google.internal",
                "*.internal", "metadata", "instance-data", "metadata.azure.internal",
                "[::ffff:a9fe:a9fe]", "64:ff9b::/96", "2002::/16"},
      .allow_private = {"169.254.0.0/16", "0.0.0.0/0"}};
  for (NetworkMode mode : {NetworkMode::filtered, NetworkMode::open}) {
    setup.mode = mode;
    setup.observe = mode == NetworkMode::filtered;
    const auto engine = engine_with(setup);
    for (const char* target : {"169.254.169.254:80",
                               "169.254.1.1:443",
                               "[fe80::1]:443",
                               "[fd00:ec2::254]:80",
                               "100.100.100.200:80",
                               "168.63.129.16:80",
                               "192.0.0.192:80",
                               "metadata.google.internal:80",
                               "METADATA.google.internal.:80",
                               "x.metadata.google.internal:80",
                               "metadata:80",
                               "metadata.azure.internal:80",
                               "instance-data:80",
                               "instance-data.ec2.internal:80",
                               "instance-data.eu-west-1.compute.internal:80",
                               "0xa9fea9fe:80",
                               "2852039166:80",
                               "0251.0376.0251.0376:80",
                               "[::ffff:169.254.169.254]:80",
                               "[64:ff9b::169.254.169.254]:80",
                               "[2002:a9fe:a9fe::]:443"}) {
      INFO(target);
      const Refusal refused = refusal(*engine, target);
      CHECK(refused.because.reason == Reason::always_denied);
      CHECK_FALSE(refused.fix.empty());
    }
    CHECK(allowed(*engine, "mymetadata.internal:443"));
  }
}

TEST_CASE("deny rules win, on every port that they do not narrow") {
  const auto engine = engine_with(
      {.allow = {"example.com:*", "*.example.com:*", "10.0.0.0/8:*", "partly.example:*"},
       .deny = {"example.com", "*.bad.example.com", "a.example.com:443", "10.1.0.0/16",
                "partly.example:22"}});
  for (const char* target :
       {"example.com:443", "example.com:8443", "EXAMPLE.COM.:443", "x.bad.example.com:443",
        "a.b.bad.example.com:1", "a.example.com:443", "10.1.2.3:443", "10.1.2.3:22",
        "[::ffff:10.1.2.3]:443", "0x0a010203:443", "partly.example:22"}) {
    INFO(target);
    CHECK(refusal(*engine, target).because.reason == Reason::rule_denies);
  }
  for (const char* target : {"bad.example.com:443", "a.example.com:80", "b.example.com:443",
                             "10.2.0.1:443", "partly.example:443"}) {
    INFO(target);
    CHECK(allowed(*engine, target));
  }
  const Refusal refused = refusal(*engine, "example.com:443");
  CHECK(refused.because.rule == "example.com");
  CHECK(refused.detail == "example.com:443 is denied by the rule example.com");
  CHECK(refused.fix == "remove the deny rule example.com (--deny-domain)");
}

TEST_CASE("a denied range holds for what a name resolves to as well") {
  const auto engine =
      engine_with({.allow = {"example.com"}, .deny = {"8.8.0.0/16", "9.9.9.9:443"}});
  const Permit permit = permit_for(*engine, "example.com:443");
  const AddressPolicy& addresses = permit.addresses();
  REQUIRE(addresses.denies(*IpAddress::parse("8.8.8.8"), https_port) != nullptr);
  CHECK(addresses.denies(*IpAddress::parse("8.8.8.8"), https_port)->rule == "8.8.0.0/16");
  CHECK(addresses.denies(*IpAddress::parse("::ffff:8.8.8.8"), Port(22)) != nullptr);
  CHECK(addresses.denies(*IpAddress::parse("9.9.9.9"), https_port) != nullptr);
  CHECK(addresses.denies(*IpAddress::parse("9.9.9.9"), http_port) == nullptr);
  CHECK(addresses.denies(*IpAddress::parse("1.1.1.1"), https_port) == nullptr);
}

TEST_CASE(
    "a denied IPv4 range holds for every IPv6 address that leads into it, for nothing beside it") {
  const auto engine = engine_with({.allow = {"::/2:*", "2000::/3:*", "example.com"},
                                   .deny = {"8.8.0.0/16", "https://9.9.9.9/admin/**"}});
  const AddressPolicy& addresses = permit_for(*engine, "example.com:443").addresses();
  for (const char* address :
       {"::ffff:8.8.1.2", "64:ff9b::8.8.1.2", "64:ff9b:1::8.8.1.2",
        "64:ff9b:1:808:1:200::", "2002:808:102::1", "::8.8.1.2", "::ffff:0:8.8.1.2",
        "2001:0:101:101:0:0:f7f7:fefd", "2001:0:808:102::", "2606:4700::5efe:8.8.1.2"}) {
    INFO(address);
    const Refusal refused = refusal(*engine, "[" + std::string(address) + "]:443");
    CHECK(refused.because.reason == Reason::rule_denies);
    CHECK(refused.because.rule == "8.8.0.0/16");
    CHECK(addresses.denies(*IpAddress::parse(address), https_port) != nullptr);
  }
  for (const char* address : {"64:ff9b::8.9.1.2", "2002:809:102::1", "2606:4700::808:102"}) {
    INFO(address);
    CHECK(allowed(*engine, "[" + std::string(address) + "]:443"));
    CHECK(addresses.denies(*IpAddress::parse(address), https_port) == nullptr);
  }
  for (const char* address : {"64:ff9b::9.9.9.9", "2002:909:909::1"}) {
    INFO(address);
    const Permit permit = permit_for(*engine, "[" + std::string(address) + "]:443");
    CHECK(permit.handling() == Handling::intercept);
    CHECK_FALSE(engine->decide_request(permit, {"GET", "/admin/x"}).allowed);
    CHECK(engine->decide_request(permit, {"GET", "/x"}).allowed);
  }
  CHECK(allowed(*engine_with({.allow = {"[::1]:443"}, .deny = {"0.0.0.0/8"}}), "[::1]:443"));
}

TEST_CASE("an allowed IPv4 range lets no IPv6 address in that leads into it, but the mapped form") {
  const auto engine = engine_with({.allow = {"8.8.0.0/16"}});
  CHECK(allowed(*engine, "[::ffff:8.8.1.2]:443"));
  for (const char* target : {"[64:ff9b::8.8.1.2]:443", "[2002:808:102::1]:443"}) {
    CHECK_FALSE(allowed(*engine, target));
  }
}

TEST_CASE("a blocked network refuses everything, even what rules allow") {
  const auto engine = engine_with(
      {.allow = {"example.com", "1.2.3.4"}, .mode = NetworkMode::blocked, .observe = true});
  for (const char* target : {"example.com:443", "1.2.3.4:443", "evil.example:443"}) {
    const Refusal refused = refusal(*engine, target);
    CHECK(refused.because.reason == Reason::network_blocked);
    CHECK(refused.because.rule == "--block-net");
  }
}

TEST_CASE("an open network lets everything pass but what is denied") {
  const auto engine = engine_with({.deny = {"evil.example"}, .mode = NetworkMode::open});
  for (const char* target : {"example.com:443", "example.com:22", "10.0.0.1:443", "[::1]:1"}) {
    INFO(target);
    const Permit permit = permit_for(*engine, target);
    CHECK(permit.because().reason == Reason::open_network);
    CHECK(permit.handling() == Handling::tunnel);
    for (const char* address : {"127.0.0.1", "10.0.0.1", "::1", "fd12::1"}) {
      const std::vector<Cidr>& ranges = permit.addresses().allow_private;
      CHECK(std::any_of(ranges.begin(), ranges.end(), [&](const Cidr& range) {
        return range.contains(*IpAddress::parse(address));
      }));
    }
  }
  CHECK(refusal(*engine, "evil.example:443").because.reason == Reason::rule_denies);
}

TEST_CASE(
    "observing lets pass what no rule allows and what rules deny, and says what would refuse") {
  const auto engine = engine_with({.allow = {"example.com", "half.example"},
                                   .deny = {"*.evil.example", "half.example:80"},
                                   .observe = true});
  const auto set_aside = [&](std::string_view to) {
    const Permit permit = permit_for(*engine, to);
    INFO(to);
    CHECK(permit.because().reason == Reason::observed);
    REQUIRE(permit.set_aside() != nullptr);
    CHECK(permit.because().rule == permit.set_aside()->because.rule);
    CHECK_FALSE(permit.literal());
    return *permit.set_aside();
  };
  CHECK(set_aside("other.example:22").because.reason == Reason::no_rule);
  CHECK(set_aside("other.example:22").fix == "allow it with --allow-domain other.example:22");
  CHECK(set_aside("8.8.8.8:443").because.reason == Reason::no_rule);
  CHECK(set_aside("127.0.0.1:443").because.reason == Reason::private_address);
  CHECK(set_aside("10.0.0.1:443").because.reason == Reason::private_address);
  CHECK(set_aside("a.evil.example:443").because.reason == Reason::rule_denies);
  CHECK(set_aside("a.evil.example:443").because.rule == "*.evil.example");
  CHECK(set_aside("half.example:80").because.rule == "half.example:80");
  CHECK(permit_for(*engine, "a.evil.example:443").addresses().observe);

  const Permit plain = permit_for(*engine, "half.example:443");
  CHECK(plain.because().reason == Reason::rule_allows);
  CHECK(plain.because().rule == "half.example");
  CHECK(plain.set_aside() == nullptr);
}

TEST_CASE("observing lifts neither what is always denied nor a blocked network") {
  const auto engine = engine_with({.allow = {"169.254.0.0/16"}, .observe = true});
  for (const char* to : {"169.254.169.254:80", "169.254.1.1:443", "[fe80::1]:443",
                         "[::ffff:169.254.169.254]:80", "metadata.google.internal:80"}) {
    INFO(to);
    CHECK(refusal(*engine, to).because.reason == Reason::always_denied);
  }
  const auto blocked = engine_with({.mode = NetworkMode::blocked, .observe = true});
  CHECK(refusal(*blocked, "example.com:443").because.reason == Reason::network_blocked);
}

TEST_CASE("observing keeps a credential's upstream on its route") {
  const auto engine = engine_with(
      {.deny = {"api.example"}, .observe = true, .routes = {route("svc", "api.example:443")}});
  const Permit permit = permit_for(*engine, "api.example:443");
  CHECK(permit.handling() == Handling::intercept);
  CHECK(permit.because().reason == Reason::observed);
  CHECK(engine->routes_for(target("api.example:443")) == std::vector<std::size_t>{0});
  const Decision by_route = engine->decide_route(0);
  REQUIRE(std::holds_alternative<Permit>(by_route));
  CHECK(std::get<Permit>(by_route).because().reason == Reason::observed);
}

TEST_CASE("what a tunnel may do comes from every rule that allows the target") {
  NetworkRules rules;
  rules.mode = NetworkMode::filtered;
  HostRule loose{"*.example.com", {}, {}, true, false};
  HostRule strict{"a.example.com:443", {}, {}, false, true};
  HostRule other{"b.example.com:8443", {}, {}, false, true};
  HostRule plain{"c.example.com", {}, {}};
  HostRule alone{"example.org", {}, {}};
  rules.allow = {loose, strict, other, plain, alone};
  const auto engine = *Engine::make(rules, {});
  const auto tunnel = [&](std::string_view to) {
    const TunnelRules found = permit_for(*engine, to).tunnel_rules();
    return std::pair(found.any_sni, found.refuse_ech);
  };
  CHECK(tunnel("x.example.com:443") == std::pair(true, false));
  CHECK(tunnel("a.example.com:443") == std::pair(true, true));
  CHECK(tunnel("a.example.com:80") == std::pair(true, false));
  CHECK(tunnel("b.example.com:443") == std::pair(true, false));
  CHECK(tunnel("b.example.com:8443") == std::pair(false, true));
  CHECK(tunnel("c.example.com:443") == std::pair(true, false));
  CHECK(tunnel("example.org:443") == std::pair(false, false));
  CHECK(permit_for(*engine, "a.example.com:443").because().rule == "a.example.com:443");
}

TEST_CASE("rules are named as they were written, however they are kept") {
  const std::vector<std::string> texts{
      "a.example",     "*.a.example", "b.example:8443", "c.example:*",       "*.d.example:8443",
      "*.e.example:*", "F.Example",   "1.2.3.4",        "https://g.example", "h.example:443"};
  const auto engine = engine_with({.allow = texts});
  const auto rule = [&](std::string_view to) { return permit_for(*engine, to).because().rule; };
  CHECK(rule("a.example:443") == "a.example");
  CHECK(rule("a.example:80") == "a.example");
  CHECK(rule("x.y.a.example:80") == "*.a.example");
  CHECK(rule("b.example:8443") == "b.example:8443");
  CHECK(rule("c.example:7") == "c.example:*");
  CHECK(rule("x.d.example:8443") == "*.d.example:8443");
  CHECK(rule("x.e.example:7") == "*.e.example:*");
  CHECK(rule("f.example:443") == "F.Example");
  CHECK(rule("1.2.3.4:443") == "1.2.3.4");
  CHECK(rule("g.example:443") == "https://g.example");
  CHECK(rule("h.example:443") == "h.example:443");
  CHECK(refusal(*engine, "b.example:443").detail.find("b.example:8443 does not cover port 443") !=
        std::string::npos);
}

namespace {

Decision lookup(const Engine& engine, std::string_view name) {
  return engine.decide_name(*HostName::parse(name));
}

std::uint16_t port_of(const Decision& decision) {
  const auto* permit = std::get_if<Permit>(&decision);
  return permit == nullptr ? 0 : permit->target().port.value();
}

}  // namespace

TEST_CASE("a name may be looked up where any rule allows it on any port") {
  const auto engine = engine_with({.allow = {"a.example", "b.example:22", "c.example:*",
                                             "*.d.example:5432", "10.0.0.0/8", "e.example:7"},
                                   .deny = {"a.example:443", "c.example:443", "c.example:80",
                                            "c.example:1", "*.d.example", "e.example:7"}});
  CHECK(port_of(lookup(*engine, "a.example")) == 80);
  CHECK(port_of(lookup(*engine, "b.example")) == 22);
  CHECK(port_of(lookup(*engine, "c.example")) == 2);
  const auto refused = [&](std::string_view name) {
    const Decision decision = lookup(*engine, name);
    INFO(name);
    REQUIRE(std::holds_alternative<Refusal>(decision));
    return std::get<Refusal>(decision);
  };
  CHECK(refused("x.d.example").because.rule == "*.d.example");
  CHECK(refused("e.example").because.reason == Reason::rule_denies);
  CHECK(refused("d.example").because.reason == Reason::no_rule);
  CHECK(refused("evil.example").detail == "evil.example is in no rule");
  CHECK(refused("evil.example").fix == "allow it with --allow-domain evil.example");
  CHECK(refused("metadata.google.internal").because.reason == Reason::always_denied);
}

TEST_CASE("names are looked up in open and observed networks, never in a blocked one") {
  CHECK(port_of(lookup(*engine_with({.mode = NetworkMode::open}), "any.example")) == 443);
  const auto open =
      engine_with({.deny = {"no.example", "some.example:443"}, .mode = NetworkMode::open});
  CHECK(port_of(lookup(*open, "no.example")) == 0);
  CHECK(port_of(lookup(*open, "some.example")) == 80);
  const Decision observed = lookup(*engine_with({.observe = true}), "any.example");
  REQUIRE(std::holds_alternative<Permit>(observed));
  CHECK(std::get<Permit>(observed).because().reason == Reason::observed);
  CHECK(port_of(lookup(*engine_with({.mode = NetworkMode::blocked}), "any.example")) == 0);
  // The upstream of a credential is a name that is needed.
  const auto routed = engine_with({.routes = {route("svc", "api.example:8443")}});
  CHECK(port_of(lookup(*routed, "api.example")) == 8443);
}

TEST_CASE("everything that is wrong with the rules is said at once, each with its place") {
  NetworkRules rules;
  rules.mode = NetworkMode::filtered;
  rules.allow = {HostRule{"*.com", {}, {"p.json:3:5"}}, HostRule{"example.com", {}, {"p.json:4:5"}},
                 HostRule{"a b", {}, {"--allow-domain"}}};
  rules.deny = {HostRule{"x:0", {}, {"p.json:9:1"}}};
  const auto engine = Engine::make(rules, {});
  REQUIRE_FALSE(engine);
  CHECK(engine.error().code == ErrorCode::bad_input);
  const std::string& what = engine.error().what;
  CHECK(std::count(what.begin(), what.end(), '\n') == 2);
  CHECK(what.find("p.json:3:5: ") != std::string::npos);
  CHECK(what.find("--allow-domain: ") != std::string::npos);
  CHECK(what.find("p.json:9:1: ") != std::string::npos);
  CHECK(what.find("p.json:4:5") == std::string::npos);

  rules.allow.pop_back();
  rules.deny.clear();
  CHECK(Engine::make(rules, {}).error().fix == "write the name itself, such as *.example.com");
}

TEST_CASE("this machine's loopback may be reached on open ports alone") {
  NetworkRules rules;
  rules.mode = NetworkMode::filtered;
  rules.open_ports = {Port(8000)};
  const auto engine = Engine::make(rules, {});
  REQUIRE(engine);
  const Decision open = (*engine)->decide_open_port(Port(8000));
  const Permit* permit = std::get_if<Permit>(&open);
  REQUIRE(permit != nullptr);
  CHECK(permit->target().to_string() == "127.0.0.1:8000");
  CHECK(permit->literal());
  CHECK(permit->because().rule == "--open-port 8000");
  const Decision closed = (*engine)->decide_open_port(Port(8001));
  REQUIRE(std::holds_alternative<Refusal>(closed));
  CHECK(std::get<Refusal>(closed).fix == "--open-port 8001 leads to this machine's own");
  // It is no rule for those who ask the proxy for that address.
  CHECK(std::holds_alternative<Refusal>(
      (*engine)->decide({IpAddress::v4({127, 0, 0, 1}), Port(8000)})));
  rules.mode = NetworkMode::blocked;
  const auto blocked = Engine::make(rules, {});
  REQUIRE(blocked);
  CHECK(std::holds_alternative<Refusal>((*blocked)->decide_open_port(Port(8000))));
}

TEST_CASE("the ports that rules and credentials name are listed once, in order") {
  NetworkRules rules;
  for (const char* text : {"a.example", "b.example:8443", "c.example:22", "d.example:8443",
                           "https://e.example:9443/path/**", "not a rule:", "10.0.0.0/8:5432"}) {
    rules.allow.push_back(HostRule{text, {}, {"test"}});
  }
  CredentialRoute route;
  route.upstream = *parse_host_port("f.example:8080");
  NamedPorts named = named_ports(rules, {route});
  std::vector<int> ports;
  for (const Port port : named.ports) ports.push_back(port.value());
  CHECK(ports == std::vector<int>{22, 80, 443, 5432, 8080, 8443, 9443});
  CHECK_FALSE(named.every_port);
  rules.allow.push_back(HostRule{"g.example:*", {}, {"test"}});
  CHECK(named_ports(rules, {}).every_port);
}
