// The resolver against a fake server: what it answers, and what it must never ask.

#include <array>
#include <fstream>
#include <list>

#include "tests/dns/fixture.hpp"
#include "tests/support/run_coroutine.hpp"

using namespace nono;
using namespace nono::test;

TEST_CASE("A permitted name gives its vetted addresses, IPv6 first") {
  ResolverFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  fixture.server.add_aaaa("www.example.org", "2606:2800::1");
  CHECK(fixture.answer("www.example.org") == "2606:2800::1, 93.184.216.34");
  CHECK(fixture.server.count("www.example.org", dns_type_a) == 1);
  CHECK(fixture.server.count("www.example.org", dns_type_aaaa) == 1);
}

TEST_CASE("Nothing is asked or opened before the first name") {
  ResolverFixture fixture;
  fixture.make();
  fixture.context.poll();
  CHECK(fixture.server.queries().empty());
}

TEST_CASE("A literal address is vetted without a query") {
  ResolverFixture fixture;
  CHECK(fixture.answer("93.184.216.34") == "93.184.216.34");
  CHECK(fixture.answer("::1") == "::1");
  CHECK(fixture.server.queries().empty());
}

TEST_CASE("A name that resolves to a private address is refused with the flag that allows it") {
  ResolverFixture fixture;
  fixture.server.add_a("sneaky.example.org", "10.0.0.5");
  auto refused = fixture.resolve("sneaky.example.org");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::address_refused);
  CHECK(refused.error().side == Side::client);
  CHECK_THAT(refused.error().what, Catch::Contains("sneaky.example.org resolves to 10.0.0.5"));
  CHECK_THAT(refused.error().fix, Catch::Contains("--allow-private 10.0.0.0/8"));
  CHECK(fixture.answer("sneaky.example.org", {"10.0.0.0/8"}) == "10.0.0.5");
}

TEST_CASE("Each permit has its own say about a cached answer") {
  ResolverFixture fixture;
  fixture.server.add_a("db.example.org", "10.0.0.5");
  CHECK(fixture.answer("db.example.org", {"10.0.0.0/8"}) == "10.0.0.5");
  CHECK(fixture.resolve("db.example.org").error().code == ErrorCode::address_refused);
  CHECK(fixture.server.count("db.example.org") == 2);
}

TEST_CASE("Metadata is refused whatever is allowed") {
  ResolverFixture fixture;
  fixture.server.add_a("meta.example.org", "169.254.169.254");
  auto refused = fixture.resolve("meta.example.org", {"0.0.0.0/0"});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::address_refused);
  CHECK(refused.error().fix == "no flag allows it");
}

TEST_CASE("A CNAME chain is judged at the address where it ends") {
  ResolverFixture fixture;
  fixture.server.add_cname("www.example.org", "edge.cdn.example");
  fixture.server.add_cname("edge.cdn.example", "host.cdn.example");
  fixture.server.add_a("host.cdn.example", "93.184.216.34");
  CHECK(fixture.answer("www.example.org") == "93.184.216.34");

  fixture.server.add_cname("trap.example.org", "router.internal");
  fixture.server.add_a("router.internal", "192.168.1.1");
  auto refused = fixture.resolve("trap.example.org");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::address_refused);
  CHECK(fixture.server.count("router.internal") == 0);
}

TEST_CASE("A name with IPv6 addresses only is found") {
  ResolverFixture fixture;
  fixture.server.add_aaaa("six.example.org", "2606:4700::6");
  CHECK(fixture.answer("six.example.org") == "2606:4700::6");
}

TEST_CASE("A mapped address in AAAA does not slip past the filter") {
  ResolverFixture fixture;
  fixture.server.add_aaaa("mapped.example.org", "::ffff:127.0.0.1");
  CHECK(fixture.resolve("mapped.example.org").error().code == ErrorCode::address_refused);
  CHECK(fixture.answer("mapped.example.org", {"127.0.0.0/8"}) == "127.0.0.1");
}

TEST_CASE("A name that does not exist is not found, and is not asked for again at once") {
  ResolverFixture fixture;
  for (int i = 0; i < 3; ++i) {
    auto missing = fixture.resolve("gone.example.org");
    REQUIRE_FALSE(missing);
    CHECK(missing.error().code == ErrorCode::name_not_found);
    CHECK(missing.error().side == Side::upstream);
    CHECK_THAT(missing.error().what, Catch::Contains("gone.example.org"));
  }
  CHECK(fixture.server.count("gone.example.org") == 2);
}

TEST_CASE("A name without any address is not found") {
  ResolverFixture fixture;
  fixture.server.add_cname("loop.example.org", "loop.example.org");
  CHECK(fixture.resolve("loop.example.org").error().code == ErrorCode::name_not_found);
}

TEST_CASE("A second connection to a name asks nobody") {
  ResolverFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34", 60);
  CHECK(fixture.answer("www.example.org") == "93.184.216.34");
  CHECK(fixture.answer("www.example.org") == "93.184.216.34");
  CHECK(fixture.server.count("www.example.org") == 2);  // A and AAAA, once
}

TEST_CASE("A hundred who ask at once share one pair of queries") {
  ResolverFixture fixture;
  fixture.server.add_a("busy.example.org", "93.184.216.34");
  fixture.server.set_fault(DnsFault::hold);
  Permit permit = permit_for("busy.example.org");
  std::list<ResolverFixture::Waiting> all;
  for (int i = 0; i < 100; ++i) all.emplace_back(fixture, permit, 20s);
  fixture.context.poll();
  REQUIRE(fixture.server.wait_for_queries(2));
  CHECK(std::none_of(all.begin(), all.end(), [](const auto& one) { return one.done(); }));
  fixture.server.release();
  for (ResolverFixture::Waiting& one : all) CHECK(text_of(one.finish().value()) == "93.184.216.34");
  CHECK(fixture.server.queries().size() == 2);
}

TEST_CASE("Different names are asked for side by side") {
  ResolverFixture fixture;
  fixture.server.add_a("one.example.org", "93.184.216.1");
  fixture.server.add_a("two.example.org", "93.184.216.2");
  fixture.server.set_fault(DnsFault::hold, "one.example.org");
  ResolverFixture::Waiting one(fixture, permit_for("one.example.org"), 20s);
  CHECK(fixture.answer("two.example.org") == "93.184.216.2");
  CHECK_FALSE(one.done());
  fixture.server.release();
  CHECK(text_of(one.finish().value()) == "93.184.216.1");
}

TEST_CASE("Past the bound of lookups in flight more names are refused, not queued") {
  ResolverFixture fixture;
  fixture.options.lookups_max = 2;
  fixture.server.set_fault(DnsFault::hold);
  ResolverFixture::Waiting one(fixture, permit_for("one.example.org"), 20s);
  ResolverFixture::Waiting two(fixture, permit_for("two.example.org"), 20s);
  fixture.context.poll();
  auto third = fixture.resolve("three.example.org");
  REQUIRE_FALSE(third);
  CHECK(third.error().code == ErrorCode::limit);
  // Half of the places are for DNS clients only as long as there are any.
  ResolverFixture::Waiting by_dns(fixture, permit_for("four.example.org"), 20s,
                                  dns::Asker::dns_client);
  CHECK(by_dns.finish().error().code == ErrorCode::limit);
  REQUIRE(fixture.server.wait_for_queries(4));
  fixture.server.release();
  CHECK(one.finish().error().code == ErrorCode::name_not_found);
  CHECK(two.finish().error().code == ErrorCode::name_not_found);
  CHECK(fixture.server.count("three.example.org") == 0);
}

TEST_CASE("Who asks by DNS leaves half of the lookups to those who have a token") {
  ResolverFixture fixture;
  fixture.options.lookups_max = 4;
  fixture.server.set_fault(DnsFault::hold);
  const auto asks = [&](const char* name) {
    return std::make_unique<ResolverFixture::Waiting>(fixture, permit_for(name), 20s,
                                                      dns::Asker::dns_client);
  };
  const auto one = asks("one.example.org"), two = asks("two.example.org");
  fixture.context.poll();
  const auto third = asks("three.example.org");
  CHECK(third->finish().error().code == ErrorCode::limit);
  ResolverFixture::Waiting mine(fixture, permit_for("mine.example.org"), 20s);
  ResolverFixture::Waiting also(fixture, permit_for("also.example.org"), 20s);
  fixture.context.poll();
  CHECK(fixture.resolve("past.example.org").error().code == ErrorCode::limit);
  REQUIRE(fixture.server.wait_for_queries(8));
  fixture.server.release();
  CHECK(mine.finish().error().code == ErrorCode::name_not_found);
  CHECK(also.finish().error().code == ErrorCode::name_not_found);
  CHECK(one->finish().error().code == ErrorCode::name_not_found);
  CHECK(two->finish().error().code == ErrorCode::name_not_found);
  fixture.server.set_fault(DnsFault::none);  // their places are free again
  CHECK(asks("four.example.org")->finish().error().code == ErrorCode::name_not_found);
}

TEST_CASE("localhost and names under it are loopback, unasked, and refused without allow_private") {
  ResolverFixture fixture;
  fixture.server.add_a("localhost", "93.184.216.34");
  fixture.server.add_a("app.localhost", "93.184.216.34");
  for (const char* name : {"localhost", "app.localhost"}) {
    auto refused = fixture.resolve(name);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::address_refused);
    CHECK(fixture.answer(name, {"127.0.0.0/8"}) == "127.0.0.1");
    CHECK(fixture.answer(name, {"::1/128"}) == "::1");
  }
  CHECK(fixture.server.queries().empty());
  CHECK(fixture.answer("notlocalhost", {"127.0.0.0/8"}) != "127.0.0.1");
  CHECK(fixture.server.count("notlocalhost") == 2);
}

TEST_CASE("The hosts file comes before the DNS and is vetted like it") {
  char path[] = "/tmp/nono-hosts-XXXXXX";
  ::close(::mkstemp(path));
  std::ofstream(path) << "93.184.216.99 pinned.example.org\n10.0.0.7 inside.example.org\n";
  ResolverFixture fixture;
  fixture.options.hosts_file = path;
  fixture.server.add_a("pinned.example.org", "93.184.216.34");
  CHECK(fixture.answer("pinned.example.org") == "93.184.216.99");
  CHECK(fixture.resolve("inside.example.org").error().code == ErrorCode::address_refused);
  CHECK(fixture.server.queries().empty());
  std::remove(path);
}

TEST_CASE("The name asked for is the name judged: no search domain is ever added") {
  ::setenv("LOCALDOMAIN", "evil.example corp.example", 1);
  ::setenv("RES_OPTIONS", "ndots:15", 1);
  ResolverFixture fixture;
  CHECK(fixture.resolve("intranet").error().code == ErrorCode::name_not_found);
  CHECK(fixture.resolve("printer.local").error().code == ErrorCode::name_not_found);
  ::unsetenv("LOCALDOMAIN");
  ::unsetenv("RES_OPTIONS");
  for (const DnsQuery& query : fixture.server.queries()) {
    CHECK((query.name == "intranet" || query.name == "printer.local"));
  }
  CHECK(fixture.server.queries().size() == 4);
}

TEST_CASE("HOSTALIASES does not send a judged name elsewhere") {
  char path[] = "/tmp/nono-alias-XXXXXX";
  ::close(::mkstemp(path));
  std::ofstream(path) << "intranet evil.example\n";
  ::setenv("HOSTALIASES", path, 1);
  ResolverFixture fixture;
  fixture.server.add_a("intranet", "93.184.216.34");
  CHECK(fixture.answer("intranet") == "93.184.216.34");
  CHECK(fixture.server.count("evil.example") == 0);
  ::unsetenv("HOSTALIASES");
  std::remove(path);
}

TEST_CASE("A server that changes the case of names is understood") {
  ResolverFixture fixture;
  fixture.server.add_a("www.example.org", "93.184.216.34");
  fixture.server.set_fault(DnsFault::shouting);
  CHECK(fixture.answer("www.example.org") == "93.184.216.34");
}

TEST_CASE("A DNS server given as a name is an error") {
  net::io_context context;
  dns::ResolverOptions options;
  options.servers = {HostPort{HostName::parse("dns.example.org").value(), Port(53)}};
  auto made = dns::make_resolver(context.get_executor(), options);
  REQUIRE_FALSE(made);
  CHECK(made.error().code == ErrorCode::bad_input);
  CHECK_THAT(made.error().fix, Catch::Contains("--dns-server ADDR"));
}

TEST_CASE("A resolver that goes while somebody waits ends the wait") {
  ResolverFixture fixture;
  fixture.server.set_fault(DnsFault::silent);
  ResolverFixture::Waiting waiting(fixture, permit_for("www.example.org"), 20s);
  fixture.context.poll();
  REQUIRE(fixture.server.wait_for_queries(2));
  fixture.resolver.reset();
  auto ended = waiting.finish();
  REQUIRE_FALSE(ended);
  CHECK(ended.error().code == ErrorCode::closed);
}

TEST_CASE("Resolver and context may go with lookups unfinished") {
  ResolverFixture fixture;
  fixture.server.set_fault(DnsFault::silent);
  Permit permit = permit_for("www.example.org");
  ResolverFixture::Waiting one(fixture, permit, 20s);
  ResolverFixture::Waiting two(fixture, permit, 20s);
  fixture.context.poll();
  CHECK_FALSE(one.done());
  CHECK_FALSE(two.done());
}

namespace {

Awaitable<std::chrono::seconds> ttl_of(dns::Resolver& resolver, const Permit& permit) {
  auto deadline = std::chrono::steady_clock::now() + 10s;
  Result<dns::VettedAddresses> vetted = co_await resolver.resolve(permit, deadline);
  co_return vetted ? vetted->ttl() : std::chrono::seconds(-1);
}

}  // namespace

TEST_CASE("The time for which addresses may be remembered comes along, the least of the chain") {
  ResolverFixture fixture;
  fixture.server.add_cname("www.example.org", "edge.example.org", 30);
  fixture.server.add_a("edge.example.org", "93.184.216.34", 600);
  fixture.server.add_aaaa("edge.example.org", "2606:4700::1", 40);
  fixture.make();
  Permit permit = permit_for("www.example.org");
  CHECK(run_coroutine(fixture.context, ttl_of(*fixture.resolver, permit)) == 30s);
  std::chrono::seconds cached = run_coroutine(fixture.context, ttl_of(*fixture.resolver, permit));
  CHECK(cached <= 30s);
  CHECK(cached >= 20s);
}

TEST_CASE("A name that does not exist is known as that, one without an address is not") {
  ResolverFixture fixture;
  fixture.server.add_cname("empty.example.org", "empty.example.org");
  HostName gone = HostName::parse("gone.example.org").value();
  HostName empty = HostName::parse("empty.example.org").value();
  fixture.make();
  CHECK_FALSE(fixture.resolver->known_missing(gone));
  fixture.resolve("gone.example.org");
  fixture.resolve("empty.example.org");
  CHECK(fixture.resolver->known_missing(gone));
  CHECK_FALSE(fixture.resolver->known_missing(empty));
}
