#include "proxy/http/serialize.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "config/base/secret.hpp"
#include "proxy/http/lexical.hpp"

namespace nono::http {

namespace {

// Told apart by length first: nearly every field is none of these.
bool is_hop_by_hop(std::string_view name) {
  switch (name.size()) {
    case 2:
      return equal_name(name, "TE");
    case 7:
      return equal_name(name, "Trailer") || equal_name(name, "Upgrade");
    case 10:
      return equal_name(name, "Connection") || equal_name(name, "Keep-Alive");
    case 16:
      return equal_name(name, "Proxy-Connection");
    case 17:
      return equal_name(name, "Transfer-Encoding");
    case 18:
      return equal_name(name, "Proxy-Authenticate");
    case 19:
      return equal_name(name, "Proxy-Authorization");
    case 25:
      return equal_name(name, "Proxy-Authentication-Info");
    default:
      return false;
  }
}

// Meant for every recipient, so `Connection` may not have them removed on the way (RFC 9110 7.6.1):
// otherwise a client could make a request mean something else behind us.
constexpr std::string_view end_to_end[] = {
    "Host",          "Content-Length", "Content-Type", "Content-Encoding",
    "Content-Range", "Authorization",  "Cookie",       "Set-Cookie",
    "Cache-Control", "Location",       "Date",         "Range",
    "Via",           "Expect"};

bool is_end_to_end(std::string_view name) {
  return std::any_of(std::begin(end_to_end), std::end(end_to_end),
                     [&](std::string_view one) { return equal_name(one, name); });
}

// A copy of what the Connection fields name besides the usual options: the fields themselves are
// about to move.
std::string named_by_connection(const Fields& fields) {
  std::string named;
  for (const Field& field : fields.all()) {
    if (field.name.size() != 10 || !equal_name(field.name, "Connection")) continue;
    std::string_view list = field.value;
    std::string_view option;
    while (lexical::next_element(list, option)) {
      if (equal_name(option, "close") || equal_name(option, "keep-alive")) continue;
      if (is_end_to_end(option)) continue;
      named += option;
      named += ',';
    }
  }
  return named;
}

bool is_in_list(std::string_view list, std::string_view name) {
  std::string_view element;
  while (lexical::next_element(list, element)) {
    if (equal_name(element, name)) return true;
  }
  return false;
}

void append_number(std::string& out, std::uint64_t number, int base) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base);
  out.append(digits.data(), end.ptr);
}

void append_text(std::string& out, std::string_view text) {
  const std::size_t begin = out.size();
  out += text;
  if (lexical::is_text(text)) return;
  for (std::size_t i = begin; i < out.size(); ++i) {
    if (out[i] == '\r' || out[i] == '\n' || out[i] == '\0') out[i] = ' ';
  }
}

bool is_written_anew(const Field& field, const Framing& framing) {
  switch (field.name.size()) {
    case 10:
      return equal_name(field.name, "Connection");
    case 14:
      return framing.kind != Framing::Kind::none && equal_name(field.name, "Content-Length");
    case 17:
      return equal_name(field.name, "Transfer-Encoding");
    default:
      return false;
  }
}

std::size_t size_of(const Fields& fields) {
  std::size_t size = 0;
  for (const Field& field : fields.all()) size += field.name.size() + field.value.size() + 4;
  return size;
}

void append_connection(std::string& out, ConnectionOption option, std::string_view upgrade) {
  switch (option) {
    case ConnectionOption::none:
      return;
    case ConnectionOption::close:
      out += "Connection: close\r\n";
      return;
    case ConnectionOption::keep_alive:
      out += "Connection: keep-alive\r\n";
      return;
    case ConnectionOption::upgrade:
      break;
  }
  out += "Connection: upgrade\r\nUpgrade: ";
  append_text(out, upgrade);
  out += "\r\n";
}

void append_rest(std::string& out, const Fields& fields, const Framing& framing,
                 ConnectionOption option, std::string_view upgrade) {
  for (const Field& field : fields.all()) {
    if (is_written_anew(field, framing)) continue;
    out += field.name;
    out += ": ";
    append_text(out, field.value);
    out += "\r\n";
  }
  if (framing.kind == Framing::Kind::chunked) out += "Transfer-Encoding: chunked\r\n";
  if (framing.kind == Framing::Kind::length) {
    out += "Content-Length: ";
    append_number(out, framing.length, 10);
    out += "\r\n";
  }
  append_connection(out, option, upgrade);
  out += "\r\n";
}

template <class Head>
ConnectionOption usual_option(const Head& head) {
  if (!head.keep_alive || head.framing.kind == Framing::Kind::until_close)
    return ConnectionOption::close;
  return head.http_1_0 ? ConnectionOption::keep_alive : ConnectionOption::none;
}

template <class Head>
Version version_of(const Head& head) {
  return head.http_1_0 ? Version::http_1_0 : Version::http_1_1;
}

constexpr std::size_t framing_bytes_max = 128;  // what append_rest adds besides the fields

}  // namespace

void remove_hop_by_hop(Fields& fields) {
  const std::string named = named_by_connection(fields);
  std::erase_if(fields.all(), [&](const Field& field) {
    return is_hop_by_hop(field.name) || (!named.empty() && is_in_list(named, field.name));
  });
}

void append_head(std::string& out, const RequestHead& head, Version version,
                 ConnectionOption option, std::string_view upgrade) {
  out.reserve(out.size() + head.method.size() + head.target.size() + size_of(head.fields) +
              upgrade.size() + framing_bytes_max);
  out += head.method;
  out += ' ';
  append_text(out, head.target);
  out += version == Version::http_1_0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n";
  append_rest(out, head.fields, head.framing, option, upgrade);
}

void append_head(std::string& out, const ResponseHead& head, Version version,
                 ConnectionOption option, std::string_view upgrade) {
  out.reserve(out.size() + head.reason.size() + size_of(head.fields) + upgrade.size() +
              framing_bytes_max);
  out += version == Version::http_1_0 ? "HTTP/1.0 " : "HTTP/1.1 ";
  append_number(out, static_cast<std::uint64_t>(head.status), 10);
  out += ' ';
  append_text(out, head.reason);
  out += "\r\n";
  append_rest(out, head.fields, head.framing, option, upgrade);
}

void append_chunk_size(std::string& out, std::size_t size) {
  append_number(out, size, 16);
  out += "\r\n";
}

void reserve_wiping(std::string& text, std::size_t bytes) {
  if (text.capacity() >= bytes) return;
  std::string larger;
  larger.reserve(bytes);
  larger = text;
  wipe(text.data(), text.size());
  text.swap(larger);
}

std::string serialize(const RequestHead& head) {
  std::string out;
  append_head(out, head, version_of(head), usual_option(head));
  return out;
}

std::string serialize(const ResponseHead& head) {
  std::string out;
  append_head(out, head, version_of(head), usual_option(head));
  return out;
}

}  // namespace nono::http
