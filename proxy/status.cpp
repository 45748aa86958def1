#include "proxy/status.hpp"

#include <algorithm>

#include "proxy/metrics/prometheus.hpp"

namespace nono {

namespace {

double seconds(std::chrono::microseconds time) {
  return std::chrono::duration<double>(time).count();
}

metrics::Distribution commits_of(const audit::LogStats& stats) {
  metrics::Distribution out;
  for (std::size_t at = 0; at < audit::LogStats::commit_bounds.size(); ++at) {
    out.buckets.emplace_back(seconds(audit::LogStats::commit_bounds[at]), stats.commits[at]);
  }
  out.over = stats.commits.back();
  out.sum = seconds(stats.commit_time);
  return out;
}

std::optional<metrics::DnsStub> stubs_of(const Gateway& gateway) {
  if (gateway.dns_stubs.empty()) return std::nullopt;
  metrics::DnsStub out;
  for (const auto& stub : gateway.dns_stubs) {
    out.cached += stub->cached.value();
    out.asked += stub->missed.value();
    out.denied += stub->denied.value();
    out.type_refused += stub->type_refused.value();
    out.malformed += stub->malformed.value();
    out.limited += stub->limited.value();
    out.failed += stub->failed.value();
    out.truncated += stub->truncated.value();
    out.tcp_connections += stub->tcp_connections.value();
  }
  return out;
}

}  // namespace

metrics::Values ServerStatus::totals() const {
  std::vector<const metrics::Metrics*> all;
  for (const auto& one : gateway_.metrics) all.push_back(one.get());
  return metrics::sum(all);
}

admin::Health ServerStatus::health() const {
  const metrics::Values values = totals();
  const audit::LogStats log = gateway_.log->stats();
  if (log.failing) gateway_.log->retry();
  admin::Health health;
  health.audit_required = gateway_.log->required();
  health.audit_failing = log.failing;
  health.accept_paused = values[metrics::cell_of(metrics::Family::accept_paused)] != 0;
  health.draining = gateway_.stopping.load(std::memory_order_relaxed);
  health.listening = gateway_.listening.load(std::memory_order_relaxed);
  health.sessions = registry_.all().size();
  health.dns_failures_in_a_row =
      gateway_.dns_health.failures_in_a_row(std::chrono::steady_clock::now());
  if (health.draining || !health.listening) return health;  // a worker that has ended says nothing
  for (const auto& worker : workers_) {
    health.oldest_heartbeat = std::max(health.oldest_heartbeat, worker->silence());
  }
  return health;
}

std::string ServerStatus::metrics() const {
  const audit::LogStats log = gateway_.log->stats();
  metrics::Shared shared;
  shared.version = version_;
  shared.threads = workers_.size();
  shared.sessions = registry_.all().size();
  shared.redactions = gateway_.redactions.load(std::memory_order_relaxed);
  shared.audit_lines = log.written;
  shared.audit_lost = log.lost;
  shared.audit_rotations = log.rotations;
  shared.audit_queue = log.queue_depth;
  shared.dns_stub = stubs_of(gateway_);
  shared.audit_commits = commits_of(log);
  return metrics::expose(totals(), shared, metrics::read_process(), gateway_.credential_names.all(),
                         gateway_.session_names.all());
}

}  // namespace nono
