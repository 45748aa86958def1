#include "proxy/cli/control_thread.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <string>

using namespace nono::cli;
using namespace std::chrono_literals;

TEST_CASE("jobs run one after the other, in the order given") {
  std::string order;
  std::promise<void> last;
  ControlThread thread;
  for (char name = 'a'; name <= 'e'; ++name) {
    thread.post([&order, name] { order += name; });
  }
  thread.post([&] { last.set_value(); });
  REQUIRE(last.get_future().wait_for(10s) == std::future_status::ready);
  CHECK(order == "abcde");
}

TEST_CASE("finishing waits for the job under way and drops those behind it") {
  std::promise<void> begun, go;
  std::atomic<int> ran{0};
  ControlThread thread;
  thread.post([&] {
    begun.set_value();
    go.get_future().wait();
    ++ran;
  });
  thread.post([&] { ran += 100; });
  begun.get_future().wait();
  CHECK_FALSE(thread.finish(0ms));  // it still runs, and that is said
  CHECK(ran == 0);
  go.set_value();
  CHECK(thread.finish(10s));
  CHECK(ran == 1);
  thread.post([&] { ran += 1000; });
  CHECK(thread.finish(0ms));
  CHECK(ran == 1);
}

TEST_CASE("a thread that has nothing to do ends at once") {
  ControlThread thread;
  CHECK(thread.finish(10s));
}

TEST_CASE("destroying it waits for the job under way, which may use what it was made with") {
  std::atomic<bool> done{false};
  {
    std::promise<void> begun;
    ControlThread thread;
    thread.post([&] {
      begun.set_value();
      done = true;
    });
    begun.get_future().wait();
  }
  CHECK(done);
}

TEST_CASE("a job may post another") {
  std::promise<void> done;
  ControlThread thread;
  thread.post([&] { thread.post([&] { done.set_value(); }); });
  CHECK(done.get_future().wait_for(10s) == std::future_status::ready);
}
