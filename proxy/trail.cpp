#include "proxy/trail.hpp"

namespace nono {

Trail::Trail(Worker& worker, audit::Way way)
    : gateway_(worker.gateway()),
      metrics_(worker.metrics()),
      start_(std::chrono::steady_clock::now()) {
  record_.time = std::chrono::system_clock::now();
  record_.connection = gateway_.next_id.fetch_add(1, std::memory_order_relaxed);
  record_.way = way;
}

void Trail::session(Session& session) {
  session_ = &session;
  record_.session = session.name();
  session.use().requests.fetch_add(1, std::memory_order_relaxed);
}

std::size_t Trail::slot() const {
  return session_ == nullptr ? 0 : session_->meters().slot;
}

void Trail::credential(std::size_t index) {
  credential_ = index;
  record_.credential = session_->credentials()[index].route.name;
}

void Trail::target(const HostPort& target) {
  record_.host = target.host.to_string();
  record_.port = target.port.value();
}

void Trail::request(std::string_view method, std::string_view path) {
  record_.method = method;
  record_.path = path.substr(0, path.find('?'));
  // A phantom in the path is a session's key: worthless outside, but no log needs it.
  const std::size_t phantom = record_.path.find("nono_");
  if (phantom != std::string::npos) record_.path.replace(phantom, std::string::npos, "<phantom>");
}

bool Trail::allow(Because because) {
  record_.allowed = true;
  record_.because = std::move(because);
  decided_ = true;
  opened_ = true;
  metrics_.decided(record_.way, record_.because.reason, true, slot());
  if (credential_) metrics_.credential_used(session_->meters().credentials[*credential_]);
  if (gateway_.log->required()) return false;
  gateway_.log->write(record_);
  return true;
}

Awaitable<Result<void>> Trail::store() {
  return gateway_.log->commit(record_);
}

void Trail::observed(const Refusal& refusal) {
  record_.detail = "would be refused: " + refusal.detail;
  if (!refusal.fix.empty()) record_.detail += "; " + refusal.fix;
  if (decided_) record_.because = Because{Reason::observed, refusal.because.rule};
}

void Trail::refuse(const Problem& problem) {
  record_.status = problem.status;
  record_.detail = problem.detail;
  const bool after_allow = decided_;
  decided_ = true;
  record_.allowed = false;
  record_.because = Because{problem.reason, problem.rule};
  if (after_allow) {
    // The name was allowed, its addresses are not: a refusal all the same, told by the end record.
    const bool by_policy = problem.reason == Reason::private_address ||
                           problem.reason == Reason::phantom_elsewhere ||
                           problem.reason == Reason::authority_mismatch;
    if (by_policy) gateway_.refusals.add(record_);
    metrics_.failed(record_.way, problem.reason);
    return;
  }
  metrics_.decided(record_.way, problem.reason, false, slot());
  if (record_.host.empty()) {
    record_.host = problem.host;
    record_.port = problem.port;
  }
  gateway_.refusals.add(record_);
  gateway_.log->write(record_);
}

void Trail::moved(std::uint64_t to_upstream, std::uint64_t to_client) {
  record_.bytes_to_upstream += to_upstream;
  record_.bytes_to_client += to_client;
  metrics_.moved(record_.way, slot(), to_upstream, to_client);
  if (session_ == nullptr) return;
  session_->use().bytes_to_upstream.fetch_add(to_upstream, std::memory_order_relaxed);
  session_->use().bytes_to_client.fetch_add(to_client, std::memory_order_relaxed);
}

Trail::~Trail() {
  if (retired_) return;
  if (!decided_) {
    // A way out that forgot to decide would be a bug; the log says so rather than nothing.
    record_.allowed = false;
    record_.because.reason = Reason::malformed;
    if (record_.detail.empty()) record_.detail = "ended before a decision";
    metrics_.decided(record_.way, record_.because.reason, false, slot());
    gateway_.log->write(record_);
    return;
  }
  metrics_.responded(record_.status);
  if (!opened_) return;
  const auto took = std::chrono::steady_clock::now() - start_;
  metrics_.request_took(took);
  record_.kind = audit::Kind::end;
  record_.time += std::chrono::duration_cast<std::chrono::system_clock::duration>(took);
  record_.duration = std::chrono::duration_cast<std::chrono::microseconds>(took);
  gateway_.log->write(record_);
}

}  // namespace nono
