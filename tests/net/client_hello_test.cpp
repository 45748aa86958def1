#include "proxy/net/client_hello.hpp"

#include <catch2/catch.hpp>
#include <string>

namespace nono::test {

namespace {

std::string u16(std::size_t value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::string extension(std::size_t type, const std::string& body) {
  return u16(type) + u16(body.size()) + body;
}

std::string server_name(const std::string& name) {
  const std::string entry = std::string(1, '\0') + u16(name.size()) + name;
  return extension(0, u16(entry.size()) + entry);
}

std::string message(const std::string& extensions) {
  std::string body = "\x03\x03" + std::string(32, 'r') + std::string(1, '\0') + u16(2) +
                     "\x13\x01" + std::string("\x01\0", 2) + u16(extensions.size()) + extensions;
  const std::size_t size = body.size();
  return std::string{1, static_cast<char>(size >> 16), static_cast<char>(size >> 8),
                     static_cast<char>(size)} +
         body;
}

std::string record(const std::string& fragment) {
  return "\x16\x03\x01" + u16(fragment.size()) + fragment;
}

using State = ClientHello::State;

}  // namespace

TEST_CASE("the server name is read from a whole ClientHello, and from no part of one") {
  const std::string hello = record(message(extension(10, "xx") + server_name("api.example.com")));
  for (std::size_t size = 0; size < hello.size(); ++size) {
    CAPTURE(size);
    REQUIRE(parse_client_hello(std::string_view(hello).substr(0, size)).state == State::incomplete);
  }
  const ClientHello parsed = parse_client_hello(hello + "more");
  REQUIRE(parsed.state == State::complete);
  REQUIRE(parsed.server_name == "api.example.com");
  REQUIRE_FALSE(parsed.encrypted_hello);
}

TEST_CASE("a ClientHello may be spread over records of one byte") {
  std::string spread;
  for (const char byte : message(server_name("a.example"))) spread += record(std::string(1, byte));
  REQUIRE(parse_client_hello(spread).server_name == "a.example");
  REQUIRE(parse_client_hello(std::string_view(spread).substr(0, spread.size() - 1)).state ==
          State::incomplete);
}

TEST_CASE("no name, an encrypted hello and no extensions at all are told apart") {
  REQUIRE(parse_client_hello(record(message(extension(10, "x")))).server_name.empty());
  REQUIRE(parse_client_hello(record(message(extension(0xfe0d, "grease")))).encrypted_hello);
}

TEST_CASE("hellos that lie about themselves are malformed, never read past their end") {
  const std::string two_names =
      u16(18) + std::string(1, '\0') + u16(6) + "a.test" + std::string(1, '\0') + u16(6) + "b.test";
  const std::string cases[] = {
      record(message(server_name("a.example") + server_name("b.example"))),
      record(message(extension(0, two_names))),
      record(message(extension(0, u16(200) + "short"))),
      record(message(u16(0) + u16(60000))),
      record(std::string("\x02\0\0\x01x", 5)),   // a ServerHello
      record(std::string("\x01\0\0\x02xx", 6)),  // too short for its fixed part
      "\x16\x03\x01" + u16(0),                   // an empty record
      "\x16\x03\x01" + u16(20000) + "x",         // over the record limit
      record(message(server_name("a.example")).substr(0, 20)) + "\x17\x03\x03" + u16(1) + "x",
  };
  for (const std::string& hello : cases) {
    CAPTURE(hello);
    REQUIRE(parse_client_hello(hello).state == State::malformed);
  }
}

TEST_CASE("what is no TLS is known by its first bytes") {
  for (const std::string bytes : {"GET / HTTP/1.1", "SSH-2.0-x", "\x14\x20", "\x16\x02XXX\x02"}) {
    CAPTURE(bytes);
    REQUIRE(parse_client_hello(bytes).state == State::not_tls);
  }
}

}  // namespace nono::test
