#include "dns/cache.hpp"

#include "tests/dns/fixture.hpp"

using namespace nono;
using namespace nono::test;
using dns::Cache;
using dns::CacheLimits;

namespace {

HostName name(const std::string& text) {
  return HostName::parse(text).value();
}
const Cache::TimePoint start{};

}  // namespace

TEST_CASE("An answer is kept for its TTL and not a moment longer") {
  Cache cache(CacheLimits{});
  cache.put(name("a.example"), {ip("1.1.1.1")}, 60s, start);
  REQUIRE(cache.find(name("a.example"), start + 59999ms) != nullptr);
  CHECK(text_of(*cache.find(name("a.example"), start)) == "1.1.1.1");
  CHECK(cache.find(name("b.example"), start) == nullptr);
  CHECK(cache.find(name("a.example"), start + 60s) == nullptr);
  CHECK(cache.size() == 0);
}

TEST_CASE("TTLs are held between floor and ceiling") {
  CacheLimits limits;
  limits.ttl_floor = 2s;
  limits.ttl_ceiling = 10s;
  Cache cache(limits);
  cache.put(name("short.example"), {ip("1.1.1.1")}, 0s, start);
  cache.put(name("long.example"), {ip("1.1.1.1")}, std::chrono::hours(24), start);
  CHECK(cache.find(name("short.example"), start + 1999ms) != nullptr);
  CHECK(cache.find(name("short.example"), start + 2s) == nullptr);
  CHECK(cache.find(name("long.example"), start + 9999ms) != nullptr);
  CHECK(cache.find(name("long.example"), start + 10s) == nullptr);
}

TEST_CASE("That a name has no address is remembered for its own time") {
  CacheLimits limits;
  limits.negative_ttl = 5s;
  Cache cache(limits);
  cache.put_negative(name("gone.example"), start);
  REQUIRE(cache.find(name("gone.example"), start + 4s) != nullptr);
  CHECK(cache.find(name("gone.example"), start + 4s)->empty());
  CHECK(cache.find(name("gone.example"), start + 5s) == nullptr);
}

TEST_CASE("A newer answer replaces the older, also a negative one") {
  Cache cache(CacheLimits{});
  cache.put_negative(name("a.example"), start);
  cache.put(name("a.example"), {ip("1.1.1.1")}, 60s, start + 1s);
  cache.put(name("a.example"), {ip("2.2.2.2")}, 60s, start + 2s);
  CHECK(text_of(*cache.find(name("a.example"), start + 61s)) == "2.2.2.2");
  CHECK(cache.size() == 1);
}

TEST_CASE("A full cache forgets what was used longest ago") {
  CacheLimits limits;
  limits.entries_max = 3;
  Cache cache(limits);
  for (const char* text : {"a.example", "b.example", "c.example"}) {
    cache.put(name(text), {ip("1.1.1.1")}, 60s, start);
  }
  REQUIRE(cache.find(name("a.example"), start) != nullptr);  // b is now the oldest
  cache.put(name("d.example"), {ip("1.1.1.1")}, 60s, start);
  CHECK(cache.size() == 3);
  CHECK(cache.find(name("b.example"), start) == nullptr);
  CHECK(cache.find(name("a.example"), start) != nullptr);
  CHECK(cache.find(name("c.example"), start) != nullptr);
  CHECK(cache.find(name("d.example"), start) != nullptr);
}

TEST_CASE("A flood of names does not grow the cache past its bound") {
  CacheLimits limits;
  limits.entries_max = 100;
  Cache cache(limits);
  for (int i = 0; i < 10'000; ++i) {
    cache.put(name("n" + std::to_string(i) + ".example"), {ip("1.1.1.1")}, 60s, start);
  }
  CHECK(cache.size() == 100);
  CHECK(cache.find(name("n9999.example"), start) != nullptr);
}

TEST_CASE("A cache of no entries remembers nothing") {
  CacheLimits limits;
  limits.entries_max = 0;
  Cache cache(limits);
  cache.put(name("a.example"), {ip("1.1.1.1")}, 60s, start);
  CHECK(cache.find(name("a.example"), start) == nullptr);
}
