#include "proxy/http/lexical.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace nono::http;

TEST_CASE("a control character is seen wherever in a value it stands") {
  for (std::size_t size = 1; size <= 40; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      CAPTURE(size, at);
      std::string value(size, '\xff');
      for (const char control : {'\x01', '\x08', '\x0b', '\x1f', '\x7f'}) {
        value[at] = control;
        CHECK_FALSE(lexical::is_text(value));
      }
      for (const char fine : {'\t', ' ', '\x7e', '\x80', '\x9f'}) {
        value[at] = fine;
        CHECK(lexical::is_text(value));
      }
    }
  }
}
