// `nono proxy --metrics-listen`: the pages as monitoring sees them.

#include <sys/socket.h>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "tests/metrics/exposition.hpp"
#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

Finished curl(const Stage& stage, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(),
                   {"curl", "-sS", "--max-time", "20", "--cacert", stage.ca_file()});
  return run({arguments, plain_environment(stage.home()), stage.project(), {}, ""});
}

// Where a proxy said that its metrics are, without the page.
std::string status_url(Proxy& proxy) {
  REQUIRE(proxy.process().wait_for("/metrics"));
  const std::string said = proxy.process().err() + proxy.process().out();
  const std::size_t from = said.find("http://", said.find("metrics and health on"));
  return said.substr(from, said.find("/metrics", from) - from);
}

struct Page {
  std::string status, body;
};

Page get(const Stage& stage, const std::string& url) {
  const std::string all = curl(stage, {"-w", "%{http_code}", url}).out;
  REQUIRE(all.size() >= 3);
  return Page{all.substr(all.size() - 3), all.substr(0, all.size() - 3)};
}

TEST_CASE("metrics move by what was asked, and name neither hosts nor keys nor tokens") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage,
              {"--allow-domain", "example.com", "--credential", "openai=env://REAL",
               "--metrics-listen", stage->address() + ":0"},
              {{"REAL", stage->real_key()}});
  const std::string status = status_url(proxy);
  CHECK(get(*stage, status + "/healthz").status == "200");
  CHECK(get(*stage, status + "/readyz").status == "200");
  const auto ask = [&](const std::string& url) {
    curl(*stage, {"-x", proxy.url(), "-o", "/dev/null", url});
  };
  ask("http://example.com/hello");
  ask("https://example.com/hello");
  ask("https://evil.example/");
  const std::string decisions = "nono_decisions_total{way=\"connect\",decision=\"";
  test::Exposition now;
  const bool all_there = eventually([&] {
    now = test::read_exposition(get(*stage, status + "/metrics").body);
    return now.value("nono_connections_open") == 0;
  });
  CHECK(all_there);
  CHECK(now.value(decisions + "allow\",reason=\"rule_allows\"}") == 1);
  CHECK(now.value(decisions + "refuse\",reason=\"no_rule\"}") == 1);
  CHECK(now.value(
            "nono_decisions_total{way=\"forward\",decision=\"allow\",reason=\"rule_allows\"}") ==
        1);
  CHECK(now.value("nono_connections_accepted_total") == 3);
  CHECK(now.value("nono_dns_lookups_total{from=\"asked\"}") +
            now.value("nono_dns_lookups_total{from=\"cache_hit\"}") ==
        2);
  CHECK(now.value("nono_credential_uses_total{credential=\"openai\"}") == 0);
  CHECK(now.value("nono_audit_lines_total") + now.value("nono_audit_queue_records") >= 5);
  CHECK(now.value("nono_audit_lost_total") == 0);
  CHECK(now.value("process_open_fds") > 3);
  const std::string text = get(*stage, status + "/metrics").body;
  CHECK_THAT(text,
             !Contains("example") && !Contains(stage->real_key()) && !Contains(proxy.token()));
}

// Sets a soft limit of a running process; false where this machine does not let us.
bool limit(const Stage& stage, Proxy& proxy, const std::string& what) {
  const std::string pid = std::to_string(proxy.process().pid());
  return run({{"prlimit", "--pid", pid, what},
              plain_environment(stage.home()),
              stage.project(),
              {},
              ""})
             .code == 0;
}

TEST_CASE("a proxy that must record and cannot refuses, says so to monitoring, and recovers") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com", "--audit", "required", "--metrics-listen",
                       stage->address() + ":0"});
  const std::string status = status_url(proxy);
  const auto ask = [&] {
    return curl(*stage, {"-x", proxy.url(), "-o", "/dev/null", "-w", "%{http_code}",
                         "http://example.com/hello"})
        .out;
  };
  CHECK(ask() == "200");
  CHECK(get(*stage, status + "/healthz").status == "200");
  if (!limit(*stage, proxy, "--fsize=0:")) {  // the disk is full
    std::puts("skipped by name: prlimit of another process");
    return;
  }
  CHECK(ask() == "500");
  CHECK(stage->requests().size() == 1);
  const Page ill = get(*stage, status + "/healthz");
  CHECK(ill.status == "503");
  CHECK_THAT(ill.body, Contains("audit log cannot be written"));
  CHECK(
      test::read_exposition(get(*stage, status + "/metrics").body).value("nono_audit_lost_total") >=
      1);
  REQUIRE(limit(*stage, proxy, "--fsize=unlimited:"));
  // Nobody sends it anything now, and still it finds out.
  CHECK(eventually([&] { return get(*stage, status + "/healthz").status == "200"; }));
  CHECK(ask() == "200");
}

TEST_CASE("a proxy out of descriptors still answers monitoring, and recovers") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage,
              {"--allow-domain", "example.com", "--metrics-listen", stage->address() + ":0"});
  const std::string status = status_url(proxy);
  CHECK(get(*stage, status + "/healthz").status == "200");
  const auto fds = static_cast<int>(
      test::read_exposition(get(*stage, status + "/metrics").body).value("process_open_fds"));
  if (!limit(*stage, proxy, fmt::format("--nofile={}:", fds + 4))) {
    std::puts("skipped by name: prlimit of another process");
    return;
  }
  {
    const std::string flood = fmt::format(
        "import socket,time\n"
        "held=[socket.create_connection(('{}',{})) for _ in range(40)]\n"
        "print('held',flush=True)\n",
        stage->address(), proxy.port());
    Process clients({{"python3", "-c", flood + "time.sleep(60)\n"},
                     plain_environment(stage->home()),
                     stage->project(),
                     {},
                     ""});
    REQUIRE(clients.wait_for("held"));
    CHECK(eventually([&] { return get(*stage, status + "/healthz").status == "503"; }));
    CHECK_THAT(get(*stage, status + "/healthz").body, Contains("file descriptors"));
  }
  REQUIRE(limit(*stage, proxy, "--nofile=1024:"));
  CHECK(eventually([&] { return get(*stage, status + "/healthz").status == "200"; }));
  CHECK(curl(*stage, {"-x", proxy.url(), "http://example.com/hello"}).out == "hello\n");
}

TEST_CASE("metrics that cannot be served are an error at start") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy first(*stage,
              {"--allow-domain", "example.com", "--metrics-listen", stage->address() + ":0"});
  const std::string taken = status_url(first).substr(7);
  const Finished second = run(
      stage->nono({"proxy", "--allow-domain", "example.com", "--listen", stage->address() + ":0",
                   "--audit-log", stage->dir() / "second.jsonl", "--metrics-listen", taken}));
  CHECK(second.code == 1);
  CHECK_THAT(second.err, Contains(taken + " is in use"));
}

}  // namespace
}  // namespace nono::testing
