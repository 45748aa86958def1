#pragma once
// What is counted: one table of metric families, from which follow the layout of a worker's cells,
// the sums over workers and the text that is scraped.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "config/base/permit.hpp"
#include "proxy/audit/record.hpp"

namespace nono::metrics {

enum class Kind : std::uint8_t { counter, gauge, histogram };

// A label whose values are known when this is compiled, or names given at run time (names.hpp).
enum class Label : std::uint8_t {
  none,
  way,
  reason,     // written as two labels: the decision that it belongs to, and itself
  direction,  // of bytes
  status_class,
  side,
  turned_away,
  dns_lookup,
  dns_failure,
  reuse,
  credential,  // names
  session      // names
};

enum class Family : std::uint8_t {
  connections_accepted,
  connections_open,
  connections_refused,
  accept_paused,
  decisions,
  failures,
  bytes,
  responses,
  request_duration,
  upstream_open_duration,
  dns_resolve_duration,
  connect_duration,
  tls_duration,
  first_byte_duration,
  dns_lookups,
  dns_failures,
  upstream_reuse,
  upstream_idle,
  credential_uses,
  session_requests,
  session_refusals,
  session_connections,
  session_bytes,
};

enum class Direction : std::uint8_t { to_upstream, to_client };
enum class Peer : std::uint8_t { client, upstream };
// Why a connection was turned away before anything of it was read.
enum class TurnedAway : std::uint8_t { all_full, session_full, rate };
// Where the resolver found a name, or whom it asked.
enum class DnsLookup : std::uint8_t { hosts_file, cache_hit, coalesced, asked };
// Why it had no address to give.
enum class DnsFailure : std::uint8_t { not_found, failed, timeout, denied };
enum class Reuse : std::uint8_t { hit, miss, stale };

inline constexpr std::size_t ways = 9;
inline constexpr std::size_t reasons = 20;
inline constexpr std::size_t status_classes = 5;

// Names that appear as labels are bounded: whatever comes later is counted as `other`, which is
// slot 0.
inline constexpr std::size_t credential_slots = 65;
inline constexpr std::size_t session_slots = 101;

// Upper bounds of a histogram's buckets: 100 µs doubled again and again, the last one 209.7 s.
inline constexpr std::size_t buckets = 22;
inline constexpr std::uint64_t first_bucket_ns = 100'000;

constexpr std::size_t values_of(Label label) {
  switch (label) {
    case Label::none:
      return 1;
    case Label::way:
      return ways;
    case Label::reason:
      return reasons;
    case Label::direction:
    case Label::side:
      return 2;
    case Label::status_class:
      return status_classes;
    case Label::turned_away:
    case Label::reuse:
      return 3;
    case Label::dns_lookup:
    case Label::dns_failure:
      return 4;
    case Label::credential:
      return credential_slots;
    case Label::session:
      return session_slots;
  }
  return 1;
}

struct FamilyInfo {
  Family family;
  Kind kind;
  std::string_view name;
  std::string_view help;
  Label first = Label::none;
  Label second = Label::none;

  constexpr std::size_t series() const { return values_of(first) * values_of(second); }
  // A histogram's cells: its buckets, one for what is over the last, and the sum in nanoseconds.
  constexpr std::size_t cells_each() const { return kind == Kind::histogram ? buckets + 2 : 1; }
};

inline constexpr std::array families = {
    FamilyInfo{Family::connections_accepted, Kind::counter, "nono_connections_accepted_total",
               "Client connections accepted."},
    FamilyInfo{Family::connections_open, Kind::gauge, "nono_connections_open",
               "Client connections that are open."},
    FamilyInfo{Family::connections_refused, Kind::counter, "nono_connections_refused_total",
               "Client connections turned away by a limit.", Label::turned_away},
    FamilyInfo{Family::accept_paused, Kind::gauge, "nono_accept_paused",
               "Listeners that wait because descriptors or memory ran out."},
    FamilyInfo{Family::decisions, Kind::counter, "nono_decisions_total",
               "Decisions, as the audit log has them.", Label::way, Label::reason},
    FamilyInfo{
        Family::failures, Kind::counter, "nono_failures_total",
        "Requests that were allowed and then failed, or were refused for what came to light.",
        Label::way, Label::reason},
    FamilyInfo{Family::bytes, Kind::counter, "nono_bytes_total",
               "Payload bytes moved, counted when what moved them ends.", Label::way,
               Label::direction},
    FamilyInfo{Family::responses, Kind::counter, "nono_responses_total",
               "HTTP responses sent to clients, by status class.", Label::status_class},
    FamilyInfo{Family::request_duration, Kind::histogram, "nono_request_duration_seconds",
               "From a request's head to its end; a tunnel is one request."},
    FamilyInfo{Family::upstream_open_duration, Kind::histogram,
               "nono_upstream_open_duration_seconds",
               "From a decision to a connection that is ready: resolving, connecting, TLS."},
    FamilyInfo{Family::dns_resolve_duration, Kind::histogram, "nono_dns_resolve_duration_seconds",
               "Resolving a name, from wherever."},
    FamilyInfo{Family::connect_duration, Kind::histogram, "nono_upstream_connect_duration_seconds",
               "Connecting to an upstream, all addresses together."},
    FamilyInfo{Family::tls_duration, Kind::histogram, "nono_tls_handshake_duration_seconds",
               "TLS handshakes, with clients and with upstreams.", Label::side},
    FamilyInfo{Family::first_byte_duration, Kind::histogram,
               "nono_upstream_first_byte_duration_seconds",
               "From a request sent to the head of its final response."},
    FamilyInfo{Family::dns_lookups, Kind::counter, "nono_dns_lookups_total",
               "Names resolved, by where the answer came from.", Label::dns_lookup},
    FamilyInfo{Family::dns_failures, Kind::counter, "nono_dns_failures_total",
               "Names without an address to dial, by cause.", Label::dns_failure},
    FamilyInfo{Family::upstream_reuse, Kind::counter, "nono_upstream_reuse_total",
               "Requests that found a kept upstream connection (hit), needed a new one (miss), or "
               "met one that had gone (stale).",
               Label::reuse},
    FamilyInfo{Family::upstream_idle, Kind::gauge, "nono_upstream_idle_connections",
               "Upstream connections kept for the next request."},
    FamilyInfo{Family::credential_uses, Kind::counter, "nono_credential_uses_total",
               "Requests that went upstream with a real key in place of a phantom.",
               Label::credential},
    FamilyInfo{Family::session_requests, Kind::counter, "nono_session_requests_total",
               "Decisions, by session.", Label::session},
    FamilyInfo{Family::session_refusals, Kind::counter, "nono_session_refusals_total",
               "Decisions that refused, by session.", Label::session},
    FamilyInfo{Family::session_connections, Kind::gauge, "nono_session_connections_open",
               "Client connections that are open, by session.", Label::session},
    FamilyInfo{Family::session_bytes, Kind::counter, "nono_session_bytes_total",
               "Payload bytes moved, by session.", Label::session, Label::direction},
};

constexpr const FamilyInfo& info_of(Family family) {
  return families[static_cast<std::size_t>(family)];
}

// The first cell of each family; one more entry says how many there are in all.
inline constexpr std::array<std::size_t, families.size() + 1> offsets = [] {
  std::array<std::size_t, families.size() + 1> out{};
  for (std::size_t at = 0; at < families.size(); ++at) {
    out[at + 1] = out[at] + families[at].series() * families[at].cells_each();
  }
  return out;
}();
inline constexpr std::size_t cells = offsets.back();

constexpr std::size_t cell_of(Family family, std::size_t first = 0, std::size_t second = 0) {
  const FamilyInfo& info = info_of(family);
  return offsets[static_cast<std::size_t>(family)] +
         (first * values_of(info.second) + second) * info.cells_each();
}

// The bucket that a duration falls into: the first whose bound is not below it.
constexpr std::size_t bucket_of(std::uint64_t nanoseconds) {
  const std::uint64_t units = nanoseconds == 0 ? 0 : (nanoseconds - 1) / first_bucket_ns;
  return std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(units)), buckets);
}

}  // namespace nono::metrics
