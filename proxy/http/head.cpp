#include "proxy/http/head.hpp"

#include <algorithm>

#include "proxy/http/framing.hpp"
#include "proxy/http/lexical.hpp"

namespace nono::http {

namespace {

using lexical::Message;

// The first line; the fields behind it go to `fields`.
Result<std::string_view> read_lines(std::string_view bytes, const HeadLimits& limits,
                                    Message message, Fields& fields) {
  if (bytes.size() > limits.head_bytes_max)
    return fail(lexical::too_large(message, "the head is too long"));
  auto line = lexical::read_lines(bytes, limits, message, fields.all());
  if (line && line->size() > limits.request_line_bytes_max)
    return fail(lexical::first_line_too_long(message));
  return line;
}

}  // namespace

bool equal_letters(std::string_view a, std::string_view b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && lexical::lower(a[i]) != lexical::lower(b[i])) return false;
  }
  return true;
}

const std::string* Fields::find(std::string_view name) const {
  for (const Field& field : fields_) {
    if (equal_name(field.name, name)) return &field.value;
  }
  return nullptr;
}

std::size_t Fields::count(std::string_view name) const {
  return static_cast<std::size_t>(
      std::count_if(fields_.begin(), fields_.end(),
                    [&](const Field& field) { return equal_name(field.name, name); }));
}

void Fields::set(std::string_view name, std::string_view value) {
  auto first = std::find_if(fields_.begin(), fields_.end(),
                            [&](const Field& field) { return equal_name(field.name, name); });
  if (first == fields_.end()) return add(name, value);
  first->value.assign(value);
  fields_.erase(std::remove_if(first + 1, fields_.end(),
                               [&](const Field& field) { return equal_name(field.name, name); }),
                fields_.end());
}

void Fields::add(std::string_view name, std::string_view value) {
  fields_.push_back(Field{std::string(name), std::string(value)});
}

void Fields::erase(std::string_view name) {
  std::erase_if(fields_, [&](const Field& field) { return equal_name(field.name, name); });
}

Result<RequestHead> parse_request_head(std::string_view bytes, const HeadLimits& limits) {
  RequestHead head;
  auto line = read_lines(bytes, limits, Message::request, head.fields);
  if (!line) return fail(std::move(line.error()));
  auto parts = lexical::parse_request_line(*line);
  if (!parts) return fail(std::move(parts.error()));
  if (const char* wrong = lexical::wrong_target(parts->method, parts->target))
    return fail(lexical::malformed(Message::request, wrong));

  head.method = parts->method;
  head.target = parts->target;
  head.http_1_0 = parts->http_1_0;
  auto framed = frame_request(head);
  if (!framed) return fail(std::move(framed.error()));
  return head;
}

Result<ResponseHead> parse_response_head(std::string_view bytes, const HeadLimits& limits,
                                         std::string_view request_method) {
  ResponseHead head;
  auto line = read_lines(bytes, limits, Message::response, head.fields);
  if (!line) return fail(std::move(line.error()));
  auto parts = lexical::parse_status_line(*line);
  if (!parts) return fail(std::move(parts.error()));

  head.status = parts->status;
  head.reason = parts->reason;
  head.http_1_0 = parts->http_1_0;
  auto framed = frame_response(head, request_method);
  if (!framed) return fail(std::move(framed.error()));
  return head;
}

}  // namespace nono::http
