// Durations, sizes and places to listen, as people write them.

#include "config/units.hpp"

#include <catch2/catch.hpp>

#include "config/listen.hpp"
#include "config/proxy_config.hpp"

using namespace nono;

TEST_CASE("durations have a unit, and seconds may go without where that is said") {
  using std::chrono::milliseconds;
  CHECK(parse_duration("500ms") == milliseconds(500));
  CHECK(parse_duration("30s") == milliseconds(30'000));
  CHECK(parse_duration("15m") == milliseconds(900'000));
  CHECK(parse_duration("24h") == milliseconds(86'400'000));
  CHECK(parse_duration("7d") == milliseconds(604'800'000));
  CHECK(parse_duration("30", true) == milliseconds(30'000));
  for (const char* text : {"", "s", "0s", "-1s", "+1s", "1.5s", "1 s", " 1s", "1s ", "1S", "1w",
                           "1000001s", "99999999999999999999s", "30"}) {
    INFO(text);
    CHECK_FALSE(parse_duration(text));
  }
}

TEST_CASE("sizes are bytes or powers of 1024") {
  CHECK(parse_size("65536") == std::uint64_t(65'536));
  CHECK(parse_size("64K") == std::uint64_t(65'536));
  CHECK(parse_size("64KiB") == std::uint64_t(65'536));
  CHECK(parse_size("64M") == std::uint64_t(1) << 26);
  CHECK(parse_size("1GB") == std::uint64_t(1) << 30);
  for (const char* text : {"", "0", "M", "-1M", "1.5M", "1 M", "1m", "1T", "1Mi", "2000000G",
                           "99999999999999999999", "8589934593"}) {
    INFO(text);
    CHECK_FALSE(parse_size(text));
  }
}

TEST_CASE("a session's name can stand in a URL and in a file's name") {
  for (const char* name : {"a", "ci-7", "Team_A.2", "0"}) CHECK(is_session_name(name));
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("-a"), std::string("a/b"),
        std::string("a b"), std::string("a%2f"), std::string("a\n"), std::string("\xc3\xa4"),
        std::string("a\0b", 3), std::string(65, 'a')}) {
    CHECK_FALSE(is_session_name(name));
  }
}

TEST_CASE("listeners that speak TCP or UDP only take no Unix socket") {
  CHECK(parse_inet_listen("127.0.0.1", dns_port)->port == 53);
  CHECK_FALSE(parse_inet_listen("127.0.0.1", dns_port)->port_written);
  CHECK(parse_inet_listen("[::1]:5353", dns_port)->port == 5353);
  CHECK(parse_inet_listen("127.0.0.1:0", dns_port)->port == 0);
  CHECK(parse_inet_listen("::1")->port == 0);
  CHECK_FALSE(parse_inet_listen("unix:/x"));
  CHECK_FALSE(parse_inet_listen("localhost.example"));
}
