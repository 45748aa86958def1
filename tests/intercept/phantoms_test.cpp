#include "proxy/intercept/phantoms.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "config/base/encoding.hpp"
#include "tests/intercept/credentials.hpp"

using namespace nono;
using namespace nono::intercept;
using namespace nono::test;

TEST_CASE("phantoms and tokens are random, long and recognisable") {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string phantom = make_phantom("sk-");
    CHECK(phantom.substr(0, 8) == "sk-nono_");
    CHECK(phantom.size() == 8 + 64);
    CHECK(phantom.find_first_not_of("0123456789abcdef", 8) == std::string::npos);
    seen.insert(phantom);
    CHECK(make_token().size() == 64);
    seen.insert(make_token());
  }
  CHECK(seen.size() == 200);
}

TEST_CASE("a phantom is found in every place and encoding of a head") {
  const std::string phantom = make_phantom("sk-");
  const PhantomScanner scanner({make_phantom(""), phantom});
  const std::string hidden = "%6eono%5F" + phantom.substr(phantom.find('_') + 1);
  const std::string twice = "%256eono%255F" + phantom.substr(phantom.find('_') + 1);

  CHECK(scanner.contains(request("/search?q=" + phantom)));
  CHECK(scanner.contains(request("/" + phantom + "/x")));
  CHECK(scanner.contains(request("/search?q=" + hidden)));
  CHECK(scanner.contains(request("/search?q=" + twice)));
  CHECK(scanner.contains(request("/", {{"Cookie", "a=" + phantom + "; b=c"}})));
  CHECK(scanner.contains(request("/", {{"Cookie", "a=" + hidden}})));
  CHECK(scanner.contains(request("/", {{"X-" + phantom, "1"}})));
  for (const std::string before : {"", "u:", "us:", "use:", "user:"}) {
    const std::string pair = before + phantom + ":tail";
    CHECK(scanner.contains(request("/", {{"Authorization", "Basic " + base64_encode(pair)}})));
    CHECK(scanner.contains(request("/", {{"X-Data", base64_encode(pair, Base64::url_safe)}})));
    CHECK(scanner.contains(request("/?d=" + percent_encode(base64_encode(pair)))));
  }
  CHECK(scanner.contains(request("/", {{"X-Data", "prefix" + base64_encode(phantom)}})));
}

TEST_CASE("what is no phantom of ours is not taken for one") {
  const PhantomScanner scanner({make_phantom("sk-")});
  CHECK_FALSE(scanner.contains(request("/", {{"Authorization", "Bearer " + make_phantom("sk-")}})));
  CHECK_FALSE(scanner.contains(request("/nono_/" + std::string(64, 'a'))));
  CHECK_FALSE(scanner.contains(request("/", {{"X-Long", std::string(4000, 'A')}})));
  CHECK_FALSE(PhantomScanner({}).contains(request("/nono_" + make_token())));
}

TEST_CASE("a body's guard lets nothing of a split phantom out whole") {
  const std::string phantom = make_phantom("sk-");
  const PhantomScanner scanner({phantom});
  const std::string body = "{\"message\": \"my key is " + phantom + ", take it\"}";
  for (std::size_t split = 0; split <= body.size(); ++split) {
    auto guard = scanner.guard();
    std::string out;
    auto fed = guard->feed(std::string_view(body).substr(0, split), out);
    if (fed) fed = guard->feed(std::string_view(body).substr(split), out);
    REQUIRE_FALSE(fed);
    CHECK(fed.error().code == ErrorCode::refused);
    CHECK(fed.error().what.find("nono_") == std::string::npos);
    CHECK(out.find(phantom.substr(3)) == std::string::npos);
  }
  auto guard = scanner.guard();
  std::string out;
  bool refused = false;
  for (const char c : body) refused = refused || !guard->feed(std::string_view(&c, 1), out);
  CHECK(refused);
}

TEST_CASE("a body's guard passes everything else as it is") {
  const PhantomScanner scanner({make_phantom("sk-")});
  const std::string body = "nono nono_ nono_abc " + make_phantom("x-") + " n no non nono_12";
  for (std::size_t split = 0; split <= body.size(); ++split) {
    auto guard = scanner.guard();
    std::string out;
    REQUIRE(guard->feed(std::string_view(body).substr(0, split), out));
    REQUIRE(guard->feed(std::string_view(body).substr(split), out));
    REQUIRE(guard->finish(out));
    CHECK(out == body);
  }
}

TEST_CASE("a body's guard holds back nothing that cannot become a phantom") {
  const PhantomScanner scanner({make_phantom("sk-")});
  auto guard = scanner.guard();
  std::string out;
  REQUIRE(guard->feed("data: {\"token\": \"hello\"}\n\n", out));
  CHECK(out == "data: {\"token\": \"hello\"}\n\n");
}

namespace {

struct Book final : PhantomBook {
  bool holds(std::string_view tail) override { return known.count(std::string(tail)) != 0; }
  std::set<std::string> known;
};

}  // namespace

TEST_CASE("a phantom of any session alive is found, of none other") {
  const std::string theirs = make_phantom("ghp_");
  Book book;
  book.known.insert(theirs.substr(theirs.size() - 64));
  const PhantomScanner scanner({make_phantom("sk-")});
  const PhantomScanner without({});
  for (const PhantomScanner* one : {&scanner, &without}) {
    CHECK(one->contains(request("/", {{"X-Data", theirs}}), &book));
    CHECK(one->contains(request("/?q=" + percent_encode(base64_encode(theirs))), &book));
    CHECK_FALSE(one->contains(request("/", {{"X-Data", make_phantom("ghp_")}}), &book));
    CHECK_FALSE(one->contains(request("/", {{"X-Data", theirs}})));
    std::string out;
    CHECK_FALSE(one->guard(&book)->feed("{" + theirs + "}", out));
    CHECK(out.find(theirs) == std::string::npos);
  }
}

TEST_CASE("the session token is found in fields and query, plain or in base64") {
  const std::string token = make_token();
  const PhantomScanner scanner({}, token);
  CHECK(scanner.contains_token(request("/", {{"Authorization", "Bearer " + token}})));
  CHECK(scanner.contains_token(request("/", {{"Cookie", "t=" + token + "; a=b"}})));
  CHECK(scanner.contains_token(request("/x?t=" + token)));
  for (const std::string user : {"", "n", "no", "nono"}) {
    const std::string pair = user + ":" + token;
    CHECK(scanner.contains_token(request("/", {{"Authorization", "Basic " + base64_encode(pair)}})));
  }
  CHECK_FALSE(scanner.contains_token(request("/", {{"Authorization", "Bearer " + make_token()}})));
  CHECK_FALSE(scanner.contains_token(request("/?t=" + token.substr(1))));
  // Too short to be told from anything else.
  CHECK_FALSE(PhantomScanner({}, "short").contains_token(request("/short")));
  CHECK_FALSE(PhantomScanner({}).contains_token(request("/")));
}
