// What libraries do with a proxy: WebSockets, Node's http, Python's urllib and requests.

#include <fmt/format.h>

#include "tests/e2e/clients.hpp"
#include "tests/support/checkout.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

void check_websocket(const std::string& way) {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  const Finished ended =
      python(*stage, "websocket.py",
             {proxy.authority(), proxy.token(), "example.com", way, stage->ca_file()});
  INFO(ended.out << ended.err << proxy.process().err());
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out,
             Contains("HTTP/1.1 101") && Contains("accept True") && Contains("(1, b'early')"));
  CHECK_THAT(ended.out, Contains("(8, b'\\x03\\xe8')\nend b''"));
  REQUIRE(stage->requests().size() == 1);
  check_nothing_of_the_proxy_arrived(*stage, proxy);
  // An upgraded connection ends with its bytes counted, in both directions.
  CHECK(eventually([&] { return stage->audit().size() >= 2; }));
  const nlohmann::json end = stage->audit().back();
  CHECK(end["kind"] == "end");
  CHECK(end["bytes_to_upstream"] > 1'100'000);
  CHECK(end["bytes_to_client"] > 1'100'000);
}

TEST_CASE("a WebSocket is upgraded through plain HTTP and echoes frames of every size") {
  check_websocket("forward");
}

TEST_CASE("a WebSocket in a tunnel echoes frames of every size") {
  check_websocket("tunnel");
}

TEST_CASE("an upgrade to a host that no rule allows is refused") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  const Finished ended =
      python(*stage, "websocket.py",
             {proxy.authority(), proxy.token(), "evil.example", "forward", stage->ca_file()});
  CHECK_THAT(ended.out, Contains("403") && !Contains("101"));
  CHECK(stage->requests().empty());
}

TEST_CASE("Node speaks through a standalone proxy in the clear, in chunks and through a tunnel") {
  const auto stage = Stage::make();
  if (!stage || !have("node")) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  Command command{{"node", source_dir() + "/tests/e2e/data/node_http.js",
                   proxy.url(), stage->ca_file()},
                  plain_environment(stage->home()),
                  stage->project(),
                  {},
                  ""};
  for (const char* name : {"HTTP_PROXY", "HTTPS_PROXY"}) command.env[name] = proxy.url();
  command.env["NODE_USE_ENV_PROXY"] = "1";
  command.env["NODE_EXTRA_CA_CERTS"] = stage->ca_file();
  const Finished ended = run(command);
  INFO(ended.out << ended.err);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out, Contains("forward 200 hello") &&
                            Contains("upload 200 {\"bytes\": 140000") &&
                            Contains("tunnel 200 hello"));
  // Nodes before 22.21 have no fetch that goes through a proxy.
  CHECK_THAT(ended.out, Contains("fetch hello") || Contains("fetch cannot"));
  check_nothing_of_the_proxy_arrived(*stage, proxy);
}

TEST_CASE("Python's urllib and requests speak through a standalone proxy by the variables alone") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  const Finished made = shell(*stage, "/usr/bin/python3 -m venv v", stage->project());
  REQUIRE(made.code == 0);
  Command command{{"v/bin/python", source_dir() + "/tests/e2e/data/python_http.py"},
                  plain_environment(stage->home()),
                  stage->project(),
                  {},
                  ""};
  for (const char* name : {"http_proxy", "https_proxy"}) command.env[name] = proxy.url();
  for (const char* name : {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"})
    command.env[name] = stage->ca_file();
  const Finished ended = run(command);
  INFO(ended.out << ended.err);
  CHECK(ended.code == 0);
  const std::string each =
      "urllib 200 b'hello\\n'\nurllib upload True\nrequests one two three\nrequests upload 100000\n"
      "requests again 304 1048576 1048576\n";
  CHECK(ended.out == each + "refused 403\n" + each + "refused True\n");
  check_nothing_of_the_proxy_arrived(*stage, proxy);
}

}  // namespace
}  // namespace nono::testing
