#include "proxy/socks5.hpp"

#include <catch2/catch.hpp>

namespace nono::socks5 {

namespace {

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out += static_cast<char>(value);
  return out;
}

std::string by_name(std::string_view name, int port = 443, int command = 1) {
  return bytes({5, command, 0, 3, static_cast<int>(name.size())}) + std::string(name) +
         bytes({port >> 8, port & 255});
}

// More is needed for every part of a whole message, and what follows it is not looked at.
template <class Parse>
void check_parts(Parse parse, const std::string& whole) {
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto part = parse(std::string_view(whole).substr(0, size));
    INFO(size);
    REQUIRE(part.has_value());
    CHECK_FALSE(part->has_value());
  }
  for (const std::string behind : {"", "\x05", "more of it"}) {
    const auto message = parse(whole + behind);
    REQUIRE(message.has_value());
    REQUIRE(message->has_value());
    CHECK((*message)->size == whole.size());
  }
}

}  // namespace

TEST_CASE("a SOCKS5 greeting says which methods the client knows") {
  check_parts(parse_greeting, bytes({5, 3, 0, 1, 2}));
  CHECK((*parse_greeting(bytes({5, 1, 0})))->offers_none);
  CHECK_FALSE((*parse_greeting(bytes({5, 1, 0})))->offers_password);
  CHECK((*parse_greeting(bytes({5, 2, 1, 2})))->offers_password);
  CHECK_FALSE((*parse_greeting(bytes({5, 1, 1, 2})))->offers_password);  // 2 is behind it
  CHECK((*parse_greeting(bytes({5, 255}) + std::string(255, '\2')))->size == 257);
}

TEST_CASE("a greeting of another version or without a method is refused") {
  CHECK_FALSE(parse_greeting(bytes({4})).has_value());
  CHECK_FALSE(parse_greeting("GET / HTTP/1.1").has_value());
  CHECK_FALSE(parse_greeting(bytes({5, 0})).has_value());
}

TEST_CASE("user and password come out as they were sent, of any length") {
  check_parts(parse_password, bytes({1, 4}) + "nono" + bytes({5}) + "token");
  const auto both = parse_password(bytes({1, 4}) + "nono" + bytes({5}) + "token");
  REQUIRE((both && *both));
  const auto empty = *parse_password(bytes({1, 0, 0}));
  CHECK(empty->user.empty());
  CHECK(empty->password.empty());
  const std::string longest =
      bytes({1, 255}) + std::string(255, 'u') + bytes({255}) + std::string(255, 'p');
  const auto most = *parse_password(longest);
  CHECK(most->user == std::string(255, 'u'));
  CHECK(most->password == std::string(255, 'p'));
  CHECK_FALSE(parse_password(bytes({5, 1, 0})).has_value());
  CHECK_FALSE(parse_password(bytes({0})).has_value());
}

TEST_CASE("a request names a host, an IPv4 or an IPv6 address, and a port") {
  check_parts(parse_request, by_name("example.com"));
  check_parts(parse_request, bytes({5, 1, 0, 1, 127, 0, 0, 1, 0, 80}));
  check_parts(parse_request, bytes({5, 1, 0, 4}) + std::string(15, '\0') + bytes({1, 31, 144}));
  const auto name = parse_request(by_name("Example.COM.", 8443));
  CHECK((*name)->target->to_string() == "example.com:8443");
  CHECK((*name)->is_connect);
  const auto v4 = parse_request(bytes({5, 1, 0, 1, 127, 0, 0, 1, 0, 80}));
  CHECK((*v4)->target->to_string() == "127.0.0.1:80");
  const auto v6 = parse_request(bytes({5, 1, 0, 4}) + std::string(15, '\0') + bytes({1, 31, 144}));
  CHECK((*v6)->target->to_string() == "[::1]:8080");
  // An address written as a name is that address.
  const auto written = parse_request(by_name("127.0.0.1"));
  CHECK_FALSE((*written)->target->host.is_name());
  // So is the IPv6 form of an IPv4 address.
  const auto mapped = parse_request(bytes({5, 1, 0, 4}) + std::string(10, '\0') +
                                    bytes({255, 255, 127, 0, 0, 1, 0, 80}));
  CHECK((*mapped)->target == (*v4)->target);
}

TEST_CASE("commands other than CONNECT, unknown address types and port 0 are told from mistakes") {
  for (const int command : {0, 2, 3, 255}) {
    CHECK_FALSE((*parse_request(by_name("example.com", 443, command)))->is_connect);
  }
  for (const int type : {0, 2, 5, 255}) {
    const auto request = parse_request(bytes({5, 1, 0, type, 1, 2, 3}));
    REQUIRE((request && *request));
    CHECK_FALSE((*request)->target.has_value());
  }
  CHECK_FALSE((*parse_request(by_name("example.com", 0)))->target.has_value());
  CHECK_FALSE(parse_request(bytes({4, 1})).has_value());
}

TEST_CASE("a name with anything in it that is no part of a host is an error") {
  using namespace std::string_view_literals;
  for (const std::string_view name :
       {""sv, "\0"sv, "a\0b.test"sv, "example.com\0"sv, "example.com\n"sv, "a\rb"sv, "a b"sv,
        "\x7f"sv, "a\tb"sv, "a/b"sv, "user@host"sv, "host:80"sv, "a..b"sv, ".a"sv, "\xff\xfe"sv,
        "%65xample.com"sv, "0x7f.1.test\0"sv}) {
    INFO(name);
    CHECK_FALSE(parse_request(by_name(name)).has_value());
  }
  CHECK_FALSE(parse_request(by_name(std::string(254, 'a'))).has_value());
}

TEST_CASE("answers have the bytes that RFC 1928 and RFC 1929 give them") {
  CHECK(method_answer(Method::none) == bytes({5, 0}));
  CHECK(method_answer(Method::password) == bytes({5, 2}));
  CHECK(method_answer(Method::unacceptable) == bytes({5, 255}));
  CHECK(password_answer(true) == bytes({1, 0}));
  CHECK(password_answer(false) == bytes({1, 1}));
  CHECK(reply_answer(Reply::succeeded) == bytes({5, 0, 0, 1, 0, 0, 0, 0, 0, 0}));
  CHECK(reply_answer(Reply::not_allowed) == bytes({5, 2, 0, 1, 0, 0, 0, 0, 0, 0}));
  CHECK(reply_answer(Reply::command_not_supported) == bytes({5, 7, 0, 1, 0, 0, 0, 0, 0, 0}));
}

}  // namespace nono::socks5
