#include "proxy/http/head.hpp"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>

#include "proxy/http/framing.hpp"
#include "proxy/http/lexical.hpp"

namespace nono::http {

namespace {

namespace beast = boost::beast;
using lexical::Message;

// Beast's parser as the second reader of a head that the scan has let through: it splits the
// fields, and whatever it refuses is refused. Bodies are ours: the parser is told to expect none.
template <bool is_request>
class FieldCollector final : public beast::http::basic_parser<is_request> {
 public:
  FieldCollector(Fields& fields, const HeadLimits& limits) : fields_(fields) {
    fields_.all().reserve(12);
    this->header_limit(static_cast<std::uint32_t>(limits.head_bytes_max));
    this->body_limit(boost::none);
    this->skip(true);
  }

 private:
  void on_field_impl(beast::http::field, beast::string_view name, beast::string_view value,
                     beast::error_code&) override {
    Field& field = fields_.all().emplace_back();
    field.name.assign(name.data(), name.size());
    field.value.assign(value.data(), value.size());
  }
  void on_request_impl(beast::http::verb, beast::string_view, beast::string_view, int,
                       beast::error_code&) override {}
  void on_response_impl(int, beast::string_view, int, beast::error_code&) override {}
  void on_header_impl(beast::error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, beast::error_code&) override {}
  std::size_t on_body_impl(beast::string_view, beast::error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, beast::error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view, beast::error_code&) override {
    return 0;
  }
  void on_finish_impl(beast::error_code&) override {}

  Fields& fields_;
};

template <bool is_request>
Result<void> collect(std::string_view bytes, const HeadLimits& limits, Fields& fields) {
  FieldCollector<is_request> parser(fields, limits);
  beast::error_code code;
  const std::size_t used = parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), code);
  if (!code && parser.is_header_done() && used == bytes.size()) return {};
  const Message message = is_request ? Message::request : Message::response;
  return fail(lexical::malformed(message, code ? code.message() : "the head does not end"));
}

Result<std::string_view> first_line(std::string_view bytes, const HeadLimits& limits,
                                    Message message) {
  if (bytes.size() > limits.head_bytes_max)
    return fail(lexical::too_large(message, "the head is too long"));
  auto line = lexical::scan(bytes, limits, message);
  if (line && line->size() > limits.request_line_bytes_max)
    return fail(lexical::first_line_too_long(message));
  return line;
}

}  // namespace

bool equal_name(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
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
  auto line = first_line(bytes, limits, Message::request);
  if (!line) return fail(std::move(line.error()));
  auto parts = lexical::parse_request_line(*line);
  if (!parts) return fail(std::move(parts.error()));
  if (const char* wrong = lexical::wrong_target(parts->method, parts->target))
    return fail(lexical::malformed(Message::request, wrong));

  RequestHead head;
  auto collected = collect<true>(bytes, limits, head.fields);
  if (!collected) return fail(std::move(collected.error()));
  head.method = parts->method;
  head.target = parts->target;
  head.http_1_0 = parts->http_1_0;
  auto framed = frame_request(head);
  if (!framed) return fail(std::move(framed.error()));
  return head;
}

Result<ResponseHead> parse_response_head(std::string_view bytes, const HeadLimits& limits,
                                         std::string_view request_method) {
  auto line = first_line(bytes, limits, Message::response);
  if (!line) return fail(std::move(line.error()));
  auto parts = lexical::parse_status_line(*line);
  if (!parts) return fail(std::move(parts.error()));

  ResponseHead head;
  auto collected = collect<false>(bytes, limits, head.fields);
  if (!collected) return fail(std::move(collected.error()));
  head.status = parts->status;
  head.reason = parts->reason;
  head.http_1_0 = parts->http_1_0;
  auto framed = frame_response(head, request_method);
  if (!framed) return fail(std::move(framed.error()));
  return head;
}

}  // namespace nono::http
