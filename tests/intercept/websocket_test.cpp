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

TEST_CASE("WebSocket frames that cannot be read end the connection") {
  const LoadedCredential credential = openai();
  const intercept::Redactor redactor(credential);
  for (const std::string sent : {"\xc1\x01x",
                                 "\x81\x81"
                                 "1234x"}) {
    std::string got;
    REQUIRE_FALSE(redactor.websocket_filter()->feed(sent, got));
    REQUIRE(got.empty());
  }
}

}  // namespace nono::test
