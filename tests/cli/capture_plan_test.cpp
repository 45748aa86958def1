#include "proxy/cli/capture_plan.hpp"

#include <catch2/catch.hpp>

using namespace nono;
using namespace nono::cli;
using Catch::Matchers::Contains;

namespace {

SessionConfig allowing(std::vector<std::string> hosts) {
  SessionConfig config;
  config.network.mode = NetworkMode::filtered;
  for (std::string& host : hosts) {
    config.network.allow.push_back(HostRule{std::move(host), {}, {"test"}});
  }
  return config;
}

std::vector<int> numbers(const std::vector<Port>& ports) {
  std::vector<int> out;
  for (const Port port : ports) out.push_back(port.value());
  return out;
}

}  // namespace

TEST_CASE("a run captures DNS, the usual ports and those that rules name") {
  SessionConfig config = allowing({"db.example:5432"});
  config.network.open_ports = {Port(8000)};
  const sandbox::Capture capture = plan_capture(config, sandbox::AllPorts::automatic);
  CHECK(capture.dns);
  CHECK(numbers(capture.loopback_ports) == std::vector<int>{8000});
  CHECK_THAT(numbers(capture.ports), Catch::Matchers::UnorderedEquals(std::vector{80, 443, 5432}));
}

TEST_CASE("the proxy's port inside gives way to ports that rules name, unless it was chosen") {
  SessionConfig config = allowing({"a.example:3128"});
  config.network.open_ports = {Port(3129)};
  const sandbox::Capture capture = plan_capture(config, sandbox::AllPorts::automatic);
  CHECK(choose_proxy_port({}, capture)->value() == 3130);
  CHECK(choose_proxy_port(4000, capture)->value() == 4000);
  CHECK_THAT(choose_proxy_port(3128, capture).error().what, Contains("--proxy-port 3128"));
  CHECK(choose_proxy_port({}, {})->value() == 3128);
}

TEST_CASE("a user hears of it where not every port that rules name can be captured") {
  const SessionConfig all = allowing({"a.example:*"});
  const sandbox::Capture capture = plan_capture(all, sandbox::AllPorts::automatic);
  CHECK(capture_warning(all, capture, true).empty());
  CHECK_THAT(capture_warning(all, capture, false), Contains("only some ports"));
  const SessionConfig some = allowing({"a.example:8443"});
  CHECK(capture_warning(some, plan_capture(some, sandbox::AllPorts::off), false).empty());
  std::vector<std::string> hosts;
  for (int port = 1000; port < 1600; ++port) hosts.push_back("a.example:" + std::to_string(port));
  const SessionConfig many = allowing(hosts);
  const sandbox::Capture bounded = plan_capture(many, sandbox::AllPorts::off);
  CHECK(bounded.ports.size() == 400);
  CHECK_THAT(capture_warning(many, bounded, false), Contains("only some ports"));
}
