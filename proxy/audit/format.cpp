#include "proxy/audit/format.hpp"

#include <fmt/format.h>

#include <ctime>
#include <iterator>

namespace nono::audit {

namespace {

void add_text(std::string& out, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  fmt::format_to(std::back_inserter(out), ",\"{}\":", key);
  append_json_string(out, value);
}

template <class Number>
void add_number(std::string& out, std::string_view key, Number value) {
  fmt::format_to(std::back_inserter(out), ",\"{}\":{}", key, value);
}

std::string utc(std::chrono::system_clock::time_point time) {
  const auto since = time.time_since_epoch();
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
  const std::time_t seconds = static_cast<std::time_t>(millis / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     millis % 1000);
}

}  // namespace

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::decision:
      return "decision";
    case Kind::end:
      return "end";
    case Kind::note:
      return "note";
  }
  return "unknown";
}

std::string_view to_string(Way way) {
  switch (way) {
    case Way::connect:
      return "connect";
    case Way::forward:
      return "forward";
    case Way::reverse:
      return "reverse";
    case Way::intercept:
      return "intercept";
    case Way::captured:
      return "captured";
    case Way::dns:
      return "dns";
    case Way::admin:
      return "admin";
  }
  return "unknown";
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte > 0x7e) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(byte));
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string format_open(const Record& record, std::uint64_t sequence) {
  std::string out;
  out.reserve(320);
  fmt::format_to(std::back_inserter(out), "{{\"seq\":{},\"time\":\"{}\",\"kind\":\"{}\"", sequence,
                 utc(record.time), to_string(record.kind));
  add_text(out, "session", record.session);
  if (record.kind != Kind::note) {
    add_number(out, "connection", record.connection);
    add_text(out, "way", to_string(record.way));
  }
  if (record.kind == Kind::decision) {
    add_text(out, "decision", record.allowed ? "allow" : "refuse");
    add_text(out, "reason", to_string(record.because.reason));
    add_text(out, "rule", record.because.rule);
  }
  // An end that we brought about ourselves says why.
  if (record.kind == Kind::end && !record.allowed) add_text(out, "reason", to_string(record.because.reason));
  add_text(out, "host", record.host);
  if (record.port != 0) add_number(out, "port", record.port);
  add_text(out, "method", record.method);
  add_text(out, "path", record.path);
  add_text(out, "credential", record.credential);
  add_text(out, "address", record.address);
  if (record.status != 0) add_number(out, "status", record.status);
  add_text(out, "detail", record.detail);
  if (record.kind == Kind::end) {
    add_number(out, "bytes_to_upstream", record.bytes_to_upstream);
    add_number(out, "bytes_to_client", record.bytes_to_client);
    add_number(out, "duration_us", record.duration.count());
  }
  return out;
}

}  // namespace nono::audit
