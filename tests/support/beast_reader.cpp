#include "tests/support/beast_reader.hpp"

#include <boost/beast/http/basic_parser.hpp>
#include <string>

namespace nono::test {

namespace {

namespace beast = boost::beast;

constexpr std::uint32_t head_bytes_max = 1U << 20U;

template <bool is_request>
class FieldCollector final : public beast::http::basic_parser<is_request> {
 public:
  FieldCollector() {
    this->header_limit(head_bytes_max);
    this->body_limit(boost::none);
    this->skip(true);
  }
  std::vector<http::Field> fields;

 private:
  void on_field_impl(beast::http::field, beast::string_view name, beast::string_view value,
                     beast::error_code&) override {
    fields.push_back({std::string(name), std::string(value)});
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
};

template <bool is_request>
std::optional<std::vector<http::Field>> read(std::string_view bytes) {
  FieldCollector<is_request> parser;
  beast::error_code code;
  const std::size_t used = parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), code);
  if (code || !parser.is_header_done() || used != bytes.size()) return {};
  return std::move(parser.fields);
}

bool is_framing(const http::Field& field) {
  return http::equal_name(field.name, "Content-Length") ||
         http::equal_name(field.name, "Transfer-Encoding");
}

}  // namespace

std::optional<std::vector<http::Field>> fields_of_request(std::string_view bytes) {
  return read<true>(bytes);
}

std::optional<std::vector<http::Field>> fields_of_response(std::string_view bytes) {
  return read<false>(bytes);
}

bool same_but_for_framing(const http::Fields& ours, const std::vector<http::Field>& theirs) {
  auto at = ours.all().begin();
  for (const http::Field& field : theirs) {
    const bool same = at != ours.all().end() && at->name == field.name && at->value == field.value;
    if (same) ++at;
    if (!same && !is_framing(field)) return false;
  }
  return at == ours.all().end();
}

}  // namespace nono::test
