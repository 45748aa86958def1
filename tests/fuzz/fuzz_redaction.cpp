// Responses that repeat the key: however they are cut and compressed, what comes out holds it in no
// form, and is otherwise what went in. Bytes: which key, how it is coded, where it is cut; then the
// body, whose control characters stand for forms of the key.
#define ZLIB_CONST
#include <zlib.h>

#include "tests/fuzz/redactors.hpp"
#include "tests/fuzz/secrets.hpp"

namespace {

using namespace nono;
using namespace nono::fuzz;

enum Coded : std::uint8_t { plain, gzip, zlib, raw_deflate, two_gzip_members, garbage, codings };

std::string deflate(std::string_view text, int window_bits) {
  z_stream stream{};
  expect(deflateInit2(&stream, 1, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, static_cast<uLong>(text.size())) + 64, '\0');
  stream.next_in = reinterpret_cast<const Bytef*>(text.data());
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  expect(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string code(std::string_view text, Coded coded) {
  switch (coded) {
    case gzip:
      return deflate(text, 31);
    case zlib:
      return deflate(text, 15);
    case raw_deflate:
      return deflate(text, -15);
    case two_gzip_members:
      return deflate(text.substr(0, text.size() / 2), 31) +
             deflate(text.substr(text.size() / 2), 31);
    default:
      return std::string(text);
  }
}

struct Outcome {
  bool fine = false;
  std::string text;
  bool operator==(const Outcome&) const = default;
};

Outcome filter(const intercept::Redactor& redactor, std::string_view body, Coded coded,
               std::uint8_t seed) {
  http::ResponseHead head;
  head.status = 200;
  head.framing = {http::Framing::Kind::until_close, 0};
  const bool deflated = coded == zlib || coded == raw_deflate;
  if (coded != plain) head.fields.add("Content-Encoding", deflated ? "deflate" : "gzip");
  auto made = redactor.on_response(head);
  expect(made.has_value() && *made != nullptr);
  expect(head.fields.count("Content-Encoding") == 0);
  Outcome outcome;
  for (const std::string_view piece : split(body, seed)) {
    if (!(*made)->feed(piece, outcome.text)) return outcome;
  }
  outcome.fine = (*made)->finish(outcome.text).has_value();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const Redacted& redacted = redactors()[input.choice(redactors().size())];
  const auto coded = static_cast<Coded>(input.choice(codings));
  const std::uint8_t seed = input.byte();
  const std::string text = expand(input.rest(), redacted.key);
  const std::string body = code(text, coded);

  const Outcome whole = filter(*redacted.redactor, body, coded, 0);
  const Outcome cut = filter(*redacted.redactor, body, coded, seed);
  expect(whole.fine == cut.fine);
  if (whole.fine) expect(whole.text == cut.text);
  expect(!holds(whole.text, redacted.key) && !holds(cut.text, redacted.key));
  if (coded == garbage) return 0;
  expect(whole.fine && whole.text == redacted.redactor->redact(text));
  expect(!shows(whole.text, redacted.key));
  if (!nearly_shows(text, redacted.key)) expect(whole.text == text);
  return 0;
}
