#include "proxy/http/lexical.hpp"

#include <algorithm>
#include <cstring>

namespace nono::http::lexical {

namespace {

constexpr std::size_t method_bytes_max = 32;  // the longest registered method has 17
constexpr std::size_t usual_fields = 12;      // room for so many is made at once

// Reads "HTTP/1.0" or "HTTP/1.1", nothing else: versions are case-sensitive and have one digit
// each.
bool parse_version(std::string_view text, bool& http_1_0) {
  http_1_0 = text == "HTTP/1.0";
  return http_1_0 || text == "HTTP/1.1";
}

// "host:port" and nothing more: what CONNECT takes. The parts are read by parse_host_port later.
const char* wrong_authority(std::string_view target) {
  if (target.find_first_of("/?@\\") != std::string_view::npos)
    return "the target of CONNECT is not host:port";
  const std::size_t colon = target.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == target.size())
    return "the target of CONNECT has no host or no port";
  return nullptr;
}

// scheme "://" and something behind it.
bool is_absolute_form(std::string_view target) {
  const std::size_t colon = target.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  for (const char c : target.substr(0, colon)) {
    const char small = lower(c);
    const bool letter = small >= 'a' && small <= 'z';
    const bool other = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
    if (!letter && !other) return false;
  }
  return target.substr(colon + 1).starts_with("//") && target.size() > colon + 3;
}

// Takes a field line apart; null if it is one, otherwise what is wrong.
const char* read_field_line(std::string_view line, FieldList& fields) {
  if (line.front() == ' ' || line.front() == '\t') return "a field is continued on a second line";
  std::size_t length = 0;
  while (length < line.size() && is_token_character(line[length])) ++length;
  if (length > 0 && length < line.size() && line[length] == ':') {
    Field& field = fields.emplace_back();
    field.name = line.substr(0, length);
    field.value = trim(line.substr(length + 1));
    return nullptr;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return "a field line has no colon";
  const std::string_view name = line.substr(0, colon);
  if (!name.empty() && (name.back() == ' ' || name.back() == '\t'))
    return "there is white space before the colon of a field";
  return "a field name has a character that no name may have";
}

// Whether any byte is below 0x20, or 0x7f: eight at a time, as nearly no text has any. A byte's
// highest bit says that it is one.
bool may_have_controls(std::string_view text) {
  constexpr std::uint64_t each = 0x0101010101010101;
  const auto controls = [](std::uint64_t bytes) {
    const std::uint64_t deletes = bytes ^ each * 0x7f;
    return ((bytes - each * 0x20) & ~bytes) | ((deletes - each) & ~deletes);
  };
  std::uint64_t found = 0, bytes = each * 'x';
  if (text.size() < sizeof bytes) {
    std::memcpy(&bytes, text.data(), text.size());
    return (controls(bytes) & each * 0x80) != 0;
  }
  for (std::size_t at = 0; at + sizeof bytes < text.size(); at += sizeof bytes) {
    std::memcpy(&bytes, text.data() + at, sizeof bytes);
    found |= controls(bytes);
  }
  std::memcpy(&bytes, text.data() + text.size() - sizeof bytes, sizeof bytes);
  return ((found | controls(bytes)) & each * 0x80) != 0;
}

}  // namespace

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_character);
}

bool is_text(std::string_view text) {
  if (!may_have_controls(text)) return true;
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
  });
}

bool is_visible(std::string_view text) {
  bool bad = text.empty();
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    bad |= (byte < 0x21) | (byte > 0x7e);
  }
  return !bad;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool next_element(std::string_view& list, std::string_view& element) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    element = trim(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    if (!element.empty()) return true;
  }
  return false;
}

bool parse_length(std::string_view text, std::uint64_t& length) {
  if (text.empty() || text.size() > 18) return false;
  length = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    length = length * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return true;
}

Error malformed(Message message, std::string_view what) {
  const bool request = message == Message::request;
  std::string text =
      request ? "the request is malformed: " : "the upstream's response is malformed: ";
  text += what;
  return Error{request ? Side::client : Side::upstream,
               request ? ErrorCode::bad_request : ErrorCode::bad_response,
               std::move(text),
               {}};
}

Error too_large(Message message, std::string_view what) {
  if (message == Message::response) return malformed(message, what);
  return Error{Side::client, ErrorCode::head_too_large, std::string(what),
               "send fewer or shorter fields"};
}

Error first_line_too_long(Message message) {
  const std::string what = "the first line of the head is too long";
  if (message == Message::response) return malformed(message, what);
  return Error{Side::client, ErrorCode::target_too_long, what, "send a shorter URL"};
}

Result<std::string_view> read_lines(std::string_view head, const HeadLimits& limits,
                                    Message message, FieldList& fields) {
  fields.reserve(usual_fields);
  std::string_view first;
  std::size_t lines = 0;
  while (true) {
    const void* end = std::memchr(head.data(), '\n', head.size());
    if (!end) return fail(malformed(message, "the head does not end"));
    const auto size = static_cast<std::size_t>(static_cast<const char*>(end) - head.data());
    if (size == 0 || head[size - 1] != '\r')
      return fail(malformed(message, "a line ends without a carriage return"));
    const std::string_view line = head.substr(0, size - 1);
    head.remove_prefix(size + 1);
    if (line.empty()) break;
    if (!is_text(line)) return fail(malformed(message, "the head has a control character"));
    if (lines == 0) {
      first = line;
    } else if (const char* wrong = read_field_line(line, fields)) {
      return fail(malformed(message, wrong));
    }
    if (lines++ > limits.fields_max)
      return fail(too_large(message, "the head has too many fields"));
  }
  if (lines == 0) return fail(malformed(message, "the head is empty"));
  if (!head.empty()) return fail(malformed(message, "there is more behind the head"));
  return first;
}

Result<RequestLine> parse_request_line(std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last)
    return fail(malformed(Message::request, "the request line has not three parts"));
  RequestLine parts;
  parts.method = line.substr(0, first);
  parts.target = line.substr(first + 1, last - first - 1);
  if (!is_token(parts.method) || parts.method.size() > method_bytes_max)
    return fail(malformed(Message::request, "the method is not a token"));
  if (!is_visible(parts.target) || parts.target.find('#') != std::string_view::npos)
    return fail(malformed(Message::request, "the target has a character that none may have"));
  if (!parse_version(line.substr(last + 1), parts.http_1_0))
    return fail(malformed(Message::request, "the version is neither HTTP/1.0 nor HTTP/1.1"));
  return parts;
}

Result<StatusLine> parse_status_line(std::string_view line) {
  StatusLine parts;
  if (!parse_version(line.substr(0, 8), parts.http_1_0))
    return fail(malformed(Message::response, "the version is neither HTTP/1.0 nor HTTP/1.1"));
  // "HTTP/1.1 200 " at least; the space behind the status is not optional.
  if (line.size() < 13 || line[8] != ' ' || line[12] != ' ')
    return fail(malformed(Message::response, "the status line has not three parts"));
  for (const char c : line.substr(9, 3)) {
    if (c < '0' || c > '9')
      return fail(malformed(Message::response, "the status is not a number of three digits"));
    parts.status = parts.status * 10 + (c - '0');
  }
  if (parts.status < 100) return fail(malformed(Message::response, "the status is below 100"));
  parts.reason = line.substr(13);
  return parts;
}

const char* wrong_target(std::string_view method, std::string_view target) {
  if (method == "CONNECT") return wrong_authority(target);
  if (target.front() == '/') return nullptr;
  if (target == "*") {
    return method == "OPTIONS" ? nullptr : "the target * belongs to OPTIONS alone";
  }
  return is_absolute_form(target) ? nullptr : "the target is neither a path nor an absolute URL";
}

}  // namespace nono::http::lexical
