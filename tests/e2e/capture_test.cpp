// Programs that know of no proxy: an allowed name works, everything else is closed at once.

#include "tests/e2e/clients.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

// Of curl without any proxy, in the sandbox.
Finished curl_directly(const Stage& stage, const std::vector<std::string>& flags,
                       const std::vector<std::string>& arguments) {
  std::vector<std::string> all = flags;
  all.insert(all.end(), {"--", "curl", "--noproxy", "*", "-sS", "--max-time", "20", "--cacert",
                         "ca.pem"});
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run(stage.nono_run(all));
}

TEST_CASE("curl that uses no proxy reaches an allowed host over https") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended =
      curl_directly(*stage, {"--allow-domain", "example.com"}, {"https://example.com/hello"});
  INFO(ended.err << stage->audit_text());
  CHECK(ended.code == 0);
  CHECK(ended.out == "hello\n");
  REQUIRE(stage->requests().size() == 1);
  CHECK(stage->requests()[0]["sni"] == "example.com");
}

}  // namespace
}  // namespace nono::testing
