#include "proxy/policy/host_index.hpp"

#include <catch2/catch.hpp>

#include "proxy/policy/host_index_builder.hpp"

using namespace nono;
using namespace nono::policy;

namespace {

HostPattern pattern(const std::string& text) {
  const Result<Rule> rule = parse_rule(HostRule{text, {}, {}}, RuleUse::allow);
  INFO(text);
  REQUIRE(rule);
  return rule->host;
}

Host host(const std::string& text) {
  return *parse_host(text);
}

// `count` rules of each kind, always with the same few prefix lengths and the same targets in them.
HostIndex index_of(unsigned count) {
  HostIndexBuilder index;
  for (unsigned i = 0; i < count; ++i) {
    const std::string n = std::to_string(i);
    index.place(pattern("h" + n + ".example.com"), https_port) = i;
    index.place(pattern("*.w" + n + ".example.com"), https_port) = i;
    const auto octet = [&](unsigned shift) { return static_cast<std::uint8_t>(i >> shift & 0xff); };
    index.place(Cidr(IpAddress::v4({10, octet(16), octet(8), octet(0)}), 32), https_port) = i;
    index.place(Cidr(IpAddress::v4({octet(16), octet(8), octet(0), 0}), 24), https_port) = i;
    index.place(Cidr(IpAddress::v6({0xfd, 0, octet(16), octet(8), octet(0)}), 64), https_port) = i;
  }
  return index.finish(*SipKey::random());
}

}  // namespace

TEST_CASE("the number of look-ups does not grow with the number of rules") {
  const HostIndex few = index_of(10);
  const HostIndex many = index_of(100000);
  for (const char* target :
       {"h3.example.com", "a.b.w3.example.com", "absent.example.org", "a.b.c.d.e.f.g.h", "10.0.0.3",
        "203.0.113.9", "fd00:0:300::1", "2606:4700::1"}) {
    INFO(target);
    const HostIndex::Found in_few = few.find(host(target), https_port);
    const HostIndex::Found in_many = many.find(host(target), https_port);
    CHECK(in_few.probes == in_many.probes);
    CHECK(in_few.probes <= 9);
    CHECK(in_few.entry == in_many.entry);
  }
}

TEST_CASE("the most specific pattern that covers the port is found") {
  HostIndexBuilder builder;
  builder.place(pattern("a.b.example.com"), https_port) = 1;
  builder.place(pattern("*.b.example.com"), std::nullopt) = 2;
  builder.place(pattern("*.example.com"), https_port) = 3;
  builder.place(pattern("10.1.0.0/16"), https_port) = 4;
  builder.place(pattern("10.0.0.0/8"), std::nullopt) = 5;
  builder.place(pattern("10.0.0.0/8"), http_port) = 6;
  const HostIndex index = builder.finish(*SipKey::random());

  CHECK(index.find(host("a.b.example.com"), https_port).entry == 1);
  CHECK(index.find(host("a.b.example.com"), http_port).entry == 2);
  CHECK(index.find(host("x.b.example.com"), https_port).entry == 2);
  CHECK(index.find(host("b.example.com"), https_port).entry == 3);
  CHECK(index.find(host("b.example.com"), http_port).entry == HostIndex::no_entry);
  CHECK(index.find(host("b.example.com"), http_port).other_port == 3);
  CHECK(index.find(host("example.com"), https_port).entry == HostIndex::no_entry);
  CHECK(index.find(host("10.1.2.3"), https_port).entry == 4);
  CHECK(index.find(host("10.1.2.3"), http_port).entry == 6);
  CHECK(index.find(host("10.1.2.3"), Port(22)).entry == 5);
  CHECK(index.find(host("::ffff:10.1.2.3"), https_port).entry == 4);
  CHECK(index.find_all(host("10.1.2.3"), http_port) == std::vector<HostIndex::Entry>{6, 5});
  CHECK(index.find_all(host("a.b.example.com"), https_port) ==
        std::vector<HostIndex::Entry>{1, 2, 3});
}

TEST_CASE("a star alone is found by the name that it does not hold") {
  HostIndexBuilder builder;
  builder.place(pattern("*.b.example.com"), https_port) = 1;
  builder.place(pattern("*.example.com"), std::nullopt) = 2;
  builder.place(pattern("x.a.example.com"), https_port) = 3;
  const HostIndex index = builder.finish(*SipKey::random());
  const Host inner = host("b.example.com");
  const HostIndex::Found found = index.find_below(inner.name(), https_port);
  CHECK(found.entry == 1);
  CHECK(found.name == "b.example.com");
  CHECK(found.below);
  CHECK(index.find_below(inner.name(), http_port).entry == HostIndex::no_entry);
  CHECK(index.find_below(host("example.com").name(), https_port).entry == 2);
  CHECK(index.find_below(host("a.example.com").name(), https_port).entry == HostIndex::no_entry);
}

TEST_CASE("names of any depth are found") {
  HostIndexBuilder builder;
  const std::string deep = "a.b.c.d.e.f.g.h.i.j.k.l.example.com";
  builder.place(pattern("*.example.com"), https_port) = 1;
  builder.place(pattern("*.l.example.com"), std::nullopt) = 2;
  builder.place(pattern(deep), http_port) = 3;
  builder.place(pattern("10.0.0.0/8"), https_port) = 4;
  const HostIndex index = builder.finish(*SipKey::random());
  CHECK(index.find(host(deep), http_port).entry == 3);
  CHECK(index.find(host(deep), https_port).entry == 2);
  CHECK(index.find(host(deep), https_port).name == "l.example.com");
  CHECK(index.find(host("x." + deep), http_port).entry == 2);
  CHECK(index.find(host("a.b.c.d.e.f.g.h.i.j.k.m.example.com"), https_port).entry == 1);
  CHECK(index.find(host("10.9.9.9"), https_port).entry == 4);
  CHECK(index.find(host("10.9.9.9"), https_port).name.empty());
  CHECK(index.find_all(host(deep), https_port) == std::vector<HostIndex::Entry>{2, 1});
  CHECK(index.ports_of(host(deep)) ==
        std::vector<std::optional<Port>>{http_port, std::nullopt, https_port});
}

TEST_CASE("finishing hands over each pattern as it is written, and takes other entries") {
  HostIndexBuilder builder;
  builder.place(pattern("a.example"), https_port) = 7;
  builder.place(pattern("*.b.example"), std::nullopt) = 8;
  builder.place(pattern("10.0.0.1"), http_port) = 9;
  std::string seen;
  const auto note = [&](std::string_view text, std::optional<Port> port, HostIndex::Entry entry) {
    seen += std::string(text) + ":" + (port ? std::to_string(port->value()) : "*") + "=" +
            std::to_string(entry) + " ";
    return entry + 100;
  };
  const HostIndex index = builder.finish(*SipKey::random(), note);
  CHECK(seen == "a.example:443=7 *.b.example:*=8 :80=9 ");
  CHECK(index.find(host("a.example"), https_port).entry == 107);
  CHECK(index.find(host("x.b.example"), Port(9)).entry == 108);
  CHECK(index.find(host("10.0.0.1"), http_port).entry == 109);
}
