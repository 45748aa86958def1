// What is UTF-8, and what of it may be shown.
#include <catch2/catch.hpp>

#include "config/base/encoding.hpp"
#include "config/base/printable.hpp"

using nono::printable;
using nono::utf8_prefix;

TEST_CASE("UTF-8 is taken whole, up to the last character of every length") {
  for (const std::string text :
       {"", "a\n\x7f", "\xc2\x80\xdf\xbf", "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80",
        "\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"}) {
    CHECK(utf8_prefix(text) == text.size());
  }
}

TEST_CASE("what is no UTF-8 is found where it begins") {
  for (const std::string bad : {"\x80", "\xbf", "\xc0\xaf", "\xc1\xbf", "\xc2",
                                "\xc2"
                                "a",
                                "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                                "\xf0\x9f\x94", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
                                "\xe2\x82"
                                "a"}) {
    CHECK(utf8_prefix("ok \xc3\xa9" + bad) == 5);
    CHECK(utf8_prefix(bad + " ok") == 0);
  }
}

TEST_CASE("control characters are shown by number, and everything else as it is") {
  CHECK(printable("a\x1b[2J\nb\r\t\x7f") == "a\\x1b[2J\\x0ab\\x0d\\x09\\x7f");
  CHECK(printable("caf\xc3\xa9 \"'\\") == "caf\xc3\xa9 \"'\\");
  CHECK(printable("").empty());
}
