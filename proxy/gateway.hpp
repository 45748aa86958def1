#pragma once
// What all threads and connections of one server share: values that never change while it runs, and
// the few things that are safe to use from any thread.

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "dns/stub_server.hpp"
#include "dns/synthetic_pool.hpp"
#include "proxy/audit/log.hpp"
#include "proxy/dns_listen.hpp"
#include "proxy/metrics/metrics.hpp"
#include "proxy/metrics/names.hpp"
#include "proxy/net/tls_context.hpp"
#include "proxy/rate_limit.hpp"
#include "proxy/session_table.hpp"

namespace nono {

namespace intercept {
class CertificateAuthority;
}

// Refusals so far, each host and reason once, bounded: the footer after a run prints them.
class RefusalList {
 public:
  void add(const audit::Record& record);
  std::vector<audit::Record> take_copy() const;

 private:
  static constexpr std::size_t refusals_max = 200;
  mutable std::mutex mutex_;
  std::vector<audit::Record> records_;
};

// What holds for connections whose session is not known yet. Replaced whole when the configuration
// is read again; each thread has the current one.
struct ProxySettings {
  Limits limits;
  http::HeadLimits head_limits;
  bool no_auth = false;  // every request is taken as the main session's
  bool socks5 = true;    // SOCKS5 is served too
  bool via = false;      // a Via field in what is forwarded
  SessionPtr main;       // of flags and the top level of nono.yaml; null: there is none
  std::shared_ptr<RateLimit> connects = std::make_shared<RateLimit>(0U);  // of all threads
};

// Whether DNS servers answer. Any thread; written only when that changes.
class DnsHealth {
 public:
  using Clock = std::chrono::steady_clock;
  void answered() {
    if (in_a_row_.load(std::memory_order_relaxed) != 0) {
      in_a_row_.store(0, std::memory_order_relaxed);
    }
  }
  void failed(Clock::time_point now) {
    in_a_row_.fetch_add(1, std::memory_order_relaxed);
    last_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  }
  // Forgotten after a while: a proxy that gets no traffic because of it would never learn better.
  unsigned failures_in_a_row(Clock::time_point now) const {
    const Clock::time_point last{Clock::duration(last_.load(std::memory_order_relaxed))};
    return now - last > forgotten_after ? 0 : in_a_row_.load(std::memory_order_relaxed);
  }

 private:
  static constexpr std::chrono::seconds forgotten_after{60};
  std::atomic<unsigned> in_a_row_{0};
  std::atomic<Clock::rep> last_{0};
};

struct Gateway {
  std::shared_ptr<intercept::CertificateAuthority> ca;
  std::string server_name;
  DnsSettings dns;
  std::optional<dns::SyntheticOptions> made_up_names;
  std::unique_ptr<audit::Log> log;
  TokenKey token_key = {};
  RefusalList refusals;
  std::atomic<std::uint64_t> next_id{1};                   // joins an end record to its decision
  std::atomic<std::size_t> connections{0};                 // open client connections of all threads
  std::vector<std::unique_ptr<metrics::Metrics>> metrics;  // one per worker, which it outlives
  metrics::Names session_names{metrics::session_slots};
  metrics::Names credential_names{metrics::credential_slots};
  std::vector<std::shared_ptr<dns::StubCounters>> dns_stubs;  // one per worker that answers DNS
  std::atomic<std::uint64_t> redactions{0};  // real keys that were kept out of responses
  DnsHealth dns_health;
  std::atomic<bool> listening{false}, stopping{false};
};

}  // namespace nono
