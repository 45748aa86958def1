// What --upstream-proxy takes, and that no message repeats a password.

#include "config/upstream_proxy.hpp"

#include <catch2/catch.hpp>

namespace {

using namespace nono;
using Catch::Matchers::Contains;

TEST_CASE("no error about an upstream proxy repeats what may be a password") {
  for (const std::string text :
       {"user:secret-word@http://proxy:3128", "http://user:secret-word@proxy:port",
        "socks5://user:secret-word@proxy:1080", "user:secret-word@:3128",
        "http://secret-word@proxy:3128", "http://user:secret-word%zz@proxy:3128"}) {
    INFO(text);
    const auto proxy = parse_upstream_proxy(text, {});
    REQUIRE_FALSE(proxy);
    CHECK_THAT(proxy.error().what, !Contains("secret-word"));
    CHECK_THAT(proxy.error().fix, Contains("HOST:PORT"));
  }
}

TEST_CASE("an upstream proxy of another scheme is named as one") {
  const auto proxy = parse_upstream_proxy("https://proxy:3128", {});
  REQUIRE_FALSE(proxy);
  CHECK_THAT(proxy.error().what, Contains("https:// is not supported"));
}

}  // namespace
