#include "config/base/address.hpp"

#include <catch2/catch.hpp>

using namespace nono;

namespace {

IpAddress ip(std::string_view text) {
  const Result<IpAddress> address = IpAddress::parse(text);
  INFO(text);
  REQUIRE(address);
  return *address;
}

Cidr cidr(std::string_view text) {
  const Result<Cidr> range = Cidr::parse(text);
  INFO(text);
  REQUIRE(range);
  return *range;
}

}  // namespace

TEST_CASE("addresses print in their canonical form") {
  struct Row {
    const char* text;
    const char* canonical;
  };
  const Row rows[] = {
      {"1.2.3.4", "1.2.3.4"},
      {"0.0.0.0", "0.0.0.0"},
      {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      {"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
      {"::ffff:102:304", "::ffff:1.2.3.4"},
      {"::", "::"},
  };
  for (const Row& row : rows) CHECK(ip(row.text).to_string() == row.canonical);
}

TEST_CASE("only canonical spellings are addresses") {
  using namespace std::string_view_literals;
  const std::string_view rows[] = {
      "",
      "1.2.3",
      "1.2.3.4.",
      "01.2.3.4",
      "0x7f.0.0.1",
      "127.1",
      "256.1.1.1",
      "1.2.3.4 ",
      " 1.2.3.4",
      "1.2.3.4\0"sv,
      "1.2.3.4\n",
      "[::1]",
      "::1%lo",
      "fe80::1%1",
      ":",
      ":::",
      "1::2::3",
      "::g",
      "12345::",
      "1:2:3:4:5:6:7",
      "::1.2.3",
      "1:2:3:4:5:6:7:8:9",
      "::ffff:1.2.3.256",
      "1.2.3.4/32",
      "::ffff:0127.0.0.1",
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
  for (std::string_view row : rows) {
    INFO(row);
    CHECK_FALSE(IpAddress::parse(row));
  }
}

TEST_CASE("unmapped gives the IPv4 address inside a mapped one and leaves others alone") {
  CHECK(ip("::ffff:10.0.0.1").unmapped() == ip("10.0.0.1"));
  CHECK(ip("::10.0.0.1").unmapped() == ip("::10.0.0.1"));
  CHECK(ip("64:ff9b::10.0.0.1").unmapped() == ip("64:ff9b::10.0.0.1"));
  CHECK(ip("10.0.0.1").unmapped() == ip("10.0.0.1"));
}

TEST_CASE("an IPv4 address never equals an IPv6 address with the same octets") {
  CHECK(ip("1.2.3.4") != ip("102:304::"));
  CHECK(ip("0.0.0.0") != ip("::"));
}

TEST_CASE("ranges contain what their prefix says") {
  struct Row {
    const char* range;
    const char* address;
    bool contained;
  };
  const Row rows[] = {
      {"10.0.0.0/8", "10.255.255.255", true},
      {"10.0.0.0/8", "11.0.0.0", false},
      {"10.0.0.0/8", "::ffff:10.1.2.3", true},
      {"10.0.0.0/8", "::10.1.2.3", false},
      {"10.0.0.0/8", "64:ff9b::10.1.2.3", false},
      {"10.0.0.0/8", "2002:a01:203::", false},
      {"10.0.0.0/8", "a00::", false},
      {"192.168.0.128/25", "192.168.0.127", false},
      {"192.168.0.128/25", "192.168.0.128", true},
      {"1.2.3.4", "1.2.3.4", true},
      {"1.2.3.4", "1.2.3.5", false},
      {"0.0.0.0/0", "255.255.255.255", true},
      {"0.0.0.0/0", "2001:db8::1", false},
      {"fd00::/8", "fdff::1", true},
      {"fd00::/8", "fc00::1", false},
      {"::/0", "1.2.3.4", false},
      {"::ffff:10.0.0.0/104", "10.255.0.1", true},
      {"::ffff:10.0.0.0/104", "11.0.0.1", false},
      {"::ffff:10.0.0.0/104", "::ffff:10.255.0.1", true},
      {"::ffff:1.2.3.4", "1.2.3.4", true},
      {"::1", "::1", true},
      {"::1", "::2", false},
      {"2001:db8::/33", "2001:db8:7fff::", true},
      {"2001:db8::/33", "2001:db8:8000::", false},
  };
  for (const Row& row : rows) {
    INFO(row.range << " and " << row.address);
    CHECK(cidr(row.range).contains(ip(row.address)) == row.contained);
  }
}

TEST_CASE("a range with a wrong prefix length or host bits is refused") {
  for (const char* row : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8x",
                          "/8", "10.0.0.1/8", "fd00::1/8", "::/129", "10.0.0.0/8/8", "10/8",
                          "[::]/0", "10.0.0.0/ 8", "10.0.0.0/99999999999999999999"}) {
    INFO(row);
    CHECK_FALSE(Cidr::parse(row));
  }
  CHECK(Cidr::parse("10.1.2.3/8").error().fix == "write 10.0.0.0/8");
}

TEST_CASE("ranges print as they parse") {
  CHECK(cidr("10.0.0.0/8").to_string() == "10.0.0.0/8");
  CHECK(cidr("1.2.3.4/32").to_string() == "1.2.3.4");
  CHECK(cidr("fd00::/8").to_string() == "fd00::/8");
}

TEST_CASE("addresses fall into the classes of the special-purpose registries") {
  struct Row {
    const char* address;
    AddressClass expected;
  };
  const Row rows[] = {
      {"8.8.8.8", AddressClass::public_internet},
      {"9.255.255.255", AddressClass::public_internet},
      {"172.15.255.255", AddressClass::public_internet},
      {"172.32.0.0", AddressClass::public_internet},
      {"100.63.255.255", AddressClass::public_internet},
      {"100.128.0.0", AddressClass::public_internet},
      {"168.63.129.15", AddressClass::public_internet},
      {"198.17.255.255", AddressClass::public_internet},
      {"223.255.255.255", AddressClass::public_internet},
      {"2606:4700::1111", AddressClass::public_internet},
      {"10.0.0.1", AddressClass::private_use},
      {"172.16.0.0", AddressClass::private_use},
      {"172.31.255.255", AddressClass::private_use},
      {"192.168.1.1", AddressClass::private_use},
      {"fc00::1", AddressClass::private_use},
      {"fdff::1", AddressClass::private_use},
      {"fec0::1", AddressClass::private_use},
      {"127.0.0.1", AddressClass::loopback},
      {"127.255.255.255", AddressClass::loopback},
      {"::1", AddressClass::loopback},
      {"0.0.0.0", AddressClass::unspecified},
      {"0.1.2.3", AddressClass::unspecified},
      {"::", AddressClass::unspecified},
      {"100.64.0.1", AddressClass::cgnat},
      {"100.127.255.255", AddressClass::cgnat},
      {"169.254.0.1", AddressClass::link_local},
      {"fe80::1", AddressClass::link_local},
      {"febf::1", AddressClass::link_local},
      {"224.0.0.1", AddressClass::multicast},
      {"239.255.255.255", AddressClass::multicast},
      {"ff02::1", AddressClass::multicast},
      {"240.0.0.1", AddressClass::reserved},
      {"255.255.255.255", AddressClass::reserved},
      {"192.0.2.1", AddressClass::reserved},
      {"198.51.100.1", AddressClass::reserved},
      {"203.0.113.1", AddressClass::reserved},
      {"198.18.0.1", AddressClass::reserved},
      {"198.19.255.255", AddressClass::reserved},
      {"192.0.0.1", AddressClass::reserved},
      {"192.88.99.1", AddressClass::reserved},
      {"2001:db8::1", AddressClass::reserved},
      {"3fff:fff::1", AddressClass::reserved},
      {"2001:2::1", AddressClass::reserved},
      {"2001:10::1", AddressClass::reserved},
      {"100::1", AddressClass::reserved},
      {"5f00::1", AddressClass::reserved},
      {"4000::1", AddressClass::reserved},
  };
  for (const Row& row : rows) {
    INFO(row.address);
    CHECK(to_string(classify(ip(row.address))) == to_string(row.expected));
  }
}

TEST_CASE("every cloud's metadata address is metadata, however it is embedded") {
  for (const char* row : {"169.254.169.254",
                          "169.254.170.2",
                          "169.254.170.23",
                          "169.254.169.253",
                          "100.100.100.200",
                          "168.63.129.16",
                          "192.0.0.192",
                          "fd00:ec2::254",
                          "fd00:ec2::23",
                          "fd20:ce::254",
                          "fd00:c1::a9fe:a9fe",
                          "fd00:42::42",
                          "fd00:a9fe:a9fe::1",
                          "::ffff:169.254.169.254",
                          "::ffff:100.100.100.200",
                          "::169.254.169.254",
                          "::ffff:0:169.254.169.254",
                          "64:ff9b::169.254.169.254",
                          "64:ff9b:1::169.254.169.254",
                          "64:ff9b:1:a9fe:a9:fe00::",
                          "64:ff9b:1:ffa9:fe:a9fe::",
                          "64:ff9b:1:ffff:a9:fea9:fe00::",
                          "2002:a9fe:a9fe::1",
                          "2001:0:a9fe:a9fe::",
                          "2001:0:808:808:0:0:5601:5601",
                          "2606:4700::5efe:169.254.169.254",
                          "2606:4700::200:5efe:169.254.169.254",
                          "fd12::5efe:168.63.129.16"}) {
    INFO(row);
    CHECK(classify(ip(row)) == AddressClass::metadata);
    CHECK(never_allowed(classify(ip(row))));
  }
}

TEST_CASE("the IPv4 addresses inside of an IPv6 address are read from every embedding") {
  const auto inside = [](const char* address) {
    std::string text;
    for (const IpAddress& v4 : embedded_v4(ip(address))) text += v4.to_string() + ' ';
    return text;
  };
  CHECK(inside("::ffff:1.2.3.4") == "1.2.3.4 ");
  CHECK(inside("64:ff9b::1.2.3.4") == "1.2.3.4 ");
  CHECK(inside("64:ff9b:1:102:3:400::") == "0.0.0.0 1.2.3.4 2.3.4.0 3.4.0.0 ");
  CHECK(inside("2002:102:304::1") == "1.2.3.4 ");
  CHECK(inside("2001:0:102:304:0:0:f7f7:f7f7") == "8.8.8.8 1.2.3.4 ");
  CHECK(inside("::1.2.3.4") == "1.2.3.4 ");
  CHECK(inside("2606:4700::5efe:1.2.3.4") == "1.2.3.4 ");
  for (const char* none : {"1.2.3.4", "::1", "::", "2606:4700::102:304", "64:ff9b:2::1.2.3.4"}) {
    CHECK(inside(none).empty());
  }
}

TEST_CASE("an address that embeds IPv4 takes the class of what is inside") {
  struct Row {
    const char* address;
    AddressClass expected;
  };
  const Row rows[] = {
      {"::ffff:127.0.0.1", AddressClass::loopback},
      {"::ffff:10.0.0.1", AddressClass::private_use},
      {"::ffff:169.254.1.1", AddressClass::link_local},
      {"::ffff:8.8.8.8", AddressClass::public_internet},
      {"::ffff:0.0.0.0", AddressClass::unspecified},
      {"64:ff9b::127.0.0.1", AddressClass::loopback},
      {"64:ff9b::192.168.0.1", AddressClass::private_use},
      {"64:ff9b::8.8.8.8", AddressClass::public_internet},
      {"64:ff9b:1::8.8.8.8", AddressClass::private_use},
      {"64:ff9b:1::127.0.0.1", AddressClass::loopback},
      {"2002:7f00:1::", AddressClass::loopback},
      {"2002:c0a8:101::1", AddressClass::private_use},
      {"2002:808:808::1", AddressClass::public_internet},
      // Teredo's client is written with every bit turned: f5ff:fffe is 10.0.0.1, 80ff:fffe
      // 127.0.0.1.
      {"2001:0:808:808:0:0:f5ff:fffe", AddressClass::private_use},
      {"2001:0:808:808:0:0:80ff:fffe", AddressClass::loopback},
      {"2001:0:808:808:0:0:f7f7:f7f7", AddressClass::public_internet},
      {"2001:0:a00:1:0:0:f7f7:f7f7", AddressClass::private_use},
      {"::127.0.0.1", AddressClass::loopback},
      {"::8.8.8.8", AddressClass::reserved},
      {"::ffff:0:10.0.0.1", AddressClass::private_use},
      {"2606:4700::5efe:10.0.0.1", AddressClass::private_use},
      {"2606:4700::5efe:8.8.8.8", AddressClass::public_internet},
  };
  for (const Row& row : rows) {
    INFO(row.address);
    CHECK(to_string(classify(ip(row.address))) == to_string(row.expected));
  }
}

TEST_CASE("only metadata and link-local are beyond every flag") {
  CHECK(never_allowed(AddressClass::metadata));
  CHECK(never_allowed(AddressClass::link_local));
  for (AddressClass other :
       {AddressClass::public_internet, AddressClass::loopback, AddressClass::private_use,
        AddressClass::cgnat, AddressClass::multicast, AddressClass::unspecified,
        AddressClass::reserved}) {
    CHECK_FALSE(never_allowed(other));
  }
}
