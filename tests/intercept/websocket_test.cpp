#include "proxy/intercept/websocket.hpp"

#include <catch2/catch.hpp>

#include "proxy/intercept/redact.hpp"
#include "tests/intercept/credentials.hpp"

namespace nono::test {

namespace {

std::string frame(const std::string& payload) {
  std::string out = "\x81";
  if (payload.size() < 126) {
    out += static_cast<char>(payload.size());
  } else {
    out += '\x7e';
    out += static_cast<char>(payload.size() >> 8);
    out += static_cast<char>(payload.size());
  }
  return out + payload;
}

// A frame with this first octet.
std::string part(char first, const std::string& payload) {
  return std::string(1, first) + static_cast<char>(payload.size()) + payload;
}

// Wherever the bytes are cut in two.
void require_masked(const intercept::Redactor& redactor, const std::string& sent,
                    const std::string& wanted) {
  for (std::size_t cut = 0; cut <= sent.size(); cut += 3) {
    CAPTURE(cut);
    const auto filter = redactor.websocket_filter();
    std::string got;
    REQUIRE(filter->feed(sent.substr(0, cut), got));
    REQUIRE(filter->feed(sent.substr(cut), got));
    REQUIRE(got == wanted);
  }
}

}  // namespace

TEST_CASE("a key in a WebSocket frame is masked in its length, wherever the bytes are cut") {
  const LoadedCredential credential = openai();
  const intercept::Redactor redactor(credential);
  const std::string key(real_key);
  const std::string sent = frame("{\"echo\":\"" + key + "\"}") + frame(key) +
                           frame(std::string(300, 's') + key) + frame("");
  for (std::size_t cut = 0; cut <= sent.size(); ++cut) {
    CAPTURE(cut);
    const auto filter = redactor.websocket_filter();
    std::string got;
    REQUIRE(filter->feed(sent.substr(0, cut), got));
    REQUIRE(filter->feed(sent.substr(cut), got));
    REQUIRE(got.size() == sent.size());
    REQUIRE(got.find(key) == std::string::npos);
    REQUIRE(got.starts_with(frame("{\"echo\":\"" + std::string(key.size(), '*') + "\"}")));
  }
}

TEST_CASE("a whole WebSocket frame never waits for the next one, though it end as a key begins") {
  const LoadedCredential credential = openai();
  const intercept::Redactor redactor(credential);
  const auto filter = redactor.websocket_filter();
  const std::string sent = frame("ask: " + std::string(real_key.substr(0, 5)));
  std::string got;
  REQUIRE(filter->feed(sent, got));
  REQUIRE(got == sent);
}

TEST_CASE(
    "a key that is split over the frames of one message is masked, wherever the bytes are cut") {
  const LoadedCredential credential = openai();
  const intercept::Redactor redactor(credential);
  const std::string key(real_key);
  for (std::size_t split = 1; split < key.size(); ++split) {
    const std::string sent = part('\x01', "a " + key.substr(0, split)) +
                             part('\x00', key.substr(split, 1)) + part('\x00', "") +
                             part('\x80', key.substr(split + 1) + " z");
    std::string wanted = sent;
    const std::string stars(key.size(), '*');
    wanted.replace(4, split, stars, 0, split);
    wanted[4 + split + 2] = '*';
    const std::size_t rest = 4 + split + 2 + 1 + 2 + 2;
    wanted.replace(rest, key.size() - split - 1, stars, 0, key.size() - split - 1);
    CAPTURE(split);
    require_masked(redactor, sent, wanted);
  }
}

TEST_CASE("a key that a ping cuts in two is masked, and the ping stays in its place") {
  const LoadedCredential credential = openai();
  const intercept::Redactor redactor(credential);
  const std::string key(real_key);
  const std::string ping = part('\x89', "are you there"), empty = part('\x8a', "");
  for (std::size_t split = 1; split < key.size(); ++split) {
    const auto frames = [&](const std::string& text) {
      return part('\x01', "a " + text.substr(0, split)) + ping + empty +
             part('\x00', text.substr(split, 1)) + ping + part('\x80', text.substr(split + 1));
    };
    const std::string sent = frames(key);
    CAPTURE(split);
    require_masked(redactor, sent, frames(std::string(key.size(), '*')));
  }
}

TEST_CASE(
    "a ping waits only behind what may be the beginning of a key, a message's end for nothing") {
  const LoadedCredential credential = openai();
  const intercept::Redactor redactor(credential);
  const std::string begin(real_key.substr(0, 5));
  const auto filter = redactor.websocket_filter();
  std::string got;
  const std::string first = part('\x01', "x") + part('\x89', "one") + part('\x00', "x" + begin);
  REQUIRE(filter->feed(first + part('\x89', "two"), got));
  CHECK(got == first.substr(0, first.size() - begin.size()));
  got.clear();
  REQUIRE(filter->feed(part('\x80', begin), got));
  CHECK(got == begin + part('\x89', "two") + part('\x80', begin));
}

TEST_CASE("a close lets out what is held, and what is said after it ends the connection") {
  const LoadedCredential credential = openai();
  const intercept::Redactor redactor(credential);
  const std::string sent =
      part('\x01', std::string(real_key.substr(0, 5))) + part('\x88', "\x03\xe8");
  const auto filter = redactor.websocket_filter();
  std::string got;
  REQUIRE(filter->feed(sent, got));
  CHECK(got == sent);
  got.clear();
  REQUIRE_FALSE(filter->feed(part('\x80', std::string(real_key.substr(5))), got));
  CHECK(got.empty());
}

TEST_CASE("a key in a ping's own payload is masked") {
  const LoadedCredential credential = openai();
  const intercept::Redactor redactor(credential);
  const std::string key(real_key);
  const auto filter = redactor.websocket_filter();
  std::string got;
  REQUIRE(filter->feed(part('\x89', key), got));
  CHECK(got == part('\x89', std::string(key.size(), '*')));
}

TEST_CASE("pings without end behind the beginning of a key end the connection") {
  const LoadedCredential credential = openai();
  const intercept::Redactor redactor(credential);
  const auto filter = redactor.websocket_filter();
  std::string got;
  REQUIRE(filter->feed(part('\x01', std::string(real_key.substr(0, 5))), got));
  bool fine = true;
  std::size_t pings = 0;
  for (; fine && pings < 10'000; ++pings) {
    fine = filter->feed(part('\x89', std::string(100, 'p')), got).has_value();
  }
  CHECK_FALSE(fine);
  CHECK(pings > 100);
}

TEST_CASE("WebSocket frames that cannot be read end the connection") {
  const LoadedCredential credential = openai();
  const intercept::Redactor redactor(credential);
  for (const std::string& sent :
       {std::string("\xc1\x01x"),
        std::string("\x81\x81"
                    "1234x"),
        std::string("\x09\x01x"), "\x89\x7e" + std::string(1, '\0') + "\x7e"}) {
    std::string got;
    REQUIRE_FALSE(redactor.websocket_filter()->feed(sent, got));
    REQUIRE(got.empty());
  }
}

}  // namespace nono::test
