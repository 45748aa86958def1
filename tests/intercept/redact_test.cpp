#include "proxy/intercept/redact.hpp"

#include <zlib.h>

#include <catch2/catch.hpp>

#include "config/base/encoding.hpp"
#include "tests/intercept/credentials.hpp"

using namespace nono;
using namespace nono::intercept;
using namespace nono::test;

namespace {

const std::string key(real_key);

http::ResponseHead response(std::initializer_list<http::Field> fields = {}) {
  http::ResponseHead head;
  head.status = 200;
  head.reason = "OK";
  head.framing.kind = http::Framing::Kind::chunked;
  for (const http::Field& field : fields) head.fields.add(field.name, field.value);
  return head;
}

std::unique_ptr<http::BodyFilter> filter_of(const Redactor& redactor, http::ResponseHead head) {
  auto filter = redactor.on_response(head);
  REQUIRE(filter);
  REQUIRE(*filter);
  return std::move(*filter);
}

// Feeds `body` in two pieces and gives what comes out.
std::string through(http::BodyFilter& filter, std::string_view body, std::size_t split) {
  std::string out;
  REQUIRE(filter.feed(body.substr(0, split), out));
  REQUIRE(filter.feed(body.substr(split), out));
  REQUIRE(filter.finish(out));
  return out;
}

std::string compress(const std::string& text, int bits) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(text.size() + 200, '\0');
  std::string in = text;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}
std::string gzip(const std::string& text) {
  return compress(text, 15 + 16);
}

}  // namespace

TEST_CASE("the key in a body becomes the phantom at every split") {
  const auto credential = openai();
  const Redactor redactor(credential);
  const std::string body =
      "{\"error\": \"wrong key " + key + "\", \"again\": \"" + key + key + "\"}";
  const std::string expected = "{\"error\": \"wrong key " + credential.phantom +
                               "\", \"again\": \"" + credential.phantom + credential.phantom +
                               "\"}";
  for (std::size_t split = 0; split <= body.size(); ++split) {
    CHECK(through(*filter_of(redactor, response()), body, split) == expected);
  }
  auto filter = filter_of(redactor, response());
  std::string out;
  for (const char c : body) REQUIRE(filter->feed(std::string_view(&c, 1), out));
  REQUIRE(filter->finish(out));
  CHECK(out == expected);
}

TEST_CASE("the key inside base64 becomes the phantom, decodably, at every alignment") {
  const auto credential = openai();
  const Redactor redactor(credential);
  for (const std::string before : {"", "u:", "us:", "use:", "user:"}) {
    for (const std::string after : {"", ":", ":x", ":xy"}) {
      const std::string body = "auth " + base64_encode(before + key + after) + " end";
      const std::string out = through(*filter_of(redactor, response()), body, body.size() / 2);
      CHECK(out.find(base64_encode(key).substr(4, 20)) == std::string::npos);
      const std::string coded = out.substr(5, out.size() - 9);
      const auto plain = base64_decode(coded);
      REQUIRE(plain);
      CHECK(plain->find(key.substr(2, 16)) == std::string::npos);
      CHECK(plain->find(before) == 0);
      CHECK(plain->find(credential.phantom.substr(1, 40)) != std::string::npos);
    }
  }
}

TEST_CASE("a key with unusual characters is found percent-encoded and JSON-escaped") {
  const std::string odd = "p/ss\"w\\rd+with=odd&signs";
  auto credential = make_credential("odd", {}, odd);
  const Redactor redactor(credential);
  for (const std::string& form : {odd, percent_encode(odd), percent_encode(odd, false),
                                  json_escape(odd), json_escape(odd, true)}) {
    const std::string body = "<" + form + ">";
    for (std::size_t split = 0; split <= body.size(); ++split) {
      CHECK(through(*filter_of(redactor, response()), body, split) ==
            "<" + credential.phantom + ">");
    }
  }
}

TEST_CASE("the password of a pair is found alone") {
  Injection injection;
  injection.mode = InjectMode::basic_auth;
  const auto credential = make_credential("registry", injection, "ada:correct-horse-battery");
  const Redactor redactor(credential);
  CHECK(redactor.redact("it is correct-horse-battery!") == "it is " + credential.phantom + "!");
  CHECK(redactor.redact("ada") == "ada");
  const std::string echoed = base64_encode("ada:correct-horse-battery");
  CHECK(redactor.redact(echoed).find(echoed.substr(0, 12)) == std::string::npos);
}

TEST_CASE("nothing is held back that cannot become the key") {
  const Redactor redactor(openai());
  auto filter = filter_of(redactor, response());
  std::string out;
  const std::string event = "data: {\"delta\": \"s\"}\n\n";
  REQUIRE(filter->feed(event, out));
  CHECK(out == event);
  out.clear();
  REQUIRE(filter->feed("data: " + key.substr(0, 10), out));
  CHECK(out == "data: ");
  REQUIRE(filter->feed("\n\n", out));
  CHECK(out == "data: " + key.substr(0, 10) + "\n\n");
}

TEST_CASE("the beginning of a key at the end of a body comes out") {
  const Redactor redactor(openai());
  CHECK(through(*filter_of(redactor, response()), "x" + key.substr(0, key.size() - 1), 5) ==
        "x" + key.substr(0, key.size() - 1));
}

TEST_CASE("compressed bodies are redacted at every split") {
  const auto credential = openai();
  const Redactor redactor(credential);
  const std::string text = "{\"a\": \"" + key + "\", \"b\": \"xyzzy\"}";
  const std::string expected = "{\"a\": \"" + credential.phantom + "\", \"b\": \"xyzzy\"}";
  const std::pair<std::string, std::string> coded[] = {
      {"gzip", gzip(text)},
      {"x-gzip", gzip(text)},
      {"GZIP", gzip(text.substr(0, 9)) + gzip(text.substr(9))},
      {"deflate", compress(text, 15)},
      {"deflate", compress(text, -15)}};
  for (const auto& [coding, body] : coded) {
    auto head = response({{"Content-Encoding", coding}, {"ETag", "\"v1\""}});
    for (std::size_t split = 0; split <= body.size(); ++split) {
      CHECK(through(*filter_of(redactor, head), body, split) == expected);
    }
    REQUIRE(redactor.on_response(head));
    CHECK(head.fields.count("Content-Encoding") == 0);
    CHECK(*head.fields.find("ETag") == "W/\"v1\"");
  }
}

TEST_CASE("what is compressed comes out as soon as it can be decoded") {
  const Redactor redactor(openai());
  auto filter = filter_of(redactor, response({{"Content-Encoding", "gzip"}}));
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string event = "data: one\n\n", coded(200, '\0'), out;
  stream.next_in = reinterpret_cast<Bytef*>(event.data());
  stream.avail_in = static_cast<uInt>(event.size());
  stream.next_out = reinterpret_cast<Bytef*>(coded.data());
  stream.avail_out = static_cast<uInt>(coded.size());
  REQUIRE(deflate(&stream, Z_SYNC_FLUSH) == Z_OK);
  REQUIRE(filter->feed(std::string_view(coded).substr(0, stream.total_out), out));
  CHECK(out == event);
  deflateEnd(&stream);
}

TEST_CASE("compressed bodies that are broken or cut short are errors") {
  const Redactor redactor(openai());
  const std::string body = gzip("some text that is long enough to be compressed");
  const auto head = response({{"Content-Encoding", "gzip"}});
  std::string out;
  auto cut = filter_of(redactor, head);
  REQUIRE(cut->feed(std::string_view(body).substr(0, body.size() - 9), out));
  CHECK_FALSE(cut->finish(out));
  auto noise = filter_of(redactor, head);
  CHECK_FALSE(noise->feed("this is not gzip at all", out));
  std::string wrong_sum = body;
  wrong_sum[body.size() - 6] = static_cast<char>(wrong_sum[body.size() - 6] ^ 1);
  auto damaged = filter_of(redactor, head);
  CHECK_FALSE(damaged->feed(wrong_sum, out));
  auto empty = filter_of(redactor, head);
  CHECK(empty->finish(out));
}

TEST_CASE("what follows the end of a compressed body is no content, wherever it is cut") {
  const Redactor redactor(openai());
  const auto head = response({{"Content-Encoding", "gzip"}});
  const std::string body = gzip("content") + "junk" + gzip("more");
  for (std::size_t split = 0; split <= body.size(); ++split) {
    CHECK(through(*filter_of(redactor, head), body, split) == "content");
  }
}

TEST_CASE("a coding that was not asked for is refused, not passed unread") {
  const Redactor redactor(openai());
  for (const char* coding : {"br", "zstd", "gzip, gzip", "compress"}) {
    auto head = response({{"Content-Encoding", coding}});
    const auto filter = redactor.on_response(head);
    REQUIRE_FALSE(filter);
    CHECK(filter.error().code == ErrorCode::bad_response);
    CHECK(filter.error().side == Side::upstream);
  }
  auto part = response({{"Content-Encoding", "gzip"}});
  part.status = 206;
  CHECK_FALSE(redactor.on_response(part));
}

TEST_CASE("fields and reason are redacted, bodiless responses get no filter") {
  const auto credential = openai();
  const Redactor redactor(credential);
  auto head = response({{"Location", "https://x.test/?k=" + key},
                        {"WWW-Authenticate", "Bearer " + base64_encode("ab:" + key)}});
  head.reason = "Not " + key;
  head.framing.kind = http::Framing::Kind::none;
  const auto filter = redactor.on_response(head);
  REQUIRE(filter);
  CHECK(*filter == nullptr);
  CHECK(*head.fields.find("Location") == "https://x.test/?k=" + credential.phantom);
  CHECK(head.reason == "Not " + credential.phantom);
  CHECK(head.fields.find("WWW-Authenticate")->find(base64_encode("ab:" + key).substr(8, 20)) ==
        std::string::npos);
}

TEST_CASE("without a key there is nothing to redact") {
  auto credential = openai();
  credential.secret.reset();
  auto head = response();
  const Redactor redactor(credential);
  const auto filter = redactor.on_response(head);
  REQUIRE(filter);
  CHECK(*filter == nullptr);
}

TEST_CASE("requests ask only for what can be redacted") {
  const std::pair<const char*, const char*> asked[] = {{"gzip, deflate, br, zstd", "gzip, deflate"},
                                                       {"br", "identity"},
                                                       {"gzip;q=0, deflate;q=0.5", "deflate"},
                                                       {"*", "gzip"},
                                                       {"gzip;q=0.000", "identity"},
                                                       {"GZip", "gzip"}};
  for (const auto& [wanted, sent] : asked) {
    auto head =
        request("/", {{"Accept-Encoding", wanted}, {"Range", "bytes=0-9"}, {"If-Range", "x"}});
    prepare_for_redaction(head);
    CHECK(value_of(head, "accept-encoding") == sent);
    CHECK(head.fields.count("range") == 0);
    CHECK(head.fields.count("if-range") == 0);
  }
  auto silent = request("/");
  prepare_for_redaction(silent);
  CHECK(value_of(silent, "accept-encoding") == "identity");
}

TEST_CASE("pieces that pass unread are those that would come out as they are, at once") {
  const LoadedCredential credential = openai();
  const Redactor redactor(credential);
  const std::string body = "sk-l " + std::string(100, 's') + key.substr(0, 10) + " x " + key +
                           " y " + base64_encode("u:" + key) + key.substr(0, key.size() - 1);
  for (std::size_t split = 0; split <= body.size(); ++split) {
    CAPTURE(split);
    const auto shortened = filter_of(redactor, response());
    const auto plain = filter_of(redactor, response());
    std::string out;
    bool last = false;
    for (const std::string& piece : {body.substr(0, split), body.substr(split)}) {
      if (shortened->passes(piece, last)) {
        out += piece;
      } else {
        REQUIRE(shortened->feed(piece, out));
        if (last) REQUIRE(shortened->finish(out));
      }
      last = true;
    }
    CHECK(out == through(*plain, body, split));
  }
  const auto filter = filter_of(redactor, response());
  CHECK(filter->passes("nothing of note", false));
  CHECK(filter->passes(key.substr(0, 3), true));
  CHECK_FALSE(filter->passes(key.substr(0, 3), false));
  CHECK_FALSE(filter->passes(key, true));
}

TEST_CASE("the key is seen wherever in a long piece it stands") {
  const LoadedCredential credential = openai();
  const Redactor redactor(credential);
  const auto filter = filter_of(redactor, response());
  std::string body;
  for (int line = 0; body.size() < 3'000; ++line) body += "s-kl4 " + std::to_string(line * line);
  CHECK(filter->passes(body, true));
  for (std::size_t at = 0; at + key.size() <= body.size(); ++at) {
    CAPTURE(at);
    std::string with_key = body;
    with_key.replace(at, key.size(), key);
    CHECK_FALSE(filter->passes(with_key, true));
  }
}
