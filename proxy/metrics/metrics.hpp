#pragma once
// One worker's counters, and their sum over all workers.

#include <atomic>
#include <chrono>
#include <memory>
#include <span>
#include <utility>

#include "proxy/metrics/families.hpp"

namespace nono::metrics {

using Values = std::array<std::uint64_t, cells>;

// Written by one thread, its worker's; read by any. A write is a plain load and a plain store: no
// locked instruction, no line shared with another worker. A reader sees each cell as it was a
// moment ago, not all of one instant.
class alignas(64) Metrics {
 public:
  Metrics() : cells_(std::make_unique<Cells>()) {}
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void connection_accepted() { add(cell_of(Family::connections_accepted)); }
  void connections_open(std::int64_t change) { move(cell_of(Family::connections_open), change); }
  void connection_refused(TurnedAway why) { add(at(Family::connections_refused, why)); }
  void accept_paused(std::int64_t change) { move(cell_of(Family::accept_paused), change); }

  // A decision record of the audit log, for a session's slot.
  void decided(audit::Way way, Reason reason, bool allowed, std::size_t session) {
    add(at(Family::decisions, way, reason));
    add(cell_of(Family::session_requests, session));
    if (!allowed) add(cell_of(Family::session_refusals, session));
  }
  // What ended a request that had been allowed.
  void failed(audit::Way way, Reason reason) { add(at(Family::failures, way, reason)); }
  void moved(audit::Way way, std::size_t session, std::uint64_t to_upstream,
             std::uint64_t to_client) {
    add(at(Family::bytes, way, Direction::to_upstream), to_upstream);
    add(at(Family::bytes, way, Direction::to_client), to_client);
    add(cell_of(Family::session_bytes, session, index(Direction::to_upstream)), to_upstream);
    add(cell_of(Family::session_bytes, session, index(Direction::to_client)), to_client);
  }
  // Any other status than 100 to 599 is none and counts nothing.
  void responded(int status) {
    if (status >= 100 && status < 600) {
      add(cell_of(Family::responses, static_cast<std::size_t>(status / 100 - 1)));
    }
  }
  void session_connections(std::size_t session, std::int64_t change) {
    move(cell_of(Family::session_connections, session), change);
  }

  void request_took(std::chrono::nanoseconds time) { observe(Family::request_duration, 0, time); }
  void open_took(std::chrono::nanoseconds time) {
    observe(Family::upstream_open_duration, 0, time);
  }
  void resolve_took(std::chrono::nanoseconds time) {
    observe(Family::dns_resolve_duration, 0, time);
  }
  void connect_took(std::chrono::nanoseconds time) { observe(Family::connect_duration, 0, time); }
  void tls_took(Peer with, std::chrono::nanoseconds time) {
    observe(Family::tls_duration, index(with), time);
  }
  void first_byte_took(std::chrono::nanoseconds time) {
    observe(Family::first_byte_duration, 0, time);
  }

  void dns_lookup(DnsLookup how) { add(at(Family::dns_lookups, how)); }
  void dns_failure(DnsFailure why) { add(at(Family::dns_failures, why)); }

  void upstream_reuse(Reuse what) { add(at(Family::upstream_reuse, what)); }
  void upstream_idle(std::int64_t change) { move(cell_of(Family::upstream_idle), change); }

  void credential_used(std::size_t slot) { add(cell_of(Family::credential_uses, slot)); }

  std::uint64_t value(std::size_t cell) const {
    return (*cells_)[cell].load(std::memory_order_relaxed);
  }

 private:
  using Cells = std::array<std::atomic<std::uint64_t>, cells>;

  template <class Enum>
  static constexpr std::size_t index(Enum value) {
    return static_cast<std::size_t>(value);
  }
  template <class First>
  static constexpr std::size_t at(Family family, First first) {
    return cell_of(family, index(first));
  }
  template <class First, class Second>
  static constexpr std::size_t at(Family family, First first, Second second) {
    return cell_of(family, index(first), index(second));
  }
  void add(std::size_t cell, std::uint64_t count = 1) {
    std::atomic<std::uint64_t>& one = (*cells_)[cell];
    one.store(one.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  void move(std::size_t cell, std::int64_t change) {
    add(cell, static_cast<std::uint64_t>(change));
  }
  void observe(Family family, std::size_t first, std::chrono::nanoseconds time) {
    const std::uint64_t taken = time.count() < 0 ? 0 : static_cast<std::uint64_t>(time.count());
    const std::size_t base = cell_of(family, first);
    add(base + bucket_of(taken));
    add(base + buckets + 1, taken);
  }

  std::unique_ptr<Cells> cells_;
};

// One idle upstream connection, counted as long as this lives.
class IdleMark {
 public:
  explicit IdleMark(Metrics* metrics) : metrics_(metrics) {
    if (metrics_ != nullptr) metrics_->upstream_idle(1);
  }
  IdleMark(IdleMark&& other) noexcept : metrics_(std::exchange(other.metrics_, nullptr)) {}
  IdleMark& operator=(IdleMark&&) = delete;
  ~IdleMark() {
    if (metrics_ != nullptr) metrics_->upstream_idle(-1);
  }

 private:
  Metrics* metrics_;
};

// The sum of all workers' cells; a gauge that went below zero on one is made good by another.
Values sum(std::span<const Metrics* const> workers);

}  // namespace nono::metrics
