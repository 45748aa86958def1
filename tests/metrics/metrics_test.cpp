// Counting, adding up, and the text that is scraped.

#include <fmt/format.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "proxy/metrics/names.hpp"
#include "proxy/metrics/prometheus.hpp"
#include "tests/metrics/exposition.hpp"
#include "tests/support/checkout.hpp"
#include "tests/support/process.hpp"

namespace {

using namespace std::chrono_literals;
using nono::Reason;
using nono::audit::Way;
using nono::metrics::Metrics;
using nono::metrics::Values;
using nono::test::Exposition;

const std::vector<std::string> no_names = {"other"};

std::string text_of(const std::vector<const Metrics*>& workers,
                    const std::vector<std::string>& credentials = no_names,
                    const std::vector<std::string>& sessions = no_names) {
  nono::metrics::Shared shared;
  shared.version = "1.2.3";
  shared.audit_commits.buckets = {{0.001, 2}, {0.01, 1}};
  shared.dns_stub.emplace();
  return nono::metrics::expose(nono::metrics::sum(workers), shared, nono::metrics::read_process(),
                               credentials, sessions);
}

Exposition scrape(const std::vector<const Metrics*>& workers,
                  const std::vector<std::string>& credentials = no_names,
                  const std::vector<std::string>& sessions = no_names) {
  return nono::test::read_exposition(text_of(workers, credentials, sessions));
}

TEST_CASE("a fresh proxy's metrics are well formed and zero") {
  const Metrics worker;
  const Exposition page = scrape({&worker});
  CHECK(page.value("nono_connections_accepted_total") == 0);
  CHECK(page.value("nono_request_duration_seconds_count") == 0);
  CHECK(page.value("nono_build_info{version=\"1.2.3\"}") == 1);
  CHECK(page.types.at("nono_connections_open") == "gauge");
  for (const auto& [family, type] : page.types) {
    INFO(family);
    CHECK(page.help.contains(family));
    CHECK(family.ends_with("_total") == (type == "counter"));
    CHECK((family.starts_with("nono_") || family.starts_with("process_")));
  }
}

TEST_CASE("workers' counters add up, and gauges may fall on another worker than they rose on") {
  Metrics first, second;
  first.connection_accepted();
  second.connection_accepted();
  first.connections_open(3);
  second.connections_open(-1);
  first.decided(Way::connect, Reason::rule_allows, true, 0);
  second.decided(Way::connect, Reason::rule_allows, true, 0);
  second.decided(Way::connect, Reason::no_rule, false, 0);
  const Exposition page = scrape({&first, &second});
  CHECK(page.value("nono_connections_accepted_total") == 2);
  CHECK(page.value("nono_connections_open") == 2);
  CHECK(page.value(
            "nono_decisions_total{way=\"connect\",decision=\"allow\",reason=\"rule_allows\"}") ==
        2);
  CHECK(page.value(
            "nono_decisions_total{way=\"connect\",decision=\"refuse\",reason=\"no_rule\"}") == 1);
  CHECK(page.value("nono_session_requests_total{session=\"other\"}") == 3);
  CHECK(page.value("nono_session_refusals_total{session=\"other\"}") == 1);
  CHECK_FALSE(
      page.has("nono_decisions_total{way=\"forward\",decision=\"refuse\",reason=\"no_rule\"}"));
}

TEST_CASE("every way and reason has a cell and a name of its own") {
  Metrics worker;
  double expected = 1;
  for (std::size_t way = 0; way < nono::metrics::ways; ++way) {
    for (std::size_t reason = 0; reason < nono::metrics::reasons; ++reason) {
      for (double count = 0; count < expected; ++count) {
        worker.decided(static_cast<Way>(way), static_cast<Reason>(reason), false, 0);
      }
      ++expected;
    }
  }
  const Exposition page = scrape({&worker});
  std::set<double> seen;
  for (const auto& [series, value] : page.values) {
    if (series.starts_with("nono_decisions_total{")) CHECK(seen.insert(value).second);
    CHECK(series.find("way=\"\"") == std::string::npos);
  }
  CHECK(seen.size() == nono::metrics::ways * nono::metrics::reasons);
  CHECK(page.has("nono_decisions_total{way=\"admin\",decision=\"refuse\",reason=\"malformed\"}"));
}

TEST_CASE("a duration falls into the first bucket whose bound is not below it") {
  using nono::metrics::bucket_of;
  CHECK(bucket_of(0) == 0);
  CHECK(bucket_of(1) == 0);
  CHECK(bucket_of(100'000) == 0);
  CHECK(bucket_of(100'001) == 1);
  CHECK(bucket_of(200'000) == 1);
  CHECK(bucket_of(200'001) == 2);
  std::uint64_t bound = nono::metrics::first_bucket_ns;
  for (std::size_t bucket = 0; bucket < nono::metrics::buckets; ++bucket, bound *= 2) {
    CHECK(bucket_of(bound) == bucket);
    CHECK(bucket_of(bound + 1) == bucket + 1);
  }
  CHECK(bucket_of(~std::uint64_t{0}) == nono::metrics::buckets);
}

TEST_CASE("a histogram's buckets are cumulative and its sum is in seconds") {
  Metrics worker;
  worker.connect_took(50us);
  worker.connect_took(150us);
  worker.connect_took(1h);
  worker.connect_took(-1s);  // a clock that was set back is no time, not an age
  worker.tls_took(nono::metrics::Peer::client, 1ms);
  const Exposition page = scrape({&worker});
  const std::string family = "nono_upstream_connect_duration_seconds";
  CHECK(page.value(family + "_bucket{le=\"0.0001\"}") == 2);
  CHECK(page.value(family + "_bucket{le=\"0.0002\"}") == 3);
  CHECK(page.value(family + "_bucket{le=\"209.7152\"}") == 3);
  CHECK(page.value(family + "_bucket{le=\"+Inf\"}") == 4);
  CHECK(page.value(family + "_count") == 4);
  CHECK(page.value(family + "_sum") == Approx(3600.0002));
  CHECK(page.value("nono_tls_handshake_duration_seconds_count{with=\"client\"}") == 1);
  CHECK(page.value("nono_tls_handshake_duration_seconds_count{with=\"upstream\"}") == 0);
}

TEST_CASE("bytes are counted by way, by session and by direction") {
  Metrics worker;
  worker.moved(Way::connect, 1, 10, 2000);
  worker.moved(Way::forward, 0, 1, 0);
  const Exposition page = scrape({&worker}, no_names, {"other", "ci"});
  CHECK(page.value("nono_bytes_total{way=\"connect\",direction=\"to_upstream\"}") == 10);
  CHECK(page.value("nono_bytes_total{way=\"connect\",direction=\"to_client\"}") == 2000);
  CHECK(page.value("nono_session_bytes_total{session=\"ci\",direction=\"to_client\"}") == 2000);
  CHECK(page.value("nono_session_bytes_total{session=\"other\",direction=\"to_upstream\"}") == 1);
}

TEST_CASE("what is no status of HTTP is counted nowhere") {
  Metrics worker;
  for (const int status : {0, 99, 600, -5, 1'000'000}) worker.responded(status);
  for (const int status : {100, 199, 200, 404, 599}) worker.responded(status);
  const Exposition page = scrape({&worker});
  CHECK(page.value("nono_responses_total{class=\"1xx\"}") == 2);
  CHECK(page.value("nono_responses_total{class=\"2xx\"}") == 1);
  CHECK(page.value("nono_responses_total{class=\"4xx\"}") == 1);
  CHECK(page.value("nono_responses_total{class=\"5xx\"}") == 1);
}

TEST_CASE("names get slots while there are any, keep them, and the rest are other") {
  nono::metrics::Names names(3);
  CHECK(names.slot("a") == 1);
  CHECK(names.slot("b") == 2);
  CHECK(names.slot("c") == 0);
  CHECK(names.slot("a") == 1);
  CHECK(names.slot("c") == 0);
  CHECK(names.all() == std::vector<std::string>{"other", "a", "b"});
}

TEST_CASE("a label's value cannot end its quotes, its line or the text's encoding") {
  Metrics worker;
  worker.credential_used(1);
  const std::string hostile = "a\"} 99\nnono_evil_total{x=\"\\\x80\xff\x01";
  const Exposition page = scrape({&worker}, {"other", hostile});
  CHECK_FALSE(page.types.contains("nono_evil_total"));
  CHECK(
      page.value(
          "nono_credential_uses_total{credential=\"a\\\"} 99\\nnono_evil_total{x=\\\"\\\\???\"}") ==
      1);
}

TEST_CASE("more names than slots are never written") {
  const Metrics worker;
  const std::vector<std::string> names(nono::metrics::session_slots + 50, "n");
  const std::string text = text_of({&worker}, no_names, {names.begin(), names.begin() + 5});
  CHECK(text.size() < 100'000);
  CHECK_NOTHROW(text_of({&worker}, names, names));
}

TEST_CASE("the process's own numbers are those of this process") {
  const nono::metrics::Process process = nono::metrics::read_process();
  const auto now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch());
  CHECK(process.start_time <= now.count() + 2);
  CHECK(process.start_time > now.count() - 3600);
  CHECK(process.resident_bytes > 1'000'000);
  CHECK(process.open_fds >= 3);
  CHECK(process.max_fds >= process.open_fds);
  const nono::UniqueFd more(::dup(0));
  CHECK(nono::metrics::read_process().open_fds == process.open_fds + 1);
}

TEST_CASE("cells are read while another thread writes them, and none is lost") {
  Metrics worker;
  constexpr std::uint64_t rounds = 200'000;
  std::thread writer([&] {
    for (std::uint64_t round = 0; round < rounds; ++round) worker.connection_accepted();
  });
  double before = 0;
  for (int look = 0; look < 20; ++look) {
    const double seen = scrape({&worker}).value("nono_connections_accepted_total");
    CHECK(seen >= before);
    before = seen;
  }
  writer.join();
  CHECK(scrape({&worker}).value("nono_connections_accepted_total") == rounds);
}

TEST_CASE("the document names every metric and no other") {
  std::ifstream file(nono::testing::source_dir() + "/docs/metrics.md");
  std::stringstream text;
  text << file.rdbuf();
  const Metrics worker;
  const Exposition page = scrape({&worker});
  for (const auto& [family, type] : page.types) {
    INFO(family);
    CHECK(text.str().find("`" + family + "`") != std::string::npos);
  }
  std::istringstream lines(text.str());
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| `nono_") && !line.starts_with("| `process_")) continue;
    const std::string name = line.substr(3, line.find('`', 3) - 3);
    INFO(name);
    CHECK(page.types.contains(name));
  }
}

// The one of the tests' virtual environment, if there is one.
std::string python_of_tests() {
  const char* named = std::getenv("NONO_TEST_VENV");
  const std::string venv = named != nullptr ? named : nono::testing::source_dir() + "/build/venv";
  const std::string python = venv + "/bin/python3";
  return ::access(python.c_str(), X_OK) == 0 ? python : "/usr/bin/python3";
}

TEST_CASE("the text satisfies Prometheus's own parser") {
  Metrics worker;
  worker.tls_took(nono::metrics::Peer::client, 1ms);
  worker.decided(Way::connect, Reason::rule_allows, true, 1);
  nono::testing::Command probe;
  probe.env = nono::testing::plain_environment("/tmp");
  const std::string python = python_of_tests();
  probe.argv = {python, "-c", "import prometheus_client"};
  if (nono::testing::run(probe).code != 0) {
    std::puts("skipped by name: python's prometheus_client");
    return;
  }
  probe.argv = {python, "-c",
                "import sys\n"
                "from prometheus_client.parser import text_string_to_metric_families as read\n"
                "print(sum(len(f.samples) for f in read(sys.stdin.read())))\n"};
  probe.input = text_of({&worker}, no_names, {"other", "a \"b\"\n\\"});
  const auto finished = nono::testing::run(probe);
  CHECK(finished.err == "");
  CHECK(finished.code == 0);
  CHECK(finished.out ==
        std::to_string(nono::test::read_exposition(probe.input).values.size()) + "\n");
}

}  // namespace
