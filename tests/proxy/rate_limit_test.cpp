#include "proxy/rate_limit.hpp"

#include <catch2/catch.hpp>

#include <thread>
#include <vector>

namespace nono::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const RateLimit::Clock::time_point start = RateLimit::Clock::time_point(std::chrono::hours(1));

int taken(RateLimit& limit, RateLimit::Clock::time_point now, int tries) {
  int count = 0;
  for (int i = 0; i < tries; ++i) count += limit.take(now) ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("zero is no bound") {
  RateLimit limit(0);
  CHECK(taken(limit, start, 100'000) == 100'000);
}

TEST_CASE("a second's worth may come at once, and not one more") {
  for (const unsigned rate : {1U, 2U, 3U, 7U, 100U, 999U}) {
    RateLimit limit(rate);
    INFO(rate);
    CHECK(taken(limit, start, 5000) == static_cast<int>(rate));
  }
}

TEST_CASE("what was taken comes back evenly, and never more than a second's worth") {
  RateLimit limit(10);
  REQUIRE(taken(limit, start, 100) == 10);
  CHECK(taken(limit, start + milliseconds(99), 100) == 0);
  CHECK(taken(limit, start + milliseconds(100), 100) == 1);
  CHECK(taken(limit, start + milliseconds(500), 100) == 4);
  CHECK(taken(limit, start + seconds(3600), 100) == 10);
}

TEST_CASE("refusals cost nothing: a flood does not lock out who comes after it") {
  RateLimit limit(5);
  taken(limit, start, 100'000);
  CHECK(taken(limit, start + seconds(1), 100) == 5);
}

TEST_CASE("over a long time the rate holds") {
  RateLimit limit(50);
  int count = 0;
  for (int step = 0; step < 10'000; ++step) {
    count += limit.take(start + milliseconds(step)) ? 1 : 0;
  }
  CHECK(count >= 500);
  CHECK(count <= 550);
}

TEST_CASE("more than a billion in a second is as good as no bound") {
  RateLimit limit(4'000'000'000U);
  CHECK(taken(limit, start, 100'000) == 100'000);
}

TEST_CASE("threads together get no more than the rate") {
  RateLimit limit(1000);
  std::atomic<int> count{0};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { count += taken(limit, start, 1000); });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(count == 1000);
}

}  // namespace nono::test
