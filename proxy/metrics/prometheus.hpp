#pragma once
// Values as Prometheus reads them: text exposition format 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/).

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/metrics/metrics.hpp"

namespace nono::metrics {

inline constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

// Counts by upper bound in seconds, each value in one bucket; what is over the last bound in
// `over`.
struct Distribution {
  std::vector<std::pair<double, std::uint64_t>> buckets;
  std::uint64_t over = 0;
  double sum = 0;  // seconds
};

// The DNS listener's queries, by what became of them, and what else it counts.
struct DnsStub {
  std::uint64_t cached = 0, asked = 0, denied = 0, type_refused = 0, malformed = 0, limited = 0;
  std::uint64_t failed = 0;     // of those asked
  std::uint64_t truncated = 0;  // did not fit into UDP
  std::uint64_t tcp_connections = 0;
};

// What is not a worker's: of the process and of what all workers share.
struct Shared {
  std::string version;
  std::size_t threads = 0;
  std::size_t sessions = 0;
  std::uint64_t redactions = 0;
  std::uint64_t audit_lines = 0;  // written
  std::uint64_t audit_lost = 0;   // could not be written
  std::uint64_t audit_rotations = 0;
  std::size_t audit_queue = 0;      // waiting for the writer
  std::optional<DnsStub> dns_stub;  // where there is one
  Distribution audit_commits;       // how long decisions waited for the disk
};

// The kernel's view of this process, read from /proc.
struct Process {
  double start_time = 0;  // seconds since 1970
  double cpu_seconds = 0;
  std::uint64_t resident_bytes = 0;
  std::uint64_t open_fds = 0, max_fds = 0;
};
Process read_process();

// Everything, as one text. Names are by slot (names.hpp). Series of two labels appear once they are
// not zero; all others always.
std::string expose(const Values& values, const Shared& shared, const Process& process,
                   const std::vector<std::string>& credentials,
                   const std::vector<std::string>& sessions);

// A label's value with backslash, quote and line feed escaped. What is not printable ASCII becomes
// a question mark.
std::string escape_label(std::string_view text);

}  // namespace nono::metrics
