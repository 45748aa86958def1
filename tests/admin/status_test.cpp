// Health in sentences, and the pages that say it.

#include <catch2/catch.hpp>
#include <mutex>

#include "proxy/admin/status.hpp"
#include "tests/admin/fixture.hpp"

namespace {

using namespace std::chrono_literals;
using nono::admin::Health;
using nono::test::body_of;
using nono::test::status_of;

Health good() {
  Health health;
  health.listening = true;
  health.sessions = 1;
  return health;
}

class FakeSource final : public nono::admin::StatusSource {
 public:
  Health health() const override {
    const std::lock_guard lock(mutex_);
    return health_;
  }
  std::string metrics() const override { return "nono_fake 1\n"; }
  void set(const Health& health) {
    const std::lock_guard lock(mutex_);
    health_ = health;
  }

 private:
  mutable std::mutex mutex_;
  Health health_ = good();
};

TEST_CASE("a proxy that serves is healthy and ready") {
  CHECK(why_unhealthy(good()).empty());
  CHECK(why_not_ready(good()).empty());
}

TEST_CASE("a log that cannot be written is ill health only where it is required") {
  Health health = good();
  health.audit_failing = true;
  CHECK(why_unhealthy(health).empty());
  health.audit_required = true;
  REQUIRE(why_unhealthy(health).size() == 1);
  CHECK(why_unhealthy(health).front().find("audit log") != std::string::npos);
  CHECK(why_not_ready(health).empty());
}

TEST_CASE("each thing that keeps it from serving has its own sentence") {
  Health health = good();
  health.accept_paused = true;
  health.draining = true;
  health.dns_failures_in_a_row = nono::admin::dns_failures_max;
  health.oldest_heartbeat = 61s;
  const std::vector<std::string> complaints = why_unhealthy(health);
  REQUIRE(complaints.size() == 4);
  CHECK(complaints[0].find("file descriptors") != std::string::npos);
  CHECK(complaints[1].find("stopping") != std::string::npos);
  CHECK(complaints[2].find("DNS") != std::string::npos);
  CHECK(complaints[3].find("stuck for 61 s") != std::string::npos);
}

TEST_CASE("a few failed look-ups, and a heartbeat that is late, are no ill health") {
  Health health = good();
  health.dns_failures_in_a_row = nono::admin::dns_failures_max - 1;
  health.oldest_heartbeat = nono::admin::heartbeat_age_max;
  CHECK(why_unhealthy(health).empty());
}

TEST_CASE("without a session or a listener nothing should be sent to it, which is no illness") {
  Health health;
  CHECK(why_unhealthy(health).empty());
  CHECK(why_not_ready(health).size() == 2);
}

TEST_CASE("the pages say what is, each time anew") {
  FakeSource source;
  const nono::test::TcpService service(nono::admin::status_pages(source));
  CHECK(body_of(service.get("/healthz")) == "ok\n");
  CHECK(body_of(service.get("/readyz?verbose")) == "ok\n");
  const std::string metrics = service.get("/metrics");
  CHECK(body_of(metrics) == "nono_fake 1\n");
  CHECK(metrics.find("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n") !=
        std::string::npos);
  Health stopping = good();
  stopping.draining = true;
  source.set(stopping);
  CHECK(status_of(service.get("/healthz")) == 503);
  CHECK(body_of(service.get("/healthz")) == "the proxy is stopping\n");
  CHECK(status_of(service.get("/readyz")) == 503);
  source.set(good());
  CHECK(status_of(service.get("/healthz")) == 200);
}

TEST_CASE("nothing else is served, and nothing can be sent to the pages") {
  FakeSource source;
  const nono::test::TcpService service(nono::admin::status_pages(source));
  for (const char* path :
       {"/", "/sessions", "/metrics/", "/healthz/..", "/%6detrics", "//metrics"}) {
    INFO(path);
    CHECK(status_of(service.get(path)) == 404);
  }
  const std::string answer = service.connect().ask(
      "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  CHECK(status_of(answer) == 405);
}

}  // namespace
