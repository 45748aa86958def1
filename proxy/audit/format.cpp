#include "proxy/audit/format.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace nono::audit {

namespace {

// Puts a line together where there is room for all of it: a busy proxy writes two lines a request.
class Text {
 public:
  explicit Text(char* room) : at_(room) {}
  const char* end() const { return at_; }

  template <std::size_t size>
  void put(const char (&literal)[size]) {
    at_ = std::copy_n(literal, size - 1, at_);
  }
  void put(std::string_view text) { at_ = std::copy(text.begin(), text.end(), at_); }
  void digits(std::uint64_t value) { at_ = std::to_chars(at_, at_ + 20, value).ptr; }
  void padded(unsigned value, unsigned width) {
    for (unsigned place = width; place-- > 0; value /= 10) {
      at_[place] = static_cast<char>('0' + value % 10);
    }
    at_ += width;
  }
  // `key` comes with what stands around it: `,"host":"`. Nothing where the value is empty.
  template <std::size_t size>
  void field(const char (&key)[size], std::string_view value) {
    if (value.empty()) return;
    put(key);
    escaped(value);
    put("\"");
  }
  // Of our own words, which need no escaping.
  template <std::size_t size>
  void word(const char (&key)[size], std::string_view value) {
    put(key);
    put(value);
    put("\"");
  }
  template <std::size_t size>
  void number(const char (&key)[size], std::uint64_t value) {
    put(key);
    digits(value);
  }
  void escaped(std::string_view text) {
    if (is_plain(text)) return put(text);
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (is_plain(c)) {
        *at_++ = c;
      } else if (byte == '"' || byte == '\\') {
        *at_++ = '\\';
        *at_++ = c;
      } else {
        put("\\u00");
        *at_++ = "0123456789abcdef"[byte >> 4];
        *at_++ = "0123456789abcdef"[byte & 15];
      }
    }
  }

 private:
  static bool is_plain(char c) { return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\'; }
  // Eight bytes at a time, as nearly all text is plain. A byte's highest bit says what is found
  // there; a carry may blame the byte above one that is no good itself.
  static bool is_plain(std::string_view text) {
    constexpr std::uint64_t each = 0x0101010101010101;
    std::uint64_t bad = 0;
    std::size_t at = 0;
    for (; at + sizeof bad <= text.size(); at += sizeof bad) {
      std::uint64_t bytes = 0;
      std::memcpy(&bytes, text.data() + at, sizeof bytes);
      const std::uint64_t quotes = bytes ^ each * '"', slashes = bytes ^ each * '\\';
      bad |= (bytes + each) | (bytes - each * 0x20) | (quotes - each) | (slashes - each) | bytes;
    }
    bool plain = (bad & each * 0x80) == 0;
    for (; at < text.size(); ++at) plain = plain && is_plain(text[at]);
    return plain;
  }

  char* at_;
};

constexpr std::size_t escaped_bytes_max = 6;  // of one byte: \u00XX
constexpr std::size_t fixed_bytes_max = 640;  // all keys, words and numbers of a line

// Appends what `put` puts into room for `bytes`.
template <class Put>
void append(std::string& out, std::size_t bytes, const Put& put) {
  const std::size_t before = out.size();
  out.resize(before + bytes);
  Text text(out.data() + before);
  put(text);
  out.resize(static_cast<std::size_t>(text.end() - out.data()));
}

// "2026-01-31T12:00:00.", and which second that is.
struct SecondText {
  std::chrono::sys_seconds second{};
  char text[20];
};

SecondText text_of(std::chrono::sys_seconds second) {
  const auto day = std::chrono::floor<std::chrono::days>(second);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(second - day);
  SecondText made{second, {}};
  Text text(made.text);
  text.padded(static_cast<unsigned>(static_cast<int>(date.year())), 4);
  text.put("-");
  text.padded(static_cast<unsigned>(date.month()), 2);
  text.put("-");
  text.padded(static_cast<unsigned>(date.day()), 2);
  text.put("T");
  text.padded(static_cast<unsigned>(clock.hours().count()), 2);
  text.put(":");
  text.padded(static_cast<unsigned>(clock.minutes().count()), 2);
  text.put(":");
  text.padded(static_cast<unsigned>(clock.seconds().count()), 2);
  text.put(".");
  return made;
}

// 2026-01-31T12:00:00.000Z; the years 0 to 9999. Thousands of lines are of the same second.
void put_utc(Text& text, std::chrono::system_clock::time_point time) {
  const auto second = std::chrono::floor<std::chrono::seconds>(time);
  thread_local SecondText last = text_of(second);
  if (last.second != second) last = text_of(second);
  text.put(std::string_view(last.text, sizeof last.text));
  const auto rest = std::chrono::floor<std::chrono::milliseconds>(time - second);
  text.padded(static_cast<unsigned>(rest.count()), 3);
  text.put("Z");
}

void begin(Text& text, std::chrono::system_clock::time_point time, Kind kind) {
  text.put(",\"time\":\"");
  put_utc(text, time);
  text.word("\",\"kind\":\"", to_string(kind));
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

std::size_t bytes_max_of(const Record& record) {
  const std::size_t given = record.session.size() + record.because.rule.size() +
                            record.host.size() + record.method.size() + record.path.size() +
                            record.credential.size() + record.address.size() + record.detail.size();
  return fixed_bytes_max + given * escaped_bytes_max;
}

void put_record(Text& text, const Record& record) {
  begin(text, record.time, record.kind);
  text.field(",\"session\":\"", record.session);
  if (record.kind != Kind::note) {
    text.number(",\"connection\":", record.connection);
    text.word(",\"way\":\"", to_string(record.way));
  }
  if (record.kind == Kind::decision) {
    text.word(",\"decision\":\"", record.allowed ? "allow" : "refuse");
    text.word(",\"reason\":\"", to_string(record.because.reason));
    text.field(",\"rule\":\"", record.because.rule);
  }
  // An end that we brought about ourselves says why.
  if (record.kind == Kind::end && !record.allowed) {
    text.word(",\"reason\":\"", to_string(record.because.reason));
  }
  text.field(",\"host\":\"", record.host);
  if (record.port != 0) text.number(",\"port\":", record.port);
  text.field(",\"method\":\"", record.method);
  text.field(",\"path\":\"", record.path);
  text.field(",\"credential\":\"", record.credential);
  text.field(",\"address\":\"", record.address);
  if (record.status > 0) text.number(",\"status\":", static_cast<std::uint64_t>(record.status));
  text.field(",\"detail\":\"", record.detail);
  if (record.kind == Kind::end) {
    text.number(",\"bytes_to_upstream\":", record.bytes_to_upstream);
    text.number(",\"bytes_to_client\":", record.bytes_to_client);
    const auto micros = std::max(record.duration, std::chrono::microseconds(0));
    text.number(",\"duration_us\":", static_cast<std::uint64_t>(micros.count()));
  }
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

void append_json_string(std::string& out, std::string_view string) {
  append(out, 2 + string.size() * escaped_bytes_max, [&](Text& text) {
    text.put("\"");
    text.escaped(string);
    text.put("\"");
  });
}

void append_number(std::string& out, std::uint64_t sequence) {
  append(out, 32, [&](Text& text) { text.number("{\"seq\":", sequence); });
}

std::string_view record_text(std::string& room, const Record& record) {
  const std::size_t bytes = bytes_max_of(record);
  if (room.size() < bytes) room.resize(bytes);
  Text text(room.data());
  put_record(text, record);
  return {room.data(), static_cast<std::size_t>(text.end() - room.data())};
}

void append_note(std::string& out, const Note& note, std::chrono::system_clock::time_point time) {
  const std::string detail = sentence(note);
  const std::size_t given = detail.size() + note.continues.size() + note.fragment.size();
  append(out, fixed_bytes_max + given * escaped_bytes_max, [&](Text& text) {
    begin(text, time, Kind::note);
    text.field(",\"detail\":\"", detail);
    text.field(",\"continues\":\"", note.continues);
    if (note.lost > 0) text.number(",\"lost\":", note.lost);
    if (note.fragment_bytes > 0) text.number(",\"fragment_bytes\":", note.fragment_bytes);
    text.field(",\"fragment\":\"", note.fragment);
  });
}

}  // namespace nono::audit
