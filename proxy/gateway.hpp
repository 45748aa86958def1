#pragma once
// What all threads and connections of one server share: values that never change while it runs, and
// the few things that are safe to use from any thread.

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "proxy/audit/log.hpp"
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
  SessionPtr main;       // of flags and the top level of nono.yaml; null: there is none
  std::shared_ptr<RateLimit> connects = std::make_shared<RateLimit>(0U);  // of all threads
};

struct Gateway {
  std::shared_ptr<intercept::CertificateAuthority> ca;
  std::string server_name;
  std::unique_ptr<audit::Log> log;
  TokenKey token_key = {};
  RefusalList refusals;
  std::atomic<std::uint64_t> next_id{1};    // joins an end record to its decision
  std::atomic<std::size_t> connections{0};  // open client connections of all threads
};

}  // namespace nono
