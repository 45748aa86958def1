#include "proxy/net/deadlines.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <vector>

using namespace nono;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

struct Item final : Expiring {
  void on_expired() noexcept override {
    at = Clock::now();
    if (again) revive();
    if (then) then();
  }
  Clock::time_point at{};
  bool again = false;
  std::function<void()> then;
};

struct Scene {
  net::io_context io{1};
  Deadlines deadlines{io.get_executor(), 1ms};  // the wheel is a quarter of a second long
};

}  // namespace

TEST_CASE("what is due expires, never early, and in any order of arming") {
  Scene scene;
  const auto start = Clock::now();
  std::vector<std::unique_ptr<Item>> items;
  const std::vector<int> times{40, 0, 300, 1, 255, 256, 257, 90, 511, 600, -5};
  for (const int time : times) {
    items.push_back(std::make_unique<Item>());
    scene.deadlines.arm(*items.back(), std::chrono::milliseconds(time));
  }
  scene.io.run_for(10s);  // ends by itself: nothing is armed any more
  REQUIRE(scene.io.stopped());
  for (std::size_t at = 0; at < times.size(); ++at) {
    INFO(times[at]);
    CHECK(items[at]->expired());
    CHECK(items[at]->at - start >= std::chrono::milliseconds(times[at]));
  }
}

TEST_CASE("renewing puts it off, a shorter time brings it forward, disarming ends it") {
  Scene scene;
  Item later, sooner, never;
  const auto start = Clock::now();
  scene.deadlines.arm(later, 20ms);
  scene.deadlines.arm(later, 400ms);
  scene.deadlines.arm(sooner, 60s);
  scene.deadlines.arm(sooner, 20ms);
  scene.deadlines.arm(never, 20ms);
  scene.deadlines.disarm(never);
  scene.io.run_for(20s);
  REQUIRE(scene.io.stopped());
  CHECK(later.at - start >= 400ms);
  CHECK(sooner.expired());
  CHECK(sooner.at < later.at);
  CHECK_FALSE(never.expired());
}

TEST_CASE("what expires may renew, disarm or destroy what is due in the same tick") {
  Scene scene;
  Item first, renewed, disarmed;
  auto destroyed = std::make_unique<Item>();
  const auto start = Clock::now();
  first.then = [&] {
    scene.deadlines.arm(renewed, 50ms);
    scene.deadlines.disarm(disarmed);
    destroyed.reset();
  };
  for (Item* item : {&first, &renewed, &disarmed, destroyed.get()}) {
    scene.deadlines.arm(*item, 5ms);
  }
  const auto until = Clock::now() + 10ms;
  while (Clock::now() < until) {
  }
  scene.io.run_for(10s);
  REQUIRE(scene.io.stopped());
  CHECK(first.expired());
  CHECK(renewed.at - start >= 50ms);
  CHECK_FALSE(disarmed.expired());
  CHECK(destroyed == nullptr);
}

TEST_CASE("what expired is not armed again unless it revives, and then as often as it likes") {
  Scene scene;
  Item once, repeated;
  int count = 0;
  repeated.again = true;
  repeated.then = [&] {
    if (++count < 5) scene.deadlines.arm(repeated, 3ms);
  };
  once.then = [&] { scene.deadlines.arm(once, 1ms); };
  scene.deadlines.arm(once, 1ms);
  scene.deadlines.arm(repeated, 1ms);
  scene.io.run_for(10s);
  REQUIRE(scene.io.stopped());
  CHECK(count == 5);
}

TEST_CASE("after a pause longer than the wheel all that is due expires at once") {
  Scene scene;
  std::vector<std::unique_ptr<Item>> items;
  for (int time = 1; time < 500; time += 7) {
    items.push_back(std::make_unique<Item>());
    scene.deadlines.arm(*items.back(), std::chrono::milliseconds(time));
  }
  Item far;
  scene.deadlines.arm(far, 60s);
  const auto until = Clock::now() + 520ms;
  while (Clock::now() < until) {
  }
  scene.io.run_for(20ms);
  for (const auto& item : items) CHECK(item->expired());
  CHECK_FALSE(far.expired());
}

TEST_CASE("a registry that stops lets its context end and touches what outlives it no more") {
  Item item;
  {
    Scene scene;
    scene.deadlines.arm(item, 60s);
    scene.deadlines.stop();
    scene.io.run_for(10s);
    CHECK(scene.io.stopped());
  }
  CHECK_FALSE(item.expired());
}
