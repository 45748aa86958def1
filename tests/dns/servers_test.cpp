// Servers that fail: each kind of failure, who is asked next, and how long anybody waits.

#include <list>
#include <map>

#include "tests/dns/fixture.hpp"

using namespace nono;
using namespace nono::test;

namespace {

using Clock = std::chrono::steady_clock;

// A second server beside the fixture's own.
struct TwoServers : ResolverFixture {
  FakeDns second;
  TwoServers() { options.servers.push_back(second.endpoint()); }
};

// So many names asked for, of a server that holds its answers back and has all the queries.
std::list<ResolverFixture::Waiting> all_waiting(ResolverFixture& fixture, std::size_t names) {
  fixture.options.query_timeout = 10s;
  fixture.server.set_fault(DnsFault::hold);
  std::list<ResolverFixture::Waiting> all;
  for (std::size_t i = 0; i < names; ++i) {
    const std::string name = "n" + std::to_string(i) + ".example.org";
    fixture.server.add_a(name, "93.184.216.34");
    all.emplace_back(fixture, permit_for(name), 20s);
    // In lots, for a socket's receive buffer holds fewer datagrams than are sent here in all.
    if ((i + 1) % 50 != 0 && i + 1 != names) continue;
    fixture.context.poll();
    REQUIRE(fixture.server.wait_for_queries(2 * (i + 1)));
  }
  return all;
}

}  // namespace

TEST_CASE("Queries carry EDNS and go by UDP") {
  ResolverFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  fixture.answer("www.example.org");
  for (const DnsQuery& query : fixture.server.queries()) {
    CHECK(query.edns);
    CHECK_FALSE(query.tcp);
  }
}

TEST_CASE("A server that cannot do EDNS is asked without") {
  ResolverFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  fixture.server.set_fault(DnsFault::formerr_on_edns);
  CHECK(fixture.answer("www.example.org") == "93.184.216.34");
}

TEST_CASE("A truncated answer is fetched whole over TCP") {
  ResolverFixture fixture;
  for (int i = 1; i <= 50; ++i) {
    fixture.server.add_a("big.example.org", "93.184.216." + std::to_string(i));
  }
  fixture.server.set_fault(DnsFault::truncated);
  auto addresses = fixture.resolve("big.example.org");
  REQUIRE(addresses);
  CHECK(addresses->size() == 50);
  std::vector<DnsQuery> queries = fixture.server.queries();
  CHECK(std::count_if(queries.begin(), queries.end(), [](auto& query) { return query.tcp; }) == 2);
}

TEST_CASE("A name with more addresses than anyone dials gives some of them") {
  ResolverFixture fixture;
  for (int i = 1; i <= 250; ++i) {
    fixture.server.add_a("huge.example.org", "93.184.216." + std::to_string(i));
  }
  fixture.server.set_fault(DnsFault::truncated);
  auto addresses = fixture.resolve("huge.example.org");
  REQUIRE(addresses);
  CHECK(addresses->size() >= 16);
  CHECK(addresses->size() <= 64);
}

TEST_CASE("SERVFAIL or REFUSED from one server leads to the next") {
  for (DnsFault fault : {DnsFault::servfail, DnsFault::refused, DnsFault::cut_short}) {
    TwoServers fixture;
    fixture.server.add_a("www.example.org", "93.184.216.1");
    fixture.server.set_fault(fault);
    fixture.second.add_a("www.example.org", "93.184.216.34");
    CHECK(fixture.answer("www.example.org") == "93.184.216.34");
    CHECK(fixture.server.count("www.example.org") == 2);
  }
}

TEST_CASE("The second server is not asked while the first answers") {
  TwoServers fixture;
  CHECK(fixture.resolve("gone.example.org").error().code == ErrorCode::name_not_found);
  fixture.server.add_a("www.example.org", "93.184.216.34");
  CHECK(fixture.answer("www.example.org") == "93.184.216.34");
  CHECK(fixture.second.queries().empty());
}

TEST_CASE("SERVFAIL from every server is a failure that names the server, and is not remembered") {
  ResolverFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  fixture.server.set_fault(DnsFault::servfail);
  auto failed = fixture.resolve("www.example.org");
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == ErrorCode::dns_failed);
  CHECK(failed.error().side == Side::upstream);
  CHECK_THAT(failed.error().what, Catch::Contains(fixture.server.endpoint().to_string()));
  CHECK_THAT(failed.error().fix, Catch::Contains("--dns-server"));
  fixture.server.set_fault(DnsFault::none);
  CHECK(fixture.answer("www.example.org") == "93.184.216.34");
}

TEST_CASE("A closed port is a failure at once, not a timeout") {
  ResolverFixture fixture;
  HostPort closed = FakeDns().endpoint();
  fixture.options.servers = {closed};
  fixture.options.query_timeout = 10s;
  auto begin = Clock::now();
  auto failed = fixture.resolve("www.example.org");
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == ErrorCode::dns_failed);
  CHECK(Clock::now() - begin < 5s);

  FakeDns alive;
  alive.add_a("www.example.org", "93.184.216.34");
  ResolverFixture other;
  other.options.servers = {closed, alive.endpoint()};
  CHECK(other.answer("www.example.org") == "93.184.216.34");
}

TEST_CASE("A silent server ends in dns_timeout by the deadline, however long c-ares would try") {
  ResolverFixture fixture;
  fixture.options.query_timeout = 30s;
  fixture.server.set_fault(DnsFault::silent);
  auto begin = Clock::now();
  auto late = fixture.resolve(permit_for("www.example.org"), 200ms);
  auto took = Clock::now() - begin;
  REQUIRE_FALSE(late);
  CHECK(late.error().code == ErrorCode::dns_timeout);
  CHECK(late.error().side == Side::upstream);
  CHECK_THAT(late.error().what, Catch::Contains("www.example.org") &&
                                    Catch::Contains(fixture.server.endpoint().to_string()));
  CHECK_THAT(late.error().fix, Catch::Contains("--dns-server"));
  CHECK(took >= 200ms);
  CHECK(took < 5s);
}

TEST_CASE("An answer that comes after a waiter has left serves the next one") {
  ResolverFixture fixture;
  fixture.options.query_timeout = 10s;
  fixture.server.add_a("slow.example.org", "93.184.216.34");
  fixture.server.set_fault(DnsFault::hold);
  CHECK(fixture.resolve(permit_for("slow.example.org"), 50ms).error().code ==
        ErrorCode::dns_timeout);
  REQUIRE(fixture.server.wait_for_queries(2));
  fixture.server.release();
  CHECK(fixture.answer("slow.example.org") == "93.184.216.34");
  CHECK(fixture.server.queries().size() == 2);
}

TEST_CASE("A deadline that has passed is a timeout at once") {
  ResolverFixture fixture;
  fixture.server.set_fault(DnsFault::silent);
  CHECK(fixture.resolve(permit_for("www.example.org"), -1s).error().code == ErrorCode::dns_timeout);
}

TEST_CASE("Silence is asked again, tries times, before it is a timeout") {
  ResolverFixture fixture;
  fixture.options.query_timeout = 30ms;
  fixture.options.tries = 3;
  fixture.server.set_fault(DnsFault::silent);
  CHECK(fixture.resolve("www.example.org").error().code == ErrorCode::dns_timeout);
  CHECK(fixture.server.count("www.example.org", dns_type_a) == 3);
  CHECK(fixture.server.count("www.example.org", dns_type_aaaa) == 3);
}

TEST_CASE("A silent first server costs one timeout, and then comes last") {
  TwoServers fixture;
  fixture.options.query_timeout = 100ms;
  fixture.server.set_fault(DnsFault::silent);
  fixture.second.add_a("one.example.org", "93.184.216.1");
  fixture.second.add_a("two.example.org", "93.184.216.2");
  CHECK(fixture.answer("one.example.org") == "93.184.216.1");
  CHECK(fixture.answer("two.example.org") == "93.184.216.2");
  CHECK(fixture.server.count("two.example.org") == 0);
}

TEST_CASE("An AAAA that never comes delays the answer by 50 ms only") {
  ResolverFixture fixture;
  fixture.options.query_timeout = 30s;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  fixture.server.set_fault(DnsFault::silent, "www.example.org", dns_type_aaaa);
  auto begin = Clock::now();
  CHECK(fixture.answer("www.example.org") == "93.184.216.34");
  auto took = Clock::now() - begin;
  CHECK(took >= 50ms);
  CHECK(took < 5s);
  // Whoever comes while AAAA is still out waits for nothing.
  CHECK(fixture.answer("www.example.org") == "93.184.216.34");
  CHECK(fixture.server.queries().size() == 2);
}

TEST_CASE("An A that comes late is waited for, also when AAAA is there") {
  ResolverFixture fixture;
  fixture.options.query_timeout = 10s;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  fixture.server.add_aaaa("www.example.org", "2606:4700::1");
  fixture.server.set_fault(DnsFault::hold, "www.example.org", dns_type_a);
  ResolverFixture::Waiting waiting(fixture, permit_for("www.example.org"), 20s);
  fixture.context.run_for(150ms);
  CHECK_FALSE(waiting.done());
  fixture.server.release();
  CHECK(text_of(waiting.finish().value()) == "2606:4700::1, 93.184.216.34");
}

TEST_CASE("One family's failure does not spoil the other's addresses") {
  ResolverFixture fixture;
  fixture.server.add_a("four.example.org", "93.184.216.34");
  fixture.server.set_fault(DnsFault::servfail, "four.example.org", dns_type_aaaa);
  CHECK(fixture.answer("four.example.org") == "93.184.216.34");
  fixture.server.add_aaaa("six.example.org", "2606:4700::1");
  fixture.server.set_fault(DnsFault::servfail, "six.example.org", dns_type_a);
  CHECK(fixture.answer("six.example.org") == "2606:4700::1");
}

TEST_CASE("Answers that are not to our question are as good as none") {
  for (DnsFault fault : {DnsFault::garbage, DnsFault::wrong_id, DnsFault::wrong_question}) {
    ResolverFixture fixture;
    fixture.options.query_timeout = 50ms;
    fixture.server.add_a("www.example.org", "93.184.216.34");
    fixture.server.set_fault(fault);
    auto failed = fixture.resolve("www.example.org");
    REQUIRE_FALSE(failed);
    CHECK((failed.error().code == ErrorCode::dns_timeout ||
           failed.error().code == ErrorCode::dns_failed));
  }
}

TEST_CASE("An answer cut short is a failure, never half an address") {
  ResolverFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  fixture.server.set_fault(DnsFault::cut_short);
  CHECK(fixture.resolve("www.example.org").error().code == ErrorCode::dns_failed);
}

TEST_CASE("Many rounds of lookups leave no descriptor behind") {
  ResolverFixture fixture;
  fixture.options.cache_entries_max = 0;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  fixture.server.set_fault(DnsFault::truncated);
  REQUIRE(fixture.answer("www.example.org") == "93.184.216.34");
  UniqueFd probe(::dup(0));
  int before = probe.get();
  probe.reset();
  for (int i = 0; i < 100; ++i) REQUIRE(fixture.answer("www.example.org") == "93.184.216.34");
  probe = UniqueFd(::dup(0));
  CHECK(probe.get() <= before + 4);  // the server's thread may not have closed its last ones yet
}

TEST_CASE("Overlapping queries are asked from many ports, each for a while") {
  ResolverFixture fixture;
  std::list<ResolverFixture::Waiting> all = all_waiting(fixture, 60);
  std::map<std::uint16_t, std::size_t> ports;
  for (const DnsQuery& query : fixture.server.queries()) ++ports[query.from];
  CHECK(ports.size() >= 4);
  for (const auto& [port, queries] : ports) CHECK(queries <= 32);
  fixture.server.release();
  for (ResolverFixture::Waiting& one : all) CHECK(text_of(one.finish().value()) == "93.184.216.34");
}

TEST_CASE("Ports change under a load that never ends") {
  ResolverFixture fixture;
  fixture.options.query_timeout = 10s;
  fixture.options.cache_entries_max = 0;
  constexpr std::size_t names = 200;
  for (std::size_t i = 0; i <= names; ++i) {
    fixture.server.add_a("n" + std::to_string(i) + ".example.org", "93.184.216.34");
  }
  std::list<ResolverFixture::Waiting> two;  // at least one of them always waits
  for (std::size_t i = 0; i < names; ++i) {
    two.emplace_back(fixture, permit_for("n" + std::to_string(i) + ".example.org"), 20s);
    if (two.size() < 2) continue;
    fixture.context.poll();
    CHECK(text_of(two.front().finish().value()) == "93.184.216.34");
    two.pop_front();
  }
  CHECK(text_of(two.front().finish().value()) == "93.184.216.34");
  std::map<std::uint16_t, std::size_t> ports;
  for (const DnsQuery& query : fixture.server.queries()) ++ports[query.from];
  CHECK(ports.size() >= 2 * names / 32);
}

TEST_CASE("With every port waiting for a silent server, queries are asked from further ports") {
  ResolverFixture fixture;
  std::list<ResolverFixture::Waiting> all =
      all_waiting(fixture, 400);  // three times what eight ports take
  std::map<std::uint16_t, std::size_t> ports;
  for (const DnsQuery& query : fixture.server.queries()) ++ports[query.from];
  CHECK(ports.size() >= 2 * 400 / 32);
  for (const auto& [port, queries] : ports) CHECK(queries <= 32);
  fixture.server.release();
  for (ResolverFixture::Waiting& one : all) CHECK(text_of(one.finish().value()) == "93.184.216.34");
}
