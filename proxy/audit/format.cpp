#include "proxy/audit/format.hpp"

#include <algorithm>
#include <charconv>

namespace nono::audit {

namespace {

void add_digits(std::string& out, std::uint64_t value) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, end.ptr);
}

// `key` comes with what stands around it: `,"host":`.
void add_text(std::string& out, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  out += key;
  append_json_string(out, value);
}

void add_number(std::string& out, std::string_view key, std::uint64_t value) {
  out += key;
  add_digits(out, value);
}

char* put_padded(char* at, unsigned value, unsigned width) {
  for (unsigned place = width; place-- > 0; value /= 10) {
    at[place] = static_cast<char>('0' + value % 10);
  }
  return at + width;
}

// 2026-01-31T12:00:00.000Z; the years 0 to 9999.
void add_utc(std::string& out, std::chrono::system_clock::time_point time) {
  const auto whole = std::chrono::floor<std::chrono::milliseconds>(time);
  const auto day = std::chrono::floor<std::chrono::days>(whole);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(whole - day);
  char text[24];
  char* at = put_padded(text, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  *at++ = '-';
  at = put_padded(at, static_cast<unsigned>(date.month()), 2);
  *at++ = '-';
  at = put_padded(at, static_cast<unsigned>(date.day()), 2);
  *at++ = 'T';
  at = put_padded(at, static_cast<unsigned>(clock.hours().count()), 2);
  *at++ = ':';
  at = put_padded(at, static_cast<unsigned>(clock.minutes().count()), 2);
  *at++ = ':';
  at = put_padded(at, static_cast<unsigned>(clock.seconds().count()), 2);
  *at++ = '.';
  at = put_padded(at, static_cast<unsigned>(clock.subseconds().count()), 3);
  *at++ = 'Z';
  out.append(text, sizeof text);
}

// Needs no escaping, as nearly all text does not.
bool is_plain(std::string_view text) {
  bool plain = true;  // no early end: this shape becomes vector code
  for (const char c : text) plain &= (c >= 0x20) & (c <= 0x7e) & (c != '"') & (c != '\\');
  return plain;
}

void begin(std::string& out, std::chrono::system_clock::time_point time, Kind kind) {
  out += ",\"time\":\"";
  add_utc(out, time);
  out += '"';
  add_text(out, R"(,"kind":)", to_string(kind));
}

// What a note says, for people.
std::string sentence(const Note& note) {
  std::string text;
  const auto say = [&text](std::string part) {
    if (!text.empty()) text += "; ";
    text += part;
  };
  if (!note.continues.empty()) say("this file continues the log of an earlier one");
  if (note.fragment_bytes > 0) {
    say("an incomplete line of " + std::to_string(note.fragment_bytes) +
        " bytes, as a crash leaves it, was taken from the end of the log");
  }
  if (note.lost > 0) {
    say(std::to_string(note.lost) + (note.lost == 1 ? " record" : " records") +
        " before this line could not be written");
  }
  return text;
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
    case Way::socks5:
      return "socks5";
    case Way::inbound:
      return "inbound";
    case Way::admin:
      return "admin";
  }
  return "unknown";
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  if (is_plain(text)) {
    out += text;
    out += '"';
    return;
  }
  std::size_t copied = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte >= 0x20 && byte <= 0x7e && byte != '"' && byte != '\\') continue;
    out.append(text.substr(copied, at - copied));
    copied = at + 1;
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += text[at];
    } else {
      out += "\\u00";
      out += "0123456789abcdef"[byte >> 4];
      out += "0123456789abcdef"[byte & 15];
    }
  }
  out.append(text.substr(copied));
  out += '"';
}

void append_number(std::string& out, std::uint64_t sequence) {
  out += "{\"seq\":";
  add_digits(out, sequence);
}

void append_record(std::string& out, const Record& record) {
  begin(out, record.time, record.kind);
  add_text(out, R"(,"session":)", record.session);
  if (record.kind != Kind::note) {
    add_number(out, R"(,"connection":)", record.connection);
    add_text(out, R"(,"way":)", to_string(record.way));
  }
  if (record.kind == Kind::decision) {
    add_text(out, R"(,"decision":)", record.allowed ? "allow" : "refuse");
    add_text(out, R"(,"reason":)", to_string(record.because.reason));
    add_text(out, R"(,"rule":)", record.because.rule);
  }
  // An end that we brought about ourselves says why.
  if (record.kind == Kind::end && !record.allowed) {
    add_text(out, R"(,"reason":)", to_string(record.because.reason));
  }
  add_text(out, R"(,"host":)", record.host);
  if (record.port != 0) add_number(out, R"(,"port":)", record.port);
  add_text(out, R"(,"method":)", record.method);
  add_text(out, R"(,"path":)", record.path);
  add_text(out, R"(,"credential":)", record.credential);
  add_text(out, R"(,"address":)", record.address);
  if (record.status > 0)
    add_number(out, R"(,"status":)", static_cast<std::uint64_t>(record.status));
  add_text(out, R"(,"detail":)", record.detail);
  if (record.kind == Kind::end) {
    add_number(out, R"(,"bytes_to_upstream":)", record.bytes_to_upstream);
    add_number(out, R"(,"bytes_to_client":)", record.bytes_to_client);
    const auto micros = std::max(record.duration, std::chrono::microseconds(0));
    add_number(out, R"(,"duration_us":)", static_cast<std::uint64_t>(micros.count()));
  }
}

void append_note(std::string& out, const Note& note, std::chrono::system_clock::time_point time) {
  begin(out, time, Kind::note);
  add_text(out, R"(,"detail":)", sentence(note));
  add_text(out, R"(,"continues":)", note.continues);
  if (note.lost > 0) add_number(out, R"(,"lost":)", note.lost);
  if (note.fragment_bytes > 0) add_number(out, R"(,"fragment_bytes":)", note.fragment_bytes);
  add_text(out, R"(,"fragment":)", note.fragment);
}

}  // namespace nono::audit
