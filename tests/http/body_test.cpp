// Heads read from a stream, and bodies copied from one to another.
#include "proxy/http/body.hpp"

#include <catch2/catch.hpp>
#include <limits>

#include "tests/support/fake_stream.hpp"
#include "tests/support/run_coroutine.hpp"

using namespace nono;
using namespace nono::http;
using nono::test::FakeStream;
using nono::test::run_coroutine;
using namespace std::chrono_literals;

namespace {

const HeadLimits limits;
const Framing no_body{Framing::Kind::none, 0};
const Framing chunked{Framing::Kind::chunked, 0};
const Framing until_close{Framing::Kind::until_close, 0};
Framing length(std::uint64_t bytes) {
  return Framing{Framing::Kind::length, bytes};
}

// Two streams and what has been received from the first.
struct Ends {
  net::io_context io{1};
  FakeStream from{io.get_executor()};
  FakeStream to{io.get_executor()};
  InputBuffer buffer;

  Result<RequestHead> request() {
    return run_coroutine(io, read_request_head(from, buffer, limits));
  }
  Result<ResponseHead> response(std::string_view method = "GET") {
    return run_coroutine(io, read_response_head(from, buffer, limits, method));
  }
  Result<BodyCopy> copy(Framing in, Framing out, BodyFilter* filter = nullptr,
                        Side side = Side::client) {
    return run_coroutine(io, copy_body(from, buffer, in, to, out, filter, 5s, side));
  }
};

// What comes out when `bytes` come in one piece, split at every position, byte by byte, or from the
// buffer; fails the test if these differ. `rest` is what must stay unread.
std::string copied(const std::string& bytes, Framing in, Framing out,
                   const std::string& rest = {}) {
  std::string content;
  const auto once = [&](Ends& ends) {
    ends.from.receive_end();
    auto copy = ends.copy(in, out);
    REQUIRE(copy);
    CHECK(std::string(ends.buffer.unread()) + ends.from.unread() == rest);
    std::string decoded = ends.to.written();
    if (out.kind == Framing::Kind::chunked) {
      // Chunk borders may differ: compare by content.
      Ends back;
      back.from.receive(decoded);
      REQUIRE(back.copy(chunked, until_close));
      CHECK(back.buffer.empty());
      decoded = back.to.written();
    }
    CHECK(copy->bytes == decoded.size());
    return decoded;
  };
  {
    Ends whole;
    whole.from.receive(bytes);
    content = once(whole);
  }
  for (std::size_t i = 1; i < bytes.size() - rest.size(); ++i) {
    INFO("split at " << i);
    Ends split;
    split.from.receive(bytes.substr(0, i));
    split.from.receive(bytes.substr(i));
    CHECK(once(split) == content);
    Ends buffered;
    buffered.buffer.append(bytes.substr(0, i));
    buffered.from.receive(bytes.substr(i));
    CHECK(once(buffered) == content);
  }
  Ends bytewise;
  bytewise.buffer.append(rest);  // replaced below: nothing may be read beyond the end
  bytewise.buffer.consume(rest.size());
  bytewise.from.receive_bytewise(bytes.substr(0, bytes.size() - rest.size()));
  bytewise.from.receive_end();
  auto copy = bytewise.copy(in, out);
  REQUIRE(copy);
  CHECK(copy->bytes == content.size());
  return content;
}

Error refused(const std::string& bytes, Framing in, Side side = Side::client) {
  Ends ends;
  ends.from.receive(bytes);
  ends.from.receive_end();
  auto copy = ends.copy(in, until_close, nullptr, side);
  REQUIRE_FALSE(copy);
  // Byte by byte it must be refused as well.
  Ends slow;
  slow.from.receive_bytewise(bytes);
  slow.from.receive_end();
  CHECK_FALSE(slow.copy(in, until_close, nullptr, side));
  return copy.error();
}

class Doubling final : public BodyFilter {
 public:
  Result<void> feed(std::string_view in, std::string& out) override {
    if (in == "poison") return fail(ErrorCode::refused, "poison");
    for (const char byte : in) out.append(2, byte);
    return {};
  }
  Result<void> finish(std::string& out) override {
    out += "!";
    return {};
  }
};

// Gives nothing before the end.
class Holding final : public BodyFilter {
 public:
  Result<void> feed(std::string_view in, std::string&) override {
    held_ += in;
    return {};
  }
  Result<void> finish(std::string& out) override {
    out += held_;
    return {};
  }

 private:
  std::string held_;
};

}  // namespace

TEST_CASE("a request head is read whole however it is split, and nothing behind it is used") {
  const std::string head = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
  for (std::size_t i = 1; i < head.size() + 3; ++i) {
    INFO("split at " << i);
    Ends ends;
    ends.from.receive_split(head + "abc", {i});
    auto request = ends.request();
    REQUIRE(request);
    CHECK(request->target == "/p");
    CHECK(std::string("abc").starts_with(ends.buffer.unread()));
  }
  Ends slow;
  slow.from.receive_bytewise(head);
  CHECK(slow.request());
  CHECK(slow.buffer.empty());
}

TEST_CASE("pipelined requests are read one after the other from what one read brought") {
  Ends ends;
  ends.from.receive("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3");
  CHECK(ends.request()->target == "/1");
  CHECK(ends.request()->target == "/2");
  CHECK(ends.buffer.unread() == "GET /3");
  ends.from.receive(" HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(ends.request()->target == "/3");
  CHECK(ends.buffer.empty());
}

TEST_CASE("one empty line before a request is skipped, a second is not") {
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const bool bytewise : {false, true}) {
    Ends one;
    bytewise ? one.from.receive_bytewise("\r\n" + head) : one.from.receive("\r\n" + head);
    CHECK(one.request());
    Ends two;
    bytewise ? two.from.receive_bytewise("\r\n\r\n" + head) : two.from.receive("\r\n\r\n" + head);
    auto refused_head = two.request();
    REQUIRE_FALSE(refused_head);
    CHECK(refused_head.error().code == ErrorCode::bad_request);
  }
  Ends response;
  response.from.receive("\r\nHTTP/1.1 200 OK\r\n\r\n");
  CHECK_FALSE(response.response());
}

TEST_CASE("a clean end between messages is told from one within a head") {
  Ends clean;
  clean.from.receive_end();
  auto nothing = clean.request();
  REQUIRE_FALSE(nothing);
  CHECK(nothing.error().code == ErrorCode::closed);
  CHECK(nothing.error().side == Side::client);
  CHECK(nothing.error().what.empty());

  Ends cut;
  cut.from.receive("GET / HT");
  cut.from.receive_end();
  auto half = cut.request();
  REQUIRE_FALSE(half);
  CHECK(half.error().code == ErrorCode::closed);
  CHECK_FALSE(half.error().what.empty());

  Ends upstream;
  upstream.from.receive("HTTP/1.1 200 OK\r\n");
  upstream.from.receive_end();
  auto answer = upstream.response();
  REQUIRE_FALSE(answer);
  CHECK(answer.error().side == Side::upstream);
  CHECK(answer.error().code == ErrorCode::closed);
}

TEST_CASE("what cannot become a head is refused at once, not when the time is over") {
  // None of these ends: the read must not go on.
  for (const std::string& bytes :
       {std::string("\x16\x03\x01\x02", 4), std::string("GET / HTTP/1.1\n"), std::string(" GET"),
        std::string("GET / HTTP/1.1\r\nHost: a\n"), std::string("\n")}) {
    Ends ends;
    ends.from.receive(bytes);
    auto head = ends.request();
    REQUIRE_FALSE(head);
    CHECK(head.error().code == ErrorCode::bad_request);
  }
  Ends ssh;
  ssh.from.receive("SSH-2.0-x\r\n");
  auto answer = ssh.response();
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::bad_response);
}

TEST_CASE("an endless head is refused at the limit, whatever it consists of") {
  const auto endless = [](const std::string& begin, const std::string& piece) {
    Ends ends;
    ends.from.receive(begin);
    for (std::size_t sent = 0; sent < 200 * 1024; sent += piece.size()) ends.from.receive(piece);
    auto head = ends.request();
    REQUIRE_FALSE(head);
    CHECK_FALSE(ends.from.all_read());
    return head.error().code;
  };
  CHECK(endless("GET /", std::string(1000, 'a')) == ErrorCode::target_too_long);
  CHECK(endless("GET / HTTP/1.1\r\nX: ", std::string(1000, 'a')) == ErrorCode::head_too_large);
  CHECK(endless("GET / HTTP/1.1\r\n", "X: " + std::string(1000, 'a') + "\r\n") ==
        ErrorCode::head_too_large);
  Ends upstream;
  for (int i = 0; i < 100; ++i) upstream.from.receive("HTTP/1.1 200 " + std::string(1000, 'a'));
  CHECK(upstream.response().error().code == ErrorCode::bad_response);
}

TEST_CASE("a stream's failure while a head is read is the reader's error") {
  Ends ends;
  ends.from.receive("GET /");
  ends.from.receive_failure(ErrorCode::timeout);
  auto head = ends.request();
  REQUIRE_FALSE(head);
  CHECK(head.error().code == ErrorCode::timeout);
  CHECK(head.error().side == Side::client);
}

TEST_CASE("an input buffer keeps what is unread through growing, moving and releasing") {
  InputBuffer buffer;
  CHECK(buffer.unread().empty());
  buffer.release();
  buffer.append(std::string(100, 'a'));
  buffer.consume(90);
  CHECK(buffer.prepare(90).size() >= 90);
  CHECK(buffer.unread() == std::string(10, 'a'));
  buffer.append(std::string(10'000, 'b'));
  CHECK(buffer.unread() == std::string(10, 'a') + std::string(10'000, 'b'));
  buffer.release();
  CHECK_FALSE(buffer.empty());
  InputBuffer moved = std::move(buffer);
  CHECK(moved.unread().size() == 10'010);
  CHECK(buffer.unread().empty());  // NOLINT(bugprone-use-after-move): a moved-from buffer is empty
  buffer = std::move(moved);
  CHECK(buffer.unread().size() == 10'010);
  buffer.consume(10'010);
  buffer.release();
  CHECK(buffer.empty());
}

TEST_CASE("a body with a length is copied exactly, and what follows stays") {
  CHECK(copied("hello, world", length(5), length(5), ", world") == "hello");
  CHECK(copied("hello", length(5), chunked) == "hello");
  CHECK(copied("hello", length(5), until_close) == "hello");
}

TEST_CASE("a body until close is copied to its end") {
  CHECK(copied("hello", until_close, chunked) == "hello");
  CHECK(copied("hello", until_close, until_close) == "hello");
}

TEST_CASE("a chunked body is decoded however it is split") {
  CHECK(copied("5\r\nhello\r\n0\r\n\r\n", chunked, chunked) == "hello");
  CHECK(copied("5\r\nhello\r\n1;a=b\r\n \r\n00A;x\r\n0123456789\r\n0;end\r\nX: y\r\nZ:\r\n\r\nGET",
               chunked, until_close, "GET") == "hello 0123456789");
  CHECK(copied("0\r\n\r\n", chunked, chunked).empty());
  CHECK(copied("000000000000000a\r\n0123456789\r\n0\r\n\r\n", chunked, chunked) == "0123456789");
}

TEST_CASE("empty bodies need nothing from their sender") {
  Ends none;
  CHECK(none.copy(no_body, no_body)->bytes == 0);
  CHECK(none.to.writes().empty());
  CHECK(none.copy(length(0), length(0)));
  CHECK(none.to.writes().empty());
  CHECK(none.copy(length(0), chunked));
  CHECK(none.to.written() == "0\r\n\r\n");
}

TEST_CASE("malformed chunks are refused, in whatever pieces they come") {
  using namespace std::string_literals;
  const std::vector<std::string> bodies = {
      "\r\n", "g\r\n", "-1\r\n", "+5\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n",
      " 5\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "5\t;a\r\nhello\r\n0\r\n\r\n",
      "5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello0\r\n\r\n",
      "5\r\nhello\r\n0\n\n", "5\r\nhello\r\n0\r\n\n", "5\rhello\r\n0\r\n\r\n",
      "5\r\nhello!\r\n0\r\n\r\n", ";a\r\n", "5;a\nhello", "5;a\rb\r\nhello\r\n0\r\n\r\n",
      "5;\0\r\nhello\r\n0\r\n\r\n"s, "5;\x7f\r\nhello",
      // sizes that overflow, by value and by digits
      "ffffffffffffffff\r\n", "8000000000000000\r\n", "10000000000000000\r\n",
      "00000000000000005\r\nhello", "fffffffffffffffff\r\n",
      "5;" + std::string(257, 'a') + "\r\nhello\r\n0\r\n\r\n",
      // trailers
      "0\r\nX\r\n\r\n", "0\r\n: y\r\n\r\n", "0\r\nX : y\r\n\r\n", "0\r\nX: \0\r\n\r\n"s,
      "0\r\nX: y\n\r\n", "0\r\n X: y\r\n\r\n", "0\r\nX: y\r\n folded\r\n\r\n",
      "0\r\nX: a\rb\r\n\r\n", "0\r\n\rX", "0\r\nX: " + std::string(9000, 'a') + "\r\n\r\n"};
  for (const std::string& body : bodies) {
    INFO(body.substr(0, 60));
    const Error clients = refused(body, chunked);
    CHECK(clients.code == ErrorCode::bad_request);
    CHECK(clients.side == Side::client);
    const Error upstreams = refused(body, chunked, Side::upstream);
    CHECK(upstreams.code == ErrorCode::bad_response);
    CHECK(upstreams.side == Side::upstream);
  }
}

TEST_CASE("chunk extensions are bounded over the whole body") {
  std::string body;
  for (int i = 0; i < 200; ++i) body += "1;" + std::string(200, 'a') + "\r\nx\r\n";
  CHECK(refused(body + "0\r\n\r\n", chunked).code == ErrorCode::bad_request);
  std::string modest;
  for (int i = 0; i < 50; ++i) modest += "1;" + std::string(200, 'a') + "\r\nx\r\n";
  Ends ends;
  ends.from.receive(modest + "0\r\n\r\n");
  CHECK(ends.copy(chunked, until_close)->bytes == 50);
}

TEST_CASE("a body that ends early never looks complete") {
  CHECK(refused("hell", length(5)).code == ErrorCode::bad_request);
  CHECK(refused("", length(5), Side::upstream).code == ErrorCode::bad_response);
  for (const std::string body : {"5\r\nhell", "5\r\nhello", "5\r\nhello\r\n", "5\r\nhello\r\n0",
                                  "5\r\nhello\r\n0\r\n", "5\r\nhello\r\n0\r\n\r", "5"}) {
    INFO(body);
    Ends ends;
    ends.from.receive(body);
    ends.from.receive_end();
    CHECK_FALSE(ends.copy(chunked, chunked));
    CHECK(ends.to.written().find("0\r\n\r\n") == std::string::npos);
  }
}

TEST_CASE("a filter changes the body, which then leaves in chunks") {
  Doubling doubling;
  Ends ends;
  ends.from.receive("ab");
  ends.from.receive("c");
  CHECK(ends.copy(length(3), chunked, &doubling)->bytes == 3);
  CHECK(ends.to.written() == "4\r\naabb\r\n3\r\ncc!\r\n0\r\n\r\n");

  Ends empty;
  CHECK(empty.copy(length(0), chunked, &doubling));
  CHECK(empty.to.written() == "1\r\n!\r\n0\r\n\r\n");

  Ends to_close;
  to_close.from.receive("1\r\nx\r\n0\r\n\r\n");
  CHECK(to_close.copy(chunked, until_close, &doubling));
  CHECK(to_close.to.written() == "xx!");
}

TEST_CASE("a filter that holds bytes back causes no empty chunk") {
  Holding holding;
  Ends ends;
  ends.from.receive_bytewise("abc");
  CHECK(ends.copy(length(3), chunked, &holding));
  CHECK(ends.to.writes() == std::vector<std::string>{"3\r\nabc\r\n0\r\n\r\n"});
}

TEST_CASE("a filter may keep a length but not change it") {
  Holding holding;
  Ends same;
  same.from.receive_bytewise("abc");
  CHECK(same.copy(length(3), length(3), &holding));
  CHECK(same.to.written() == "abc");

  Doubling doubling;
  Ends longer;
  longer.from.receive("abc");
  auto copy = longer.copy(length(3), length(3), &doubling);
  REQUIRE_FALSE(copy);
  CHECK(copy.error().code == ErrorCode::internal);
  CHECK(longer.to.written().size() <= 3);
}

TEST_CASE("a filter's refusal ends the copy before the bytes it refused have left") {
  Doubling doubling;
  Ends ends;
  ends.from.receive("ok");
  ends.from.receive("poison");
  auto copy = ends.copy(until_close, until_close, &doubling);
  REQUIRE_FALSE(copy);
  CHECK(copy.error().code == ErrorCode::refused);
  CHECK(ends.to.written() == "ookk");
}

TEST_CASE("errors of a copy say whose they are") {
  Ends reading;
  reading.from.receive("1\r\na\r\n");
  reading.from.receive_failure(ErrorCode::timeout);
  CHECK(reading.copy(chunked, chunked).error().side == Side::client);
  Ends writing;
  writing.from.receive("abc");
  writing.to.fail_at(1);
  CHECK(writing.copy(length(3), length(3)).error().side == Side::upstream);
  Ends back;
  back.from.receive("abc");
  back.to.fail_at(1);
  CHECK(back.copy(length(3), length(3), nullptr, Side::upstream).error().side == Side::client);
}

TEST_CASE("a copy fails wherever an operation fails, and never reports success") {
  const std::string body = "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
  Ends counting;
  counting.from.receive_split(body, {4, 9, 14});
  REQUIRE(counting.copy(chunked, chunked));
  for (int n = 1; n <= counting.from.operations(); ++n) {
    Ends ends;
    ends.from.receive_split(body, {4, 9, 14});
    ends.from.fail_at(n);
    CHECK_FALSE(ends.copy(chunked, chunked));
  }
  for (int n = 1; n <= counting.to.operations(); ++n) {
    Ends ends;
    ends.from.receive_split(body, {4, 9, 14});
    ends.to.fail_at(n);
    CHECK_FALSE(ends.copy(chunked, chunked));
  }
}

TEST_CASE("large bodies pass in large pieces and deadlines are renewed with each") {
  const std::string body(1'000'000, 'x');
  Ends ends;
  ends.from.receive(body);
  CHECK(ends.copy(length(body.size()), length(body.size()))->bytes == body.size());
  CHECK(ends.to.written() == body);
  CHECK(ends.to.writes().size() <= 16);
  CHECK(ends.from.deadline() >= 5s);
  CHECK(ends.to.deadline() >= 5s);

  Ends rechunked;
  rechunked.from.receive(body);
  rechunked.from.receive_end();
  REQUIRE(rechunked.copy(until_close, chunked));
  Ends back;
  back.from.receive(rechunked.to.written());
  REQUIRE(back.copy(chunked, until_close));
  CHECK(back.to.written() == body);
}

TEST_CASE("a receiver that does not read holds its sender back") {
  Ends ends;
  ends.to.block_writes();
  for (int i = 0; i < 100; ++i) ends.from.receive("x");
  bool ended = false;
  auto on_end = [&](std::exception_ptr, Result<BodyCopy>) { ended = true; };
  net::co_spawn(ends.io.get_executor(),
                copy_body(ends.from, ends.buffer, length(100), ends.to, length(100), nullptr, 5s),
                on_end);
  ends.io.poll();
  CHECK_FALSE(ended);
  CHECK(ends.from.operations() == 1);
  ends.to.let_write();
  ends.io.restart();
  ends.io.run_for(5s);
  CHECK(ended);
  CHECK(ends.to.written() == std::string(100, 'x'));
}
