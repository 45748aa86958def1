// Made-up addresses: which name has which, and that a live one never changes hands.

#include "tests/dns/stub_fixture.hpp"

using namespace nono;
using namespace nono::test;
using dns::SyntheticOptions;
using dns::SyntheticPool;

namespace {

HostName name(const std::string& text) {
  return HostName::parse(text).value();
}
const SyntheticPool::TimePoint start{std::chrono::hours(1)};

std::unique_ptr<SyntheticPool> pool_of(std::size_t names_max, const char* v6 = nullptr) {
  SyntheticOptions options;
  options.names_max = names_max;
  options.ttl = 5s;
  options.grace = 10s;
  if (v6 != nullptr) options.v6_range = Cidr::parse(v6).value();
  return SyntheticPool::make(options).value();
}

std::string v4_of(SyntheticPool& pool, const std::string& text, SyntheticPool::TimePoint now) {
  const auto given = pool.give(name(text), now);
  return given ? given->v4.to_string() : "none";
}

}  // namespace

TEST_CASE("A name keeps its address while it is asked for, and others have others") {
  auto pool = pool_of(10);
  CHECK(v4_of(*pool, "a.example", start) == "198.18.0.1");
  CHECK(v4_of(*pool, "b.example", start) == "198.18.0.2");
  CHECK(v4_of(*pool, "a.example", start + 1h) == "198.18.0.1");
  CHECK(pool->name_of(ip("198.18.0.2")) == name("b.example"));
  CHECK_FALSE(pool->name_of(ip("198.18.0.3")));
  CHECK_FALSE(pool->name_of(ip("198.18.0.0")));
  CHECK_FALSE(pool->name_of(ip("93.184.216.34")));
}

TEST_CASE("The address that was connected to gives the name, mapped or not") {
  auto pool = pool_of(10, "fd00:6e6f::/96");
  const auto given = pool->give(name("a.example"), start);
  REQUIRE(given);
  REQUIRE(given->v6);
  CHECK(given->v6->to_string() == "fd00:6e6f::1");
  for (const IpAddress& address : {given->v4, *given->v6, ip("::ffff:198.18.0.1")}) {
    auto lease = pool->acquire(address, start);
    REQUIRE(lease);
    CHECK(lease->name() == name("a.example"));
    CHECK(pool->owns(address));
  }
  CHECK_FALSE(pool->acquire(ip("198.18.0.2"), start));
  CHECK_FALSE(pool->acquire(ip("198.20.0.1"), start));
  CHECK(pool->owns(ip("198.19.255.255")));
  CHECK_FALSE(pool->owns(ip("198.20.0.0")));
}

TEST_CASE("A full pool gives nothing, rather than somebody else's address") {
  auto pool = pool_of(2);
  CHECK(v4_of(*pool, "a.example", start) == "198.18.0.1");
  CHECK(v4_of(*pool, "b.example", start) == "198.18.0.2");
  CHECK(v4_of(*pool, "c.example", start) == "none");
  CHECK(v4_of(*pool, "c.example", start + 14s) == "none");
  CHECK(pool->size() == 2);
}

TEST_CASE("After TTL and grace the address used longest ago is given anew") {
  auto pool = pool_of(2);
  v4_of(*pool, "a.example", start);
  v4_of(*pool, "b.example", start + 1s);
  v4_of(*pool, "a.example", start + 2s);
  CHECK(v4_of(*pool, "c.example", start + 16s) == "198.18.0.2");
  CHECK(pool->name_of(ip("198.18.0.2")) == name("c.example"));
  CHECK(v4_of(*pool, "b.example", start + 17s) == "198.18.0.1");
}

TEST_CASE("An address that a connection holds is never given to another name") {
  auto pool = pool_of(2);
  v4_of(*pool, "a.example", start);
  v4_of(*pool, "b.example", start);
  auto held = pool->acquire(ip("198.18.0.1"), start);
  auto held_too = pool->acquire(ip("198.18.0.1"), start);
  REQUIRE(held);
  for (int i = 1; i < 100; ++i) {
    CHECK(v4_of(*pool, "n" + std::to_string(i) + ".example", start + i * 1min) == "198.18.0.2");
    CHECK(held->name() == name("a.example"));
  }
  held.reset();
  CHECK(v4_of(*pool, "x.example", start + 24h) == "198.18.0.2");
  CHECK(v4_of(*pool, "y.example", start + 24h) == "none");
  held_too.reset();
  CHECK(v4_of(*pool, "y.example", start + 25h) == "198.18.0.1");
  CHECK(v4_of(*pool, "z.example", start + 25h) == "198.18.0.2");
}

TEST_CASE("Every address held: none is left, and letting one go makes room") {
  auto pool = pool_of(50);
  std::vector<SyntheticPool::Lease> leases;
  for (int i = 1; i <= 50; ++i) {
    v4_of(*pool, "n" + std::to_string(i) + ".example", start);
    leases.push_back(*pool->acquire(ip("198.18.0." + std::to_string(i)), start));
  }
  CHECK(v4_of(*pool, "more.example", start + 1h) == "none");
  leases.erase(leases.begin() + 6);
  CHECK(v4_of(*pool, "more.example", start + 2h) == "198.18.0.7");
}

TEST_CASE("A lease moves, and outlives its pool") {
  auto pool = pool_of(2);
  v4_of(*pool, "a.example", start);
  auto lease = pool->acquire(ip("198.18.0.1"), start);
  REQUIRE(lease);
  SyntheticPool::Lease moved = std::move(*lease);
  lease.reset();
  pool.reset();
  CHECK(moved.name() == name("a.example"));
}

TEST_CASE("Whoever connects may do so again without asking: the address stays theirs") {
  auto pool = pool_of(1);
  v4_of(*pool, "a.example", start);
  pool->acquire(ip("198.18.0.1"), start + 14s);
  CHECK(v4_of(*pool, "b.example", start + 16s) == "none");
  CHECK(v4_of(*pool, "b.example", start + 29s) == "198.18.0.1");
}

TEST_CASE("A small range holds what it holds, and its ends are not given out") {
  SyntheticOptions options;
  options.v4_range = Cidr::parse("198.18.9.0/29").value();
  options.grace = 0s;
  auto pool = SyntheticPool::make(options).value();
  for (int i = 1; i <= 6; ++i) {
    CHECK(v4_of(*pool, "n" + std::to_string(i) + ".example", start) ==
          "198.18.9." + std::to_string(i));
  }
  CHECK(v4_of(*pool, "n7.example", start) == "none");
}

TEST_CASE("Ranges that cannot be used are errors that name them") {
  const auto refused = [](const char* v4, const char* v6) {
    SyntheticOptions options;
    options.v4_range = Cidr::parse(v4).value();
    if (v6 != nullptr) options.v6_range = Cidr::parse(v6).value();
    auto made = SyntheticPool::make(options);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == ErrorCode::bad_input);
    return made.error().what;
  };
  CHECK_THAT(refused("198.18.0.0/31", nullptr), Catch::Contains("198.18.0.0/31"));
  CHECK_THAT(refused("fd00::/96", nullptr), Catch::Contains("fd00::/96"));
  CHECK_THAT(refused("198.18.0.0/15", "fd00::/64"), Catch::Contains("/96"));
  CHECK_THAT(refused("198.18.0.0/15", "fd00::/127"), Catch::Contains("too small"));
}

TEST_CASE("The stub answers with made-up addresses, and asks nobody ever") {
  StubFixture fixture({"*.example.org"});
  auto pool = pool_of(100);
  fixture.source = std::make_unique<dns::SyntheticAnswers>(*pool);
  const Reply first = fixture.ask("git.example.org");
  CHECK(first.addresses == std::vector<std::string>{"198.18.0.1"});
  REQUIRE(first.ttls.size() == 1);
  CHECK(first.ttls[0] <= 5);
  CHECK(fixture.ask("GIT.example.org").addresses == first.addresses);
  CHECK(fixture.ask("db.example.org").addresses == std::vector<std::string>{"198.18.0.2"});
  const Reply six = fixture.ask("git.example.org", dns::type_aaaa);
  CHECK(six.rcode == 0);
  CHECK(six.addresses.empty());
  CHECK(six.soa);
  CHECK(fixture.ask("evil.example").rcode == 3);
  CHECK(pool->size() == 2);  // a denied name has no address
  CHECK(fixture.ask("1.0.18.198.in-addr.arpa", dns::type_ptr).pointers ==
        std::vector<std::string>{"git.example.org"});
  CHECK(fixture.ask("3.0.18.198.in-addr.arpa", dns::type_ptr).rcode == 3);
  CHECK(fixture.server.queries().empty());
}

TEST_CASE("With an IPv6 range AAAA is answered, and its reverse name too") {
  StubFixture fixture({"*.example.org"});
  auto pool = pool_of(100, "fd00:6e6f::/96");
  fixture.source = std::make_unique<dns::SyntheticAnswers>(*pool);
  CHECK(fixture.ask("git.example.org", dns::type_aaaa).addresses ==
        std::vector<std::string>{"fd00:6e6f::1"});
  CHECK(fixture
            .ask("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.f.6.e.6.0.0.d.f.ip6.arpa",
                 dns::type_ptr)
            .pointers == std::vector<std::string>{"git.example.org"});
}

TEST_CASE("A flood of permitted names ends in SERVFAIL, never in an address that is in use") {
  StubFixture fixture({"*.example.org"});
  auto pool = pool_of(10);
  fixture.source = std::make_unique<dns::SyntheticAnswers>(*pool);
  std::set<std::string> given;
  for (int i = 0; i < 50; ++i) {
    const Reply reply = fixture.ask("n" + std::to_string(i) + ".example.org");
    if (i < 10) {
      REQUIRE(reply.addresses.size() == 1);
      CHECK(given.insert(reply.addresses[0]).second);
    } else {
      CHECK(reply.rcode == 2);
      CHECK(reply.addresses.empty());
    }
  }
  CHECK(pool->name_of(ip("198.18.0.1")) == name("n0.example.org"));
}
