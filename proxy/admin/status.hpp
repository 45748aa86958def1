#pragma once
// What monitoring asks for: /metrics, /healthz (does it serve), /readyz (may traffic be sent to
// it).

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "proxy/admin/http_service.hpp"

namespace nono::admin {

// How the proxy is, at this moment.
struct Health {
  bool audit_required = false;
  bool audit_failing = false;  // the last attempt to write the log failed
  bool accept_paused = false;  // descriptors or memory ran out
  bool draining = false;       // told to stop
  bool listening = false;      // accepting connections
  std::size_t sessions = 0;    // alive
  // Names that in a row no DNS server gave an answer for, of any kind.
  unsigned dns_failures_in_a_row = 0;
  // How long ago the thread that was heard of least lately said that it runs.
  std::chrono::milliseconds oldest_heartbeat{0};
};

inline constexpr unsigned dns_failures_max = 5;
inline constexpr std::chrono::milliseconds heartbeat_age_max{10'000};

// A sentence for each reason why it cannot serve; none: it can.
std::vector<std::string> why_unhealthy(const Health& health);
// A sentence for each reason why it should not be sent traffic now.
std::vector<std::string> why_not_ready(const Health& health);

class StatusSource {
 public:
  virtual ~StatusSource() = default;
  // Called on the service's thread; read what others write.
  virtual Health health() const = 0;
  virtual std::string metrics() const = 0;  // text exposition format
};

// `source` must outlive the handler.
HttpService::Handler status_pages(const StatusSource& source);

}  // namespace nono::admin
