// `nono proxy --dns-listen`: programs that resolve through it, with dnsmasq's log as the witness of
// what it asked on their behalf.

#include <arpa/inet.h>
#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <iostream>

#include "tests/dns/glibc_resolver.hpp"
#include "tests/dns/wire.hpp"
#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;
using test::Glibc;
using test::Reply;
using test::reply_of;

// The port that a proxy says it answers DNS on.
std::uint16_t dns_port_of(Proxy& proxy, const std::string& address) {
  const std::string before = "answering DNS on " + address + ":";
  REQUIRE(proxy.process().wait_for(before));
  const std::string out = proxy.process().out();
  return static_cast<std::uint16_t>(std::stoi(out.substr(out.find(before) + before.size())));
}

std::vector<nlohmann::json> dns_lines(const Stage& stage) {
  std::vector<nlohmann::json> lines;
  for (const nlohmann::json& line : stage.audit()) {
    if (line.value("way", "") == "dns") lines.push_back(line);
  }
  return lines;
}

TEST_CASE("A standalone DNS server answers for permitted names and asks for no other") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com", "--dns-listen", "127.0.0.1:0"});
  const std::uint16_t port = dns_port_of(proxy, "127.0.0.1");
  for (const unsigned long flags : {0UL, static_cast<unsigned long>(RES_USEVC)}) {
    Glibc client(port, flags);
    int error = -1;
    const Reply permitted = reply_of(client.query("example.com", 1, error));
    CHECK(permitted.addresses == std::vector<std::string>{stage->address()});
    client.query("evil.example", 1, error);
    CHECK(error == HOST_NOT_FOUND);
    client.query("secret.of.evil.example", 16, error);
    CHECK(error == HOST_NOT_FOUND);
    client.query("example.com", 65, error);
    CHECK(error == NO_DATA);
  }
  CHECK(stage->asked_for("example.com"));
  CHECK_FALSE(stage->asked_for("evil.example"));
  proxy.process().signal(SIGTERM);
  CHECK(proxy.process().wait().code == 0);

  const std::vector<nlohmann::json> lines = dns_lines(*stage);
  const auto line_for = [&](const std::string& host, const std::string& decision) {
    return std::count_if(lines.begin(), lines.end(), [&](const nlohmann::json& line) {
      return line.value("host", "") == host && line.value("decision", "") == decision;
    });
  };
  // Once at once, and once with how many more there were.
  CHECK(line_for("example.com", "allow") == 2);
  CHECK(line_for("evil.example", "refuse") == 2);
  CHECK(line_for("secret.of.evil.example", "refuse") == 2);
  CHECK_THAT(stage->audit_text(), Contains("--allow-domain") || Contains("in no rule"));
}

TEST_CASE("Several threads answer DNS on one port") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage,
              {"--allow-domain", "example.com", "--threads", "2", "--dns-listen", "127.0.0.1:0"});
  const std::uint16_t port = dns_port_of(proxy, "127.0.0.1");
  for (int i = 0; i < 20; ++i) {
    Glibc client(port, i % 2 == 0 ? 0UL : static_cast<unsigned long>(RES_USEVC));
    int error = -1;
    CHECK(reply_of(client.query("example.com", 1, error)).addresses.size() == 1);
  }
}

TEST_CASE("Unchanged programs resolve through it: getaddrinfo, with nothing but resolv.conf") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string address = random_loopback();
  Proxy proxy(*stage, {"--allow-domain", "example.com", "--dns-listen", address + ":53"});
  REQUIRE(proxy.process().wait_for("answering DNS on " + address + ":53"));
  const std::string conf = stage->project_file("resolv.conf", "nameserver " + address + "\n");
  const auto in_namespace = [&](const std::string& script) {
    return run({{"unshare", "--mount", "sh", "-c",
                 "mount --bind " + conf + " /etc/resolv.conf && " + script},
                plain_environment(stage->home()),
                stage->project(),
                {},
                ""});
  };
  if (in_namespace("true").code != 0) {
    std::cout << "skipped by name: no mount namespace of our own here\n";
    return;
  }
  const Finished curl = in_namespace("curl -sS --max-time 20 http://example.com/hello");
  INFO(curl.err);
  CHECK(curl.out == "hello\n");
  const Finished denied = in_namespace("getent ahosts evil.example");
  CHECK(denied.code == 2);
  CHECK(denied.out.empty());
  CHECK_FALSE(stage->asked_for("evil.example"));
}

TEST_CASE("A port that another server has is a start-up error that names it") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy first(*stage, {"--allow-domain", "example.com", "--dns-listen", "127.0.0.1:0"});
  const std::string place = "127.0.0.1:" + std::to_string(dns_port_of(first, "127.0.0.1"));
  const Finished taken = run(stage->nono({"proxy", "--listen", "127.0.0.1:0", "--allow-domain",
                                          "example.com", "--dns-listen", place}));
  CHECK(taken.code == 1);
  CHECK_THAT(taken.err, Contains(place) && Contains("in use"));
}

TEST_CASE("DNS off loopback must be asked for") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished refused = run(stage->nono({"proxy", "--listen", "127.0.0.1:0", "--allow-domain",
                                            "example.com", "--dns-listen", "0.0.0.0:0"}));
  CHECK(refused.code != 0);
  CHECK_THAT(refused.err, Contains("--insecure-listen"));
}

TEST_CASE("A name that is allowed after a reload is answered, and one that no longer is, is not") {
  const auto stage = Stage::make();
  if (!stage) return;
  const auto config = [&](const std::string& name) {
    return "dns:\n  listen: [127.0.0.1:0]\nnetwork:\n  allow_domain: [" + name + "]\n";
  };
  const std::string file = stage->project_file("nono.yaml", config("example.com"));
  Proxy proxy(*stage, {"--config", file});
  const std::uint16_t port = dns_port_of(proxy, "127.0.0.1");
  Glibc client(port);
  int error = -1;
  CHECK(reply_of(client.query("example.com", 1, error)).addresses.size() == 1);
  client.query("api.openai.com", 1, error);
  CHECK(error == HOST_NOT_FOUND);
  stage->project_file("nono.yaml", config("api.openai.com"));
  proxy.process().signal(SIGHUP);
  CHECK(eventually([&] {
    int failed = -1;
    client.query("api.openai.com", 1, failed);
    return failed == 0;
  }));
  client.query("example.com", 1, error);
  CHECK(error == HOST_NOT_FOUND);
}

}  // namespace
}  // namespace nono::testing
