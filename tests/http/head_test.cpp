// Heads: what parses, what must not, and what is written again.
#include "proxy/http/head.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace nono;
using namespace nono::http;

namespace {

const HeadLimits limits;

Result<RequestHead> parse(const std::string& bytes) {
  return parse_request_head(bytes, limits);
}

Result<ResponseHead> parse_answer(const std::string& bytes, std::string_view method = "GET") {
  return parse_response_head(bytes, limits, method);
}

// A request with `fields` (each line with its CRLF) besides Host.
std::string with_fields(const std::string& fields) {
  return "POST /x HTTP/1.1\r\nHost: a.example\r\n" + fields + "\r\n";
}

std::string answer_with(const std::string& fields) {
  return "HTTP/1.1 200 OK\r\n" + fields + "\r\n";
}

struct Bad {
  const char* what;
  std::string bytes;
};

}  // namespace

TEST_CASE("a request head is read into its parts") {
  auto head = parse(
      "GET http://a.example/p?q=1 HTTP/1.1\r\nHost: a.example\r\nX-Empty:\r\nx-ws: \t v w \t\r\n"
      "Accept: */*\r\n\r\n");
  REQUIRE(head);
  CHECK(head->method == "GET");
  CHECK(head->target == "http://a.example/p?q=1");
  CHECK_FALSE(head->http_1_0);
  CHECK(head->keep_alive);
  CHECK_FALSE(head->expect_continue);
  CHECK(head->framing.kind == Framing::Kind::none);
  REQUIRE(head->fields.all().size() == 4);
  CHECK(*head->fields.find("hOST") == "a.example");
  CHECK(head->fields.find("X-Empty")->empty());
  CHECK(*head->fields.find("X-WS") == "v w");
  CHECK(head->fields.find("absent") == nullptr);
}

TEST_CASE("values may hold tabs and bytes above 127") {
  auto head = parse(with_fields("X: a\tb\xc3\xa9\xff\r\n"));
  REQUIRE(head);
  CHECK(*head->fields.find("X") == "a\tb\xc3\xa9\xff");
}

void check_all_refused(const std::vector<Bad>& heads) {
  for (const Bad& bad : heads) {
    INFO(bad.what);
    auto head = parse(bad.bytes);
    REQUIRE_FALSE(head);
    CHECK(head.error().code == ErrorCode::bad_request);
    CHECK(head.error().side == Side::client);
    CHECK_FALSE(head.error().what.empty());
  }
}

TEST_CASE("a Connection field that is no list of tokens is refused") {
  check_all_refused({
      {"bytes above 127", with_fields("Connection: close, te\x8c\r\n")},
      {"two words", with_fields("Connection: keep alive\r\n")},
      {"the same for proxies", with_fields("Proxy-Connection: keep alive\r\n")},
  });
  CHECK_FALSE(parse_answer(answer_with("Connection: keep alive\r\n")));
  CHECK(parse(with_fields("Connection: , close ,,te\r\n")));
}

TEST_CASE("every malformed request head is refused as the client's fault") {
  using namespace std::string_literals;
  const std::string ok = "GET / HTTP/1.1\r\nHost: a\r\n";
  const std::vector<Bad> heads = {
      {"nothing", ""},
      {"empty line only", "\r\n"},
      {"no end", "GET / HTTP/1.1\r\nHost: a\r\n"},
      {"more behind the end", ok + "\r\nX"},
      {"another head behind the end", ok + "\r\n" + ok + "\r\n"},
      {"bare LF in the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n"},
      {"bare LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n"},
      {"bare LF as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n"},
      {"bare CR in a value", ok + "X: a\rb\r\n\r\n"},
      {"bare CR in a name", ok + "X\r: a\r\n\r\n"},
      {"CR CR LF", ok + "X: a\r\r\n\r\n"},
      {"bare CR in the target", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"NUL in a value", ok + "X: a\0b\r\n\r\n"s},
      {"NUL in a name", ok + "X\0: b\r\n\r\n"s},
      {"NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"s},
      {"NUL in the method", "G\0T / HTTP/1.1\r\nHost: a\r\n\r\n"s},
      {"escape character in a value", ok + "X: \x1b[0m\r\n\r\n"},
      {"DEL in a value", ok + "X: \x7f\r\n\r\n"},
      {"vertical tab in a value", ok + "X: \x0b\r\n\r\n"},
      {"obs-fold with a space", ok + "X: a\r\n b\r\n\r\n"},
      {"obs-fold with a tab", ok + "X: a\r\n\tb\r\n\r\n"},
      {"white space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
      {"space before the colon", ok + "X : a\r\n\r\n"},
      {"tab before the colon", ok + "X\t: a\r\n\r\n"},
      {"space before the colon of a framing field", ok + "Content-Length : 5\r\n\r\n"},
      {"space before the colon of Transfer-Encoding", ok + "Transfer-Encoding : chunked\r\n\r\n"},
      {"field without a name", ok + ": a\r\n\r\n"},
      {"field without a colon", ok + "X\r\n\r\n"},
      {"space in a name", ok + "X Y: a\r\n\r\n"},
      {"high bit in a name", ok + "X\xe9: a\r\n\r\n"},
      {"parenthesis in a name", ok + "X(: a\r\n\r\n"},
      {"quote in a name", ok + "X\": a\r\n\r\n"},
      {"no version", "GET /\r\nHost: a\r\n\r\n"},
      {"HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n"},
      {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"},
      {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
      {"HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"},
      {"HTTP/01.1", "GET / HTTP/01.1\r\nHost: a\r\n\r\n"},
      {"lower case version", "GET / http/1.1\r\nHost: a\r\n\r\n"},
      {"version with a space behind", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
      {"two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"two spaces behind the target", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"tab as separator", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"space in front of the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"tab in the target", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"high bit in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"fragment in the target", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"colon in the method", "G:T / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"no method", " / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"an endless method", std::string(33, 'A') + " / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\n"},
      {"no Host", "GET / HTTP/1.1\r\nX: y\r\n\r\n"},
      {"two Hosts", ok + "Host: b\r\n\r\n"},
      {"two equal Hosts", ok + "host: a\r\n\r\n"},
      {"Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
      {"Host as a list", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"},
      {"Host with user information", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},
      {"Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
      {"Host with a high bit", "GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n"},
      {"an underscore for the dash of a framing field", ok + "Transfer_Encoding: chunked\r\n\r\n"},
      {"the same of the other", ok + "Content_Length: 5\r\n\r\n"},
  };
  check_all_refused(heads);
}

TEST_CASE("no spelling of a length or a coding smuggles a second request") {
  const std::vector<Bad> vectors = {
      {"CL.TE", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n"},
      {"TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"},
      {"two codings in two fields",
       "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"},
      {"chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"},
      {"chunked, chunked", "Transfer-Encoding: chunked, chunked\r\n"},
      {"gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n"},
      {"chunked, gzip", "Transfer-Encoding: chunked, gzip\r\n"},
      {"identity", "Transfer-Encoding: identity\r\n"},
      {"xchunked", "Transfer-Encoding: xchunked\r\n"},
      {"chunkedx", "Transfer-Encoding: chunkedx\r\n"},
      {"quoted", "Transfer-Encoding: \"chunked\"\r\n"},
      {"a trailing comma", "Transfer-Encoding: chunked,\r\n"},
      {"a leading comma", "Transfer-Encoding: ,chunked\r\n"},
      {"a parameter", "Transfer-Encoding: chunked;q=1\r\n"},
      {"an empty coding", "Transfer-Encoding:\r\n"},
      {"vertical tab before chunked",
       "Transfer-Encoding: \x0b"
       "chunked\r\n"},
      {"high bit in chunked",
       "Transfer-Encoding: \xa0"
       "chunked\r\n"},
      {"a sign", "Content-Length: +5\r\n"},
      {"a minus", "Content-Length: -5\r\n"},
      {"hexadecimal", "Content-Length: 0x5\r\n"},
      {"equal list", "Content-Length: 5, 5\r\n"},
      {"unequal list", "Content-Length: 5, 6\r\n"},
      {"equal twice", "Content-Length: 5\r\nContent-Length: 5\r\n"},
      {"unequal twice", "Content-Length: 5\r\ncontent-length: 6\r\n"},
      {"empty length", "Content-Length:\r\n"},
      {"blank inside", "Content-Length: 5 5\r\n"},
      {"a fraction", "Content-Length: 5.0\r\n"},
      {"a letter behind", "Content-Length: 5a\r\n"},
      {"too many digits", "Content-Length: 99999999999999999999\r\n"},
      {"over 2^64", "Content-Length: 18446744073709551621\r\n"},
  };
  for (const Bad& bad : vectors) {
    INFO(bad.what);
    auto head = parse(with_fields(bad.bytes));
    REQUIRE_FALSE(head);
    CHECK(head.error().code == ErrorCode::bad_request);
    auto answer = parse_answer(answer_with(bad.bytes));
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == ErrorCode::bad_response);
    CHECK(answer.error().side == Side::upstream);
  }
}

TEST_CASE("the framing of a request is what its fields say, and only framing says it then") {
  auto length = parse(with_fields("Content-Length: 007\r\n"));
  REQUIRE(length);
  CHECK(length->framing.kind == Framing::Kind::length);
  CHECK(length->framing.length == 7);
  CHECK(length->fields.find("Content-Length") == nullptr);

  auto zero = parse(with_fields("Content-Length: 0\r\n"));
  REQUIRE(zero);
  CHECK(zero->framing.kind == Framing::Kind::length);
  CHECK(serialize(*zero).find("Content-Length: 0\r\n") != std::string::npos);

  auto chunked = parse(with_fields("transfer-encoding: \tChunked \r\n"));
  REQUIRE(chunked);
  CHECK(chunked->framing.kind == Framing::Kind::chunked);
  CHECK(chunked->fields.find("Transfer-Encoding") == nullptr);

  auto bare = parse(with_fields(""));
  REQUIRE(bare);
  CHECK(bare->framing.kind == Framing::Kind::none);
}

TEST_CASE("HTTP/1.0 has no chunked coding, needs no Host, and closes unless asked not to") {
  CHECK_FALSE(parse("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
  CHECK_FALSE(parse_answer("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));

  auto bare = parse("GET / HTTP/1.0\r\n\r\n");
  REQUIRE(bare);
  CHECK(bare->http_1_0);
  CHECK_FALSE(bare->keep_alive);
  auto kept = parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
  REQUIRE(kept);
  CHECK(kept->keep_alive);
  auto expecting = parse("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
  REQUIRE(expecting);
  CHECK_FALSE(expecting->expect_continue);
}

TEST_CASE("Connection: close counts wherever it stands in the list") {
  for (const char* fields :
       {"Connection: close\r\n", "connection: foo , Close\r\n", "Connection: ,,close\r\n",
        "Connection: keep-alive\r\nConnection: close\r\n", "Proxy-Connection: close\r\n"}) {
    INFO(fields);
    auto head = parse(with_fields(fields));
    REQUIRE(head);
    CHECK_FALSE(head->keep_alive);
  }
  auto other = parse(with_fields("Connection: enclose\r\n"));
  REQUIRE(other);
  CHECK(other->keep_alive);
}

TEST_CASE("a client expects a 100 only where it has a body to send") {
  auto with_body = parse(with_fields("Content-Length: 5\r\nExpect: 100-Continue\r\n"));
  REQUIRE(with_body);
  CHECK(with_body->expect_continue);
  auto without = parse(with_fields("Expect: 100-continue\r\n"));
  REQUIRE(without);
  CHECK_FALSE(without->expect_continue);
}

TEST_CASE("each method takes its own form of target") {
  const auto request = [](const std::string& method, const std::string& target) {
    return parse(method + " " + target + " HTTP/1.1\r\nHost: a\r\n\r\n").has_value();
  };
  CHECK(request("CONNECT", "a.example:443"));
  CHECK(request("CONNECT", "[::1]:443"));
  CHECK(request("OPTIONS", "*"));
  CHECK(request("OPTIONS", "/x"));
  CHECK(request("GET", "/"));
  CHECK(request("GET", "//double"));
  CHECK(request("GET", "https://a/"));
  CHECK(request("GET", "http://a"));
  CHECK_FALSE(request("CONNECT", "a.example"));
  CHECK_FALSE(request("CONNECT", "a.example:"));
  CHECK_FALSE(request("CONNECT", ":443"));
  CHECK_FALSE(request("CONNECT", "/"));
  CHECK_FALSE(request("CONNECT", "http://a/"));
  CHECK_FALSE(request("CONNECT", "u@a:443"));
  CHECK_FALSE(request("CONNECT", "a:443/x"));
  CHECK_FALSE(request("CONNECT", "*"));
  CHECK_FALSE(request("GET", "*"));
  CHECK_FALSE(request("GET", "a.example:443"));
  CHECK_FALSE(request("GET", "x"));
  CHECK_FALSE(request("GET", "http://"));
  CHECK_FALSE(request("GET", "http:/a"));
  CHECK_FALSE(request("GET", "ht tp://a"));
  CHECK_FALSE(request("GET", "?q"));
}

TEST_CASE("CONNECT has no body") {
  CHECK_FALSE(parse("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\n\r\n"));
  CHECK_FALSE(parse("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\n\r\n"));
  CHECK(parse("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 0\r\n\r\n"));
}

TEST_CASE("limits of a head are told apart from its being malformed") {
  const auto code = [](const std::string& bytes) {
    auto head = parse(bytes);
    return head ? ErrorCode::internal : head.error().code;
  };
  CHECK(code("GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n") ==
        ErrorCode::target_too_long);
  CHECK(code(with_fields("X: " + std::string(70'000, 'a') + "\r\n")) == ErrorCode::head_too_large);
  std::string many;
  for (int i = 0; i < 99; ++i) many += "X: y\r\n";
  CHECK(parse(with_fields(many)));
  CHECK(code(with_fields(many + "X: y\r\n")) == ErrorCode::head_too_large);

  auto answer = parse_answer(answer_with("X: " + std::string(70'000, 'a') + "\r\n"));
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::bad_response);
}

TEST_CASE("a head just below the limits parses") {
  CHECK(parse("GET /" + std::string(8000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n"));
  CHECK(parse(with_fields("X: " + std::string(65'000, 'a') + "\r\n")));
  CHECK(parse_answer(answer_with("X: " + std::string(65'000, 'a') + "\r\n")));
}

TEST_CASE("a response head is read into its parts") {
  auto head =
      parse_answer("HTTP/1.1 404 Not Found at all\r\nServer: x\r\nContent-Length: 12\r\n\r\n");
  REQUIRE(head);
  CHECK(head->status == 404);
  CHECK(head->reason == "Not Found at all");
  CHECK(head->framing.kind == Framing::Kind::length);
  CHECK(head->framing.length == 12);
  CHECK(head->keep_alive);
  auto bare = parse_answer("HTTP/1.1 200 \r\n\r\n");
  REQUIRE(bare);
  CHECK(bare->reason.empty());
  CHECK(bare->framing.kind == Framing::Kind::until_close);
}

TEST_CASE("a response may announce any length") {
  auto head = parse_answer(answer_with("Content-Length: 999999999999999999\r\n"));
  REQUIRE(head);
  CHECK(head->framing.length == 999'999'999'999'999'999u);
}

TEST_CASE("every malformed response head is refused as the upstream's fault") {
  using namespace std::string_literals;
  const std::vector<Bad> heads = {
      {"no space behind the status", "HTTP/1.1 200\r\n\r\n"},
      {"two digits", "HTTP/1.1 20 OK\r\n\r\n"},
      {"four digits", "HTTP/1.1 2000 OK\r\n\r\n"},
      {"a status below 100", "HTTP/1.1 099 OK\r\n\r\n"},
      {"a letter in the status", "HTTP/1.1 2o0 OK\r\n\r\n"},
      {"two spaces", "HTTP/1.1  200 OK\r\n\r\n"},
      {"another protocol", "ICY 200 OK\r\n\r\n"},
      {"HTTP/2", "HTTP/2 200 OK\r\n\r\n"},
      {"HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n"},
      {"NUL in the reason", "HTTP/1.1 200 O\0K\r\n\r\n"s},
      {"bare LF", "HTTP/1.1 200 OK\nX: y\n\n"},
      {"obs-fold", answer_with("X: a\r\n b\r\n")},
      {"space before the colon", answer_with("X : a\r\n")},
      {"bare CR in a value", answer_with("X: a\rb\r\n")},
      {"a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
  };
  for (const Bad& bad : heads) {
    INFO(bad.what);
    auto head = parse_answer(bad.bytes);
    REQUIRE_FALSE(head);
    CHECK(head.error().code == ErrorCode::bad_response);
    CHECK(head.error().side == Side::upstream);
  }
}

TEST_CASE("the framing of a response depends on the request and the status") {
  const auto framed = [](const std::string& status, const std::string& fields,
                         std::string_view method) {
    auto head = parse_answer("HTTP/1.1 " + status + " X\r\n" + fields + "\r\n", method);
    REQUIRE(head);
    return *head;
  };
  const std::string length = "Content-Length: 5\r\n";
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  auto to_head = framed("200", length, "HEAD");
  CHECK(to_head.framing.kind == Framing::Kind::none);
  CHECK(*to_head.fields.find("Content-Length") == "5");
  CHECK(to_head.keep_alive);
  CHECK(framed("200", chunked, "HEAD").framing.kind == Framing::Kind::none);
  CHECK(framed("200", "", "HEAD").framing.kind == Framing::Kind::none);
  CHECK(framed("304", length, "GET").framing.kind == Framing::Kind::none);
  CHECK(*framed("304", length, "GET").fields.find("Content-Length") == "5");
  CHECK(framed("204", "", "GET").framing.kind == Framing::Kind::none);
  CHECK(framed("204", "", "GET").keep_alive);
  CHECK(framed("204", "Content-Length: 0\r\n", "GET").keep_alive);
  CHECK(framed("100", "", "POST").framing.kind == Framing::Kind::none);
  CHECK(framed("200", "", "CONNECT").framing.kind == Framing::Kind::none);
  CHECK(framed("403", length, "CONNECT").framing.kind == Framing::Kind::length);
  CHECK(framed("200", chunked, "GET").framing.kind == Framing::Kind::chunked);
  // Statuses without a body that announce one: nothing behind them is trusted to be a response.
  CHECK_FALSE(framed("204", length, "GET").keep_alive);
  CHECK_FALSE(framed("204", chunked, "GET").keep_alive);
  CHECK(framed("204", length, "GET").fields.find("Content-Length") == nullptr);
  CHECK(framed("204", length, "GET").framing.kind == Framing::Kind::none);
}

TEST_CASE("a Host field is checked in responses only for being single") {
  CHECK_FALSE(parse_answer(answer_with("Host: a\r\nHost: b\r\n")));
  CHECK(parse_answer(answer_with("Host: a b\r\n")));
}

TEST_CASE(
    "hop-by-hop fields are removed, and what Connection names, but no field that is for "
    "everybody") {
  auto head = parse(with_fields(
      "Connection: close, X-Named, , Host, Content-Length, Authorization, te\r\nconnection: "
      "x-second\r\n"
      "X-Named: 1\r\nx-SECOND: 2\r\nX-Kept: 3\r\nAuthorization: Bearer k\r\nContent-Length: 5\r\n"
      "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n"
      "Proxy-Authenticate: Basic\r\nTE: trailers\r\nTrailer: X\r\nUpgrade: websocket\r\n"));
  REQUIRE(head);
  remove_hop_by_hop(head->fields);
  std::string names;
  for (const Field& field : head->fields.all()) names += field.name + " ";
  CHECK(names == "Host X-Kept Authorization ");
  CHECK(serialize(*head) ==
        "POST /x HTTP/1.1\r\nHost: a.example\r\nX-Kept: 3\r\nAuthorization: Bearer "
        "k\r\nContent-Length: 5\r\n"
        "Connection: close\r\n\r\n");
}

TEST_CASE("serialize writes framing and Connection once, whatever the fields say") {
  RequestHead head;
  head.method = "PUT";
  head.target = "/t";
  head.fields.add("Host", "a");
  head.fields.add("Content-Length", "99");
  head.fields.add("Transfer-Encoding", "gzip");
  head.fields.add("Connection", "x");
  head.framing = Framing{Framing::Kind::chunked, 0};
  CHECK(serialize(head) == "PUT /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  head.framing = Framing{Framing::Kind::length, 7};
  head.http_1_0 = true;
  CHECK(serialize(head) ==
        "PUT /t HTTP/1.0\r\nHost: a\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n");

  ResponseHead answer;
  answer.status = 200;
  answer.reason = "OK";
  answer.framing = Framing{Framing::Kind::until_close, 0};
  CHECK(serialize(answer) == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
}

TEST_CASE("no value, wherever it came from, can add a line to a head") {
  RequestHead head;
  head.method = "GET";
  head.target = "/";
  head.fields.add("Authorization", std::string("Bearer k\r\nX-Evil: 1\n\0", 21));
  CHECK(serialize(head) == "GET / HTTP/1.1\r\nAuthorization: Bearer k  X-Evil: 1  \r\n\r\n");
  ResponseHead answer;
  answer.status = 403;
  answer.reason = "no\r\nX: y";
  CHECK(serialize(answer) == "HTTP/1.1 403 no  X: y\r\n\r\n");
}

TEST_CASE("fields are set, added and erased by name in any case") {
  Fields fields;
  fields.add("A", "1");
  fields.add("b", "2");
  fields.add("a", "3");
  CHECK(fields.count("a") == 2);
  fields.set("a", "4");
  CHECK(fields.count("A") == 1);
  CHECK(*fields.find("a") == "4");
  CHECK(fields.all().front().name == "A");
  fields.set("C", "5");
  fields.erase("B");
  CHECK(fields.find("b") == nullptr);
  CHECK(fields.all().size() == 2);
}

TEST_CASE("what parses and is written again parses to the same") {
  const std::string bytes =
      "POST /a?b HTTP/1.1\r\nHost: a\r\nX: \xe2\x82\xac\r\nx: 2\r\nContent-Length: "
      "3\r\nConnection: close\r\n\r\n";
  auto head = parse(bytes);
  REQUIRE(head);
  CHECK(serialize(*head) == bytes);
}
