#include "config/base/host.hpp"

#include <catch2/catch.hpp>

using namespace nono;
using namespace std::string_view_literals;

namespace {

struct Row {
  std::string_view text;
  std::string_view expected;
};

void check_names(std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    INFO(row.text);
    const Result<Host> host = parse_host(row.text);
    REQUIRE(host);
    REQUIRE(host->is_name());
    CHECK(host->name().text() == row.expected);
    CHECK(HostName::parse(row.text)->text() == row.expected);
  }
}

void check_addresses(std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    INFO(row.text);
    const Result<Host> host = parse_host(row.text);
    REQUIRE(host);
    REQUIRE_FALSE(host->is_name());
    CHECK(host->address().to_string() == row.expected);
    CHECK_FALSE(HostName::parse(row.text));
  }
}

void check_refused(std::initializer_list<std::string_view> rows) {
  for (std::string_view row : rows) {
    INFO(row);
    const Result<Host> host = parse_host(row);
    REQUIRE_FALSE(host);
    CHECK(host.error().code == ErrorCode::bad_input);
    CHECK(host.error().side == Side::client);
    CHECK_FALSE(HostName::parse(row));
  }
}

}  // namespace

TEST_CASE("names take one normal form") {
  check_names({
      {"example.com", "example.com"},
      {"EXAMPLE.Com", "example.com"},
      {"example.com.", "example.com"},
      {"localhost", "localhost"},
      {"a.b.c.d.e", "a.b.c.d.e"},
      {"_dmarc.example.com", "_dmarc.example.com"},
      {"r3---sn-x.example.com", "r3---sn-x.example.com"},
      {"1.example.com", "1.example.com"},
      {"123.com", "123.com"},
      {"1a", "1a"},
      {"0xg", "0xg"},
      {"1.2.3.4.example", "1.2.3.4.example"},
      {"1.2.3.4a", "1.2.3.4a"},
  });
}

TEST_CASE("international names become A-labels") {
  check_names({
      {"b\u00fccher.example", "xn--bcher-kva.example"},
      {"B\u00dcCHER.example", "xn--bcher-kva.example"},
      {"bu\u0308cher.example", "xn--bcher-kva.example"},
      {"xn--bcher-kva.example", "xn--bcher-kva.example"},
      {"XN--BCHER-KVA.example", "xn--bcher-kva.example"},
      {"r3---sn.xn--bcher-kva.example", "r3---sn.xn--bcher-kva.example"},
      {"fa\u00df.de", "xn--fa-hia.de"},          // non-transitional: not fass.de
      {"\uff45\uff58ample.com", "example.com"},  // full-width letters
      {"example\u3002com", "example.com"},       // ideographic full stop
      {"example.com\u3002", "example.com"},
      {"exam\u00adple.com", "example.com"},       // soft hyphen maps to nothing
      {"\u212aelvin.example", "kelvin.example"},  // kelvin sign
  });
}

TEST_CASE("every spelling that a resolver reads as an IPv4 address becomes that address") {
  check_addresses({
      {"127.0.0.1", "127.0.0.1"},
      {"127.0.0.1.", "127.0.0.1"},
      {"1.2.3.4.", "1.2.3.4"},
      {"127.1", "127.0.0.1"},
      {"127.0.1", "127.0.0.1"},
      {"127.1.", "127.0.0.1"},
      {"10.65535", "10.0.255.255"},
      {"2130706433", "127.0.0.1"},
      {"0x7f000001", "127.0.0.1"},
      {"0X7F000001", "127.0.0.1"},
      {"017700000001", "127.0.0.1"},
      {"0000000000017700000001", "127.0.0.1"},
      {"0x7f.1", "127.0.0.1"},
      {"0x7f.0.0.0x1", "127.0.0.1"},
      {"0177.0.0.01", "127.0.0.1"},
      {"0251.0376.0251.0376", "169.254.169.254"},
      {"0xa9fea9fe", "169.254.169.254"},
      {"2852039166", "169.254.169.254"},
      {"0xa9.0xfe.0xa9fe", "169.254.169.254"},
      {"0", "0.0.0.0"},
      {"00", "0.0.0.0"},
      {"0x0", "0.0.0.0"},
      {"4294967295", "255.255.255.255"},
      {"\uff11\uff12\uff17\uff0e\uff10\uff0e\uff10\uff0e\uff11", "127.0.0.1"},  // full-width
      {"127\u30020\u30020\u30021", "127.0.0.1"},
      {"\u2460\u2461\u2466.1", "127.0.0.1"},  // circled digits
      {"\uff10\uff58\uff17\uff46.1", "127.0.0.1"},
      {"\U0001d7cf\U0001d7d0\U0001d7d5.1", "127.0.0.1"},  // mathematical digits
      {"169.254.169\u00ad.254", "169.254.169.254"},
  });
}

TEST_CASE("IPv6 is read with and without brackets") {
  check_addresses({
      {"::1", "::1"},
      {"[::1]", "::1"},
      {"[2001:DB8::1]", "2001:db8::1"},
      {"[::ffff:127.0.0.1]", "127.0.0.1"},
      {"::ffff:7f00:1", "127.0.0.1"},
      {"0:0:0:0:0:0:0:1", "::1"},
  });
}

TEST_CASE("what ends in a number but is no address is refused, never passed on as a name") {
  check_refused({"256.1.1.1",
                 "1.2.3.256",
                 "1.2.3.4.5",
                 "127.0.0.1.5",
                 "4294967296",
                 "0x100000000",
                 "040000000000",
                 "1.16777216",
                 "1.2.65536",
                 "08",
                 "08.1.1.1",
                 "1.09",
                 "0x",
                 "0x.1",
                 "1.0x",
                 "foo.0x7f",
                 "foo.1",
                 "example.123",
                 "a.0",
                 "example.com.1",
                 "0x7g.1",
                 "99999999999999999999999",
                 "0xffffffffffffffffff",
                 "1..1",
                 ".1",
                 "1.2.3.4..",

                 "example.\uff11"});
}

TEST_CASE("names with octets that some reader cuts at or skips are refused") {
  check_refused({"",
                 ".",
                 "..",
                 "a..b",
                 ".a",
                 "a..",
                 "example.com..",
                 " example.com",
                 "example.com ",
                 "exa mple.com",
                 "example.com\0"sv,
                 "example.com\0.evil.example"sv,
                 "\0"sv,
                 "example.com\t",
                 "example.com\r\n",
                 "example.com\x7f",
                 "example.com\x01",
                 "a%2ecom",
                 "%65xample.com",
                 "example.com%00",
                 "example.com/",
                 "/example.com",
                 "a\\b",
                 "a@b",
                 "user:pw@example.com",
                 "a#b",
                 "a?b",
                 "a,b",
                 "a*b",
                 "*.example.com",
                 "*",
                 "a'b",
                 "a\"b",
                 "a;b",
                 "a&b",
                 "a=b",
                 "a+b",
                 "a!b",
                 "a$b",
                 "a(b",
                 "a<b",
                 "a[b",
                 "a]b",
                 "a|b",
                 "a~b",
                 "a`b",
                 "a{b}",
                 "a^b",
                 "ev\uff0fil.com",
                 "evil\uff20x.com",
                 "ev\uff05il.com",
                 "a\u00a0b.com",
                 "a\u2028b.com",
                 "\u202ecom.example",
                 "\xff.com",
                 "\xc0\xae.com",
                 "a\xc3",
                 "xn--",
                 "xn--a.example",
                 "xn--0.example",
                 "xn--example-.com",
                 "xn--127-.0.0.1",
                 "\u05d0a.example"});
}

TEST_CASE("labels and names that are too long are refused") {
  const std::string label63(63, 'a');
  const std::string name253 = label63 + "." + label63 + "." + label63 + "." + std::string(61, 'b');
  REQUIRE(name253.size() == 253);
  CHECK(HostName::parse(label63 + ".com"));
  CHECK(HostName::parse(name253));
  CHECK(HostName::parse(name253 + "."));
  CHECK_FALSE(HostName::parse(label63 + "a.com"));
  CHECK_FALSE(HostName::parse(name253 + "c"));
  CHECK_FALSE(parse_host(std::string(100000, 'a')));
  std::string long_unicode;
  for (int i = 0; i < 200; ++i) long_unicode += "\u00fc";
  CHECK_FALSE(parse_host(long_unicode + ".example"));
}

TEST_CASE("zone ids and broken brackets are refused") {
  check_refused({"[fe80::1%eth0]",
                 "fe80::1%eth0",
                 "fe80::1%251",
                 "[fe80::1%25eth0]",
                 "[::1",
                 "::1]",
                 "[]",
                 "[",
                 "]",
                 "[127.0.0.1]",
                 "[example.com]",
                 "[::1].",
                 "[[::1]]",
                 "::1::",
                 "1:2",
                 "example.com:443",
                 "[v1.fe80]",
                 "::127.1",
                 "::ffff:0x7f.1",
                 ":"});
}

TEST_CASE("an error about a host quotes it escaped and bounded") {
  const Error error = parse_host(std::string("a\r\nb") + std::string(5000, 'x')).error();
  CHECK(error.what.size() < 500);
  CHECK(error.what.find('\r') == std::string::npos);
  CHECK(error.what.find('\n') == std::string::npos);
}

TEST_CASE("ports are plain decimal numbers") {
  CHECK(Port::parse("1")->value() == 1);
  CHECK(Port::parse("443") == https_port);
  CHECK(Port::parse("65535")->value() == 65535);
  for (std::string_view row :
       {""sv, "0"sv, "00"sv, "0443"sv, "65536"sv, "+443"sv, "-1"sv, " 443"sv, "443 "sv, "0x1bb"sv,
        "443\0"sv, "4 43"sv, "99999999999999"sv, "44e1"sv, "\xef\xbc\x94"sv}) {
    INFO(row);
    CHECK_FALSE(Port::parse(row));
  }
}

TEST_CASE("targets are host and port") {
  CHECK(parse_host_port("Example.com.:443")->to_string() == "example.com:443");
  CHECK(parse_host_port("127.1:80")->to_string() == "127.0.0.1:80");
  CHECK(parse_host_port("[::1]:443")->to_string() == "[::1]:443");
  CHECK(parse_host_port("example.com", https_port)->to_string() == "example.com:443");
  CHECK(parse_host_port("[::1]", https_port)->to_string() == "[::1]:443");
  CHECK(parse_host_port("::1", Port(53))->to_string() == "[::1]:53");
  CHECK(parse_host_port("127.0.0.1:8053", Port(53))->to_string() == "127.0.0.1:8053");
}

TEST_CASE("targets without a readable host and port are refused") {
  for (std::string_view row : {"example.com"sv,
                               ""sv,
                               ":"sv,
                               ":443"sv,
                               "example.com:"sv,
                               "example.com:0"sv,
                               "example.com:http"sv,
                               "a:b:443"sv,
                               "::1:443"sv,
                               "::1"sv,
                               "[::1]443"sv,
                               "[::1]:"sv,
                               "[::1]:443:443"sv,
                               "[::1"sv,
                               "user@example.com:443"sv,
                               "user:pw@example.com:443"sv,
                               "https://example.com:443"sv,
                               "example.com:443/path"sv,
                               "example.com:443 "sv,
                               "example.com :443"sv,
                               "example.com:443\0"sv,
                               "[fe80::1%eth0]:443"sv,
                               "example.com\0:443"sv,
                               "example.com:443:443"sv}) {
    INFO(row);
    CHECK_FALSE(parse_host_port(row));
  }
  CHECK_FALSE(parse_host_port("example.com:", https_port));
  CHECK_FALSE(parse_host_port("[::1]x", https_port));
}

TEST_CASE("a host is equal to itself only") {
  CHECK(*parse_host("EXAMPLE.com") == *parse_host("example.com."));
  CHECK_FALSE(*parse_host("example.com") == *parse_host("example.org"));
  CHECK(*parse_host("0x7f.1") == *parse_host("127.0.0.1"));
  CHECK(*parse_host("127.0.0.1") == *parse_host("::ffff:127.0.0.1"));
  CHECK_FALSE(*parse_host("127.0.0.1") == *parse_host("64:ff9b::127.0.0.1"));
}
