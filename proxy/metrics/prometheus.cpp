#include "proxy/metrics/prometheus.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <iterator>

#include "config/base/fd.hpp"

namespace nono::metrics {

namespace {

// As the audit log names them.
constexpr std::array<std::string_view, ways> way_names = {
    "connect", "forward", "reverse", "intercept", "captured", "dns", "admin", "socks5", "inbound"};
static_assert(!way_names.back().empty(), "every way has a name");
constexpr std::array<std::string_view, status_classes> status_class_names = {"1xx", "2xx", "3xx",
                                                                             "4xx", "5xx"};
constexpr std::array<std::string_view, 2> direction_names = {"to_upstream", "to_client"};
constexpr std::array<std::string_view, 2> side_names = {"client", "upstream"};
constexpr std::array<std::string_view, 3> turned_away_names = {"all", "session", "rate"};
constexpr std::array<std::string_view, 4> dns_lookup_names = {"hosts_file", "cache_hit",
                                                              "coalesced", "asked"};
constexpr std::array<std::string_view, 4> dns_failure_names = {"not_found", "failed", "timeout",
                                                               "denied"};
constexpr std::array<std::string_view, 3> reuse_names = {"hit", "miss", "stale"};

struct Slots {
  const std::vector<std::string>& credentials;
  const std::vector<std::string>& sessions;
};

bool allows(Reason reason) {
  return reason == Reason::rule_allows || reason == Reason::credential_route ||
         reason == Reason::open_network || reason == Reason::observed;
}

std::string pair(std::string_view name, std::string_view value) {
  return fmt::format("{}=\"{}\"", name, escape_label(value));
}

std::string reason_pairs(std::size_t at) {
  const auto reason = static_cast<Reason>(at);
  return pair("decision", allows(reason) ? "allow" : "refuse") + "," +
         pair("reason", to_string(reason));
}

// How many values of a label there are to write: of names, those that have been given.
std::size_t present(Label label, const Slots& slots) {
  if (label == Label::credential) return std::min(slots.credentials.size(), values_of(label));
  if (label == Label::session) return std::min(slots.sessions.size(), values_of(label));
  return values_of(label);
}

std::string label_text(Label label, std::size_t at, const Slots& slots) {
  switch (label) {
    case Label::none:
      return {};
    case Label::way:
      return pair("way", way_names[at]);
    case Label::reason:
      return reason_pairs(at);
    case Label::direction:
      return pair("direction", direction_names[at]);
    case Label::status_class:
      return pair("class", status_class_names[at]);
    case Label::side:
      return pair("with", side_names[at]);
    case Label::turned_away:
      return pair("limit", turned_away_names[at]);
    case Label::dns_lookup:
      return pair("from", dns_lookup_names[at]);
    case Label::dns_failure:
      return pair("cause", dns_failure_names[at]);
    case Label::reuse:
      return pair("result", reuse_names[at]);
    case Label::credential:
      return pair("credential", slots.credentials[at]);
    case Label::session:
      return pair("session", slots.sessions[at]);
  }
  return {};
}

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::counter:
      return "counter";
    case Kind::gauge:
      return "gauge";
    case Kind::histogram:
      return "histogram";
  }
  return "untyped";
}

std::string joined(std::string_view first, std::string_view second) {
  if (first.empty() || second.empty()) return fmt::format("{}{}", first, second);
  return fmt::format("{},{}", first, second);
}

std::string in_braces(std::string_view labels) {
  return labels.empty() ? std::string() : fmt::format("{{{}}}", labels);
}

class Writer {
 public:
  Writer(const Values& values, const Slots& slots) : values_(values), slots_(slots) {}

  void family(const FamilyInfo& info) {
    header(info.name, info.help, info.kind);
    for (std::size_t first = 0; first < present(info.first, slots_); ++first) {
      const std::string first_text = label_text(info.first, first, slots_);
      for (std::size_t second = 0; second < present(info.second, slots_); ++second) {
        const std::size_t cell = cell_of(info.family, first, second);
        // Most pairs never happen, and a table full of zeros tells nobody anything.
        if (info.second != Label::none && values_[cell] == 0) continue;
        series(info, joined(first_text, label_text(info.second, second, slots_)), cell);
      }
    }
  }

  void header(std::string_view name, std::string_view help, Kind kind) {
    fmt::format_to(std::back_inserter(out_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name,
                   kind_name(kind));
  }

  template <class Number>
  void sample(std::string_view name, std::string_view labels, Number value) {
    fmt::format_to(std::back_inserter(out_), "{}{} {}\n", name, in_braces(labels), value);
  }

  template <class Number>
  void single(std::string_view name, std::string_view help, Kind kind, Number value,
              std::string_view labels = {}) {
    header(name, help, kind);
    sample(name, labels, value);
  }

  void distribution(std::string_view name, const std::string& labels, const Distribution& all) {
    std::uint64_t total = 0;
    const std::string bucket_name = fmt::format("{}_bucket", name);
    for (const auto& [bound, count] : all.buckets) {
      total += count;
      sample(bucket_name, joined(labels, fmt::format("le=\"{}\"", bound)), total);
    }
    total += all.over;
    sample(bucket_name, joined(labels, "le=\"+Inf\""), total);
    sample(fmt::format("{}_sum", name), labels, all.sum);
    sample(fmt::format("{}_count", name), labels, total);
  }

  std::string take() { return std::move(out_); }

 private:
  void series(const FamilyInfo& info, const std::string& labels, std::size_t cell) {
    if (info.kind == Kind::histogram) {
      histogram(info.name, labels, cell);
    } else if (info.kind == Kind::gauge) {
      sample(info.name, labels, static_cast<std::int64_t>(values_[cell]));
    } else {
      sample(info.name, labels, values_[cell]);
    }
  }

  void histogram(std::string_view name, const std::string& labels, std::size_t cell) {
    Distribution all;
    std::uint64_t bound_ns = first_bucket_ns;
    for (std::size_t bucket = 0; bucket < buckets; ++bucket, bound_ns *= 2) {
      all.buckets.emplace_back(static_cast<double>(bound_ns) / 1e9, values_[cell + bucket]);
    }
    all.over = values_[cell + buckets];
    all.sum = static_cast<double>(values_[cell + buckets + 1]) / 1e9;
    distribution(name, labels, all);
  }

  const Values& values_;
  const Slots& slots_;
  std::string out_;
};

std::string read_small_file(const char* path) {
  const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  std::string text(16 * 1024, '\0');
  const ssize_t count = fd ? ::read(fd.get(), text.data(), text.size()) : 0;
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return text;
}

// The number that is the `index`th word of `text`, 0 where there is none.
std::uint64_t number_at(std::string_view text, std::size_t index) {
  for (; index > 0; --index) {
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos) return 0;
    text.remove_prefix(space + 1);
  }
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::uint64_t boot_time() {
  constexpr std::string_view key = "\nbtime ";
  const std::string text = read_small_file("/proc/stat");
  const std::size_t at = text.find(key);
  return at == std::string::npos ? 0 : number_at(std::string_view(text).substr(at + key.size()), 0);
}

std::uint64_t count_fds() {
  std::error_code failed;
  std::uint64_t count = 0;
  std::filesystem::directory_iterator entry("/proc/self/fd", failed);
  for (; !failed && entry != std::filesystem::directory_iterator(); entry.increment(failed)) {
    ++count;
  }
  return count > 0 ? count - 1 : 0;  // less the one that lists them
}

void write_shared(Writer& out, const Shared& shared) {
  out.single("nono_build_info", "The version that runs, as a label.", Kind::gauge, 1,
             pair("version", shared.version));
  out.single("nono_threads", "Threads that serve connections.", Kind::gauge, shared.threads);
  out.single("nono_sessions", "Sessions alive.", Kind::gauge, shared.sessions);
  out.single("nono_redactions_total", "Real keys found in responses and replaced.", Kind::counter,
             shared.redactions);
  out.single("nono_audit_lines_total", "Lines written to the audit log.", Kind::counter,
             shared.audit_lines);
  out.single("nono_audit_lost_total", "Records that the audit log could not be made to hold.",
             Kind::counter, shared.audit_lost);
  out.single("nono_audit_queue_records", "Records that wait for the audit log's writer.",
             Kind::gauge, shared.audit_queue);
  out.single("nono_audit_rotations_total", "Files that the audit log has begun anew.",
             Kind::counter, shared.audit_rotations);
  constexpr std::string_view commits = "nono_audit_commit_duration_seconds";
  out.header(commits, "How long decisions waited until they were on disk.", Kind::histogram);
  out.distribution(commits, {}, shared.audit_commits);
}

void write_dns_stub(Writer& out, const DnsStub& stub) {
  constexpr std::string_view queries = "nono_dns_stub_queries_total";
  out.header(queries, "Queries to the DNS listener, by what became of them.", Kind::counter);
  out.sample(queries, pair("result", "cached"), stub.cached);
  out.sample(queries, pair("result", "asked"), stub.asked);
  out.sample(queries, pair("result", "denied"), stub.denied);
  out.sample(queries, pair("result", "type_refused"), stub.type_refused);
  out.sample(queries, pair("result", "malformed"), stub.malformed);
  out.sample(queries, pair("result", "limited"), stub.limited);
  out.single("nono_dns_stub_failures_total", "Queries to the DNS listener answered SERVFAIL.",
             Kind::counter, stub.failed);
  out.single("nono_dns_stub_truncated_total", "Answers too long for UDP.", Kind::counter,
             stub.truncated);
  out.single("nono_dns_stub_tcp_connections_total", "TCP connections to the DNS listener.",
             Kind::counter, stub.tcp_connections);
}

void write_process(Writer& out, const Process& process) {
  out.single("process_start_time_seconds", "Start of the process since the epoch, in seconds.",
             Kind::gauge, fmt::format("{:.2f}", process.start_time));
  out.single("process_cpu_seconds_total", "User and system CPU time spent, in seconds.",
             Kind::counter, process.cpu_seconds);
  out.single("process_resident_memory_bytes", "Resident memory in bytes.", Kind::gauge,
             process.resident_bytes);
  out.single("process_open_fds", "Open file descriptors.", Kind::gauge, process.open_fds);
  out.single("process_max_fds", "Most file descriptors that may be open.", Kind::gauge,
             process.max_fds);
}

}  // namespace

std::string escape_label(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c >= 0x20 && c < 0x7f ? c : '?';
    }
  }
  return out;
}

Process read_process() {
  Process out;
  const std::string stat = read_small_file("/proc/self/stat");
  const std::size_t name_end = stat.rfind(')');  // the name may hold spaces: proc(5)
  if (name_end != std::string::npos && name_end + 2 < stat.size()) {
    // Numbered from the state, which is field 3.
    const std::string_view fields = std::string_view(stat).substr(name_end + 2);
    const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    out.cpu_seconds = static_cast<double>(number_at(fields, 11) + number_at(fields, 12)) / ticks;
    out.start_time =
        static_cast<double>(boot_time()) + static_cast<double>(number_at(fields, 19)) / ticks;
    out.resident_bytes =
        number_at(fields, 21) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  }
  out.open_fds = count_fds();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) out.max_fds = limit.rlim_cur;
  return out;
}

std::string expose(const Values& values, const Shared& shared, const Process& process,
                   const std::vector<std::string>& credentials,
                   const std::vector<std::string>& sessions) {
  const Slots slots{credentials, sessions};
  Writer out(values, slots);
  for (const FamilyInfo& info : families) out.family(info);
  write_shared(out, shared);
  if (shared.dns_stub) write_dns_stub(out, *shared.dns_stub);
  write_process(out, process);
  return out.take();
}

}  // namespace nono::metrics
