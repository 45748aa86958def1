// What the proxy counts, exactly, and when it says that it is ill.

#include <fmt/format.h>
#include <sys/resource.h>

#include <catch2/catch.hpp>

#include "proxy/audit/format.hpp"
#include "proxy/audit/log.hpp"
#include "proxy/metrics/prometheus.hpp"
#include "proxy/worker.hpp"
#include "tests/metrics/exposition.hpp"
#include "tests/proxy/fixture.hpp"
#include "tests/support/fake_dns.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

namespace {

using namespace std::chrono_literals;
using nono::test::allowing;
using nono::test::Client;
using nono::test::Exposition;
using nono::test::Origin;
using nono::test::Proxy;
using nono::testing::eventually;

std::string page(const Proxy& proxy, const std::string& path) {
  Client client("127.0.0.1", proxy.status_port());
  return client.exchange("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

Exposition scrape(const Proxy& proxy) {
  const std::string answer = page(proxy, "/metrics");
  return nono::test::read_exposition(answer.substr(answer.find("\r\n\r\n") + 4));
}

// Whatever a connection counts at its end is there once it is closed.
bool all_closed(const Proxy& proxy) {
  return eventually([&] { return scrape(proxy).value("nono_connections_open") == 0; });
}

Proxy::Setup setup_for(std::vector<std::string> hosts) {
  Proxy::Setup setup;
  setup.rules = allowing(std::move(hosts));
  setup.status = true;
  return setup;
}

std::string decision(const char* way, const char* verdict, const char* reason) {
  return fmt::format("nono_decisions_total{{way=\"{}\",decision=\"{}\",reason=\"{}\"}}", way,
                     verdict, reason);
}

TEST_CASE("a tunnel is counted once, with its bytes and its times") {
  Origin origin([](Client& connection) { connection.send("hello " + connection.receive(4)); });
  Proxy proxy(setup_for({fmt::format("127.0.0.1:{}", origin.port())}));
  {
    Client client = proxy.connect();
    const std::string target = fmt::format("127.0.0.1:{}", origin.port());
    client.send("CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n");
    REQUIRE(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 200"));
    CHECK(scrape(proxy).value("nono_connections_open") == 1);
    CHECK(scrape(proxy).value("nono_session_connections_open{session=\"default\"}") == 1);
    client.send("for\n");
    CHECK(client.receive_all() == "hello for\n");
  }
  REQUIRE(all_closed(proxy));
  const Exposition now = scrape(proxy);
  CHECK(now.value("nono_connections_accepted_total") == 1);
  CHECK(now.value(decision("connect", "allow", "rule_allows")) == 1);
  CHECK(now.value("nono_bytes_total{way=\"connect\",direction=\"to_upstream\"}") == 4);
  CHECK(now.value("nono_bytes_total{way=\"connect\",direction=\"to_client\"}") == 10);
  CHECK(now.value("nono_session_bytes_total{session=\"default\",direction=\"to_client\"}") == 10);
  CHECK(now.value("nono_session_requests_total{session=\"default\"}") == 1);
  CHECK(now.value("nono_session_connections_open{session=\"default\"}") == 0);
  CHECK(now.value("nono_responses_total{class=\"2xx\"}") == 1);
  CHECK(now.value("nono_request_duration_seconds_count") == 1);
  CHECK(now.value("nono_upstream_open_duration_seconds_count") == 1);
  CHECK(now.value("nono_upstream_connect_duration_seconds_count") == 1);
  CHECK(now.value("nono_dns_resolve_duration_seconds_count") == 0);  // an address is no name
  CHECK(now.value("nono_sessions") == 1);
}

TEST_CASE("refusals are counted by their reason, and failures apart from decisions") {
  Proxy::Setup setup = setup_for({"127.0.0.1:1"});
  setup.trusted = false;
  Proxy proxy(std::move(setup));
  const std::string token = "Proxy-Authorization: Bearer " + std::string(Proxy::token) + "\r\n\r\n";
  proxy.connect().exchange("CONNECT denied.example:443 HTTP/1.1\r\nHost: denied.example:443\r\n" +
                           token);
  proxy.connect().exchange("CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n" + token);
  proxy.connect().exchange("CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n");
  proxy.connect().exchange("GARBAGE\r\n\r\n");
  REQUIRE(all_closed(proxy));
  const Exposition now = scrape(proxy);
  CHECK(now.value(decision("connect", "refuse", "no_rule")) == 1);
  CHECK(now.value(decision("connect", "refuse", "no_token")) == 1);
  CHECK(now.value(decision("connect", "allow", "rule_allows")) == 1);
  CHECK(now.value(decision("forward", "refuse", "malformed")) == 1);
  CHECK(
      now.value(
          "nono_failures_total{way=\"connect\",decision=\"refuse\",reason=\"upstream_failed\"}") ==
      1);
  CHECK(now.value("nono_session_requests_total{session=\"default\"}") == 2);
  CHECK(now.value("nono_session_refusals_total{session=\"default\"}") == 1);
  CHECK(now.value("nono_session_requests_total{session=\"other\"}") == 2);
  CHECK(now.value("nono_responses_total{class=\"4xx\"}") == 3);
  CHECK(now.value("nono_responses_total{class=\"5xx\"}") == 1);
  CHECK(now.value("nono_upstream_connect_duration_seconds_count") == 0);
  // What is counted is what is recorded.
  double decisions = 0;
  for (const auto& [series, value] : now.values) {
    if (series.starts_with("nono_decisions_total{")) decisions += value;
  }
  proxy.stop();
  double recorded = 0;
  for (const nono::audit::Record& record : proxy.records()) {
    if (record.kind == nono::audit::Kind::decision) ++recorded;
  }
  CHECK(decisions == recorded);
}

TEST_CASE("forwarded requests are counted one by one, and reuse of their upstream") {
  Origin origin(nono::test::serve_http);
  Proxy proxy(setup_for({fmt::format("127.0.0.1:{}", origin.port())}));
  const std::string url = fmt::format("http://127.0.0.1:{}/a", origin.port());
  const std::string host = fmt::format("Host: 127.0.0.1:{}\r\n\r\n", origin.port());
  {
    Client client = proxy.connect();
    for (int count = 0; count < 3; ++count) {
      client.send("GET " + url + " HTTP/1.1\r\n" + host);
      client.receive_until("GET /a HTTP/1.1");
    }
    CHECK(eventually(
        [&] { return scrape(proxy).value("nono_request_duration_seconds_count") == 3; }));
  }
  REQUIRE(all_closed(proxy));
  const Exposition now = scrape(proxy);
  CHECK(now.value(decision("forward", "allow", "rule_allows")) == 3);
  CHECK(now.value("nono_responses_total{class=\"2xx\"}") == 3);
  CHECK(now.value("nono_upstream_reuse_total{result=\"miss\"}") == 1);
  CHECK(now.value("nono_upstream_reuse_total{result=\"hit\"}") == 2);
  CHECK(now.value("nono_upstream_first_byte_duration_seconds_count") == 3);
  CHECK(now.value("nono_upstream_open_duration_seconds_count") == 1);
  CHECK(now.value("nono_upstream_idle_connections") == 1);
}

TEST_CASE("connections over a limit are counted as turned away") {
  Proxy::Setup setup = setup_for({});
  setup.limits.connections_max = 1;
  Proxy proxy(std::move(setup));
  Client first = proxy.connect();
  CHECK(eventually([&] { return scrape(proxy).value("nono_connections_open") == 1; }));
  CHECK(proxy.connect().receive_all().starts_with("HTTP/1.1 503"));
  const Exposition now = scrape(proxy);
  CHECK(now.value("nono_connections_refused_total{limit=\"all\"}") == 1);
  CHECK(now.value("nono_connections_accepted_total") == 2);
  CHECK(now.value("nono_connections_open") == 1);
}

TEST_CASE("names are counted by where the answer came from") {
  nono::test::FakeDns dns;
  dns.add_a("good.example", "127.0.0.1");
  dns.add_a("private.example", "10.0.0.1");
  Origin origin(nono::test::serve_http);
  Proxy::Setup setup = setup_for({"*.example:*"});
  setup.dns_servers = {dns.endpoint()};
  Proxy proxy(std::move(setup));
  for (const char* name : {"good.example", "good.example", "none.example", "private.example"}) {
    const std::string host = fmt::format("{}:{}", name, origin.port());
    proxy.connect().exchange("GET http://" + host + "/ HTTP/1.1\r\nHost: " + host +
                             "\r\nConnection: close\r\n\r\n");
  }
  REQUIRE(all_closed(proxy));
  const Exposition now = scrape(proxy);
  CHECK(now.value("nono_dns_lookups_total{from=\"asked\"}") == 3);
  CHECK(now.value("nono_dns_failures_total{cause=\"not_found\"}") == 1);
  CHECK(now.value("nono_dns_failures_total{cause=\"denied\"}") == 1);
  CHECK(now.value("nono_dns_failures_total{cause=\"failed\"}") == 0);
  CHECK(page(proxy, "/healthz").starts_with("HTTP/1.1 200"));
}

TEST_CASE("a proxy whose DNS servers all fail is ill until one answers") {
  nono::test::FakeDns dns;
  dns.set_fault(nono::test::DnsFault::refused);
  Proxy::Setup setup = setup_for({"*.example:*"});
  setup.dns_servers = {dns.endpoint()};
  Proxy proxy(std::move(setup));
  const auto ask = [&](int number) {
    const std::string host = fmt::format("n{}.example:80", number);
    return proxy.connect().exchange("GET http://" + host + "/ HTTP/1.1\r\nHost: " + host +
                                    "\r\nConnection: close\r\n\r\n");
  };
  for (int number = 0; number < 4; ++number) CHECK(ask(number).starts_with("HTTP/1.1 502"));
  CHECK(page(proxy, "/healthz").starts_with("HTTP/1.1 200"));
  ask(4);
  CHECK(page(proxy, "/healthz").starts_with("HTTP/1.1 503"));
  CHECK(page(proxy, "/healthz").find("no DNS server answered the last 5") != std::string::npos);
  CHECK(page(proxy, "/readyz").starts_with("HTTP/1.1 200"));
  dns.set_fault(nono::test::DnsFault::none);
  ask(5);  // there is no such name, which is an answer
  CHECK(page(proxy, "/healthz").starts_with("HTTP/1.1 200"));
}

TEST_CASE("a proxy that drains is neither healthy nor ready, and still says its numbers") {
  Origin origin([](Client& connection) { connection.receive_all(); });
  Proxy proxy(setup_for({fmt::format("127.0.0.1:{}", origin.port())}));
  CHECK(eventually([&] { return page(proxy, "/readyz").starts_with("HTTP/1.1 200"); }));
  {
    Client tunnel = proxy.connect();
    const std::string target = fmt::format("127.0.0.1:{}", origin.port());
    tunnel.send("CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n");
    tunnel.receive_until("\r\n\r\n");
    proxy.drain(10s);
    CHECK(page(proxy, "/healthz").find("the proxy is stopping") != std::string::npos);
    CHECK(page(proxy, "/readyz").starts_with("HTTP/1.1 503"));
    CHECK(scrape(proxy).value("nono_connections_open") == 1);
  }
  proxy.stop();
}

TEST_CASE("ways and reasons are called in the metrics as they are in the audit log") {
  nono::metrics::Metrics worker;
  for (std::size_t way = 0; way < nono::metrics::ways; ++way) {
    worker.failed(static_cast<nono::audit::Way>(way), nono::Reason::limit);
  }
  const nono::metrics::Metrics* all[] = {&worker};
  const std::string text =
      nono::metrics::expose(nono::metrics::sum(all), {}, {}, {"other"}, {"other"});
  for (std::size_t way = 0; way < nono::metrics::ways; ++way) {
    const std::string label =
        fmt::format("way=\"{}\"", nono::audit::to_string(static_cast<nono::audit::Way>(way)));
    CHECK(text.find(label) != std::string::npos);
  }
}

TEST_CASE("a page in a browser cannot read the status by a name of its own") {
  Proxy proxy(setup_for({}));
  Client client("127.0.0.1", proxy.status_port());
  CHECK(client.exchange("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n")
            .starts_with("HTTP/1.1 421"));
}

TEST_CASE("a worker that does not come round to a question is noticed until it does") {
  nono::Gateway gateway;
  gateway.token_key = nono::make_token_key();
  nono::Worker worker(gateway);
  REQUIRE(worker.prepare());
  CHECK(worker.silence() == 0ms);  // asked just now
  CHECK(eventually([&] { return worker.silence() > 0ms; }));
  std::thread thread([&] { worker.run(); });
  CHECK(eventually([&] { return worker.silence() == 0ms; }));
  worker.stop(0ms);
  thread.join();
}

TEST_CASE("a log that failed notes it as soon as it can, without another record") {
  const nono::testing::TempDir dir;
  nono::audit::LogOptions options;
  options.path = dir / "audit.jsonl";
  auto log = nono::audit::Log::open(std::move(options));
  REQUIRE(log);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  rlimit none = before;
  none.rlim_cur = 0;
  ::setrlimit(RLIMIT_FSIZE, &none);
  (*log)->write(nono::audit::Record{});
  (*log)->flush();
  CHECK((*log)->stats().failing);
  (*log)->retry();
  CHECK(eventually([&] { return (*log)->stats().failing; }));
  ::setrlimit(RLIMIT_FSIZE, &before);
  CHECK(eventually([&] {
    (*log)->retry();
    return !(*log)->stats().failing;
  }));
  CHECK((*log)->stats().lost == 1);
  CHECK(nono::testing::read_file(dir / "audit.jsonl").find("\"lost\":1") != std::string::npos);
}

}  // namespace
