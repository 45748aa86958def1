// curl with the options that change how it speaks to a proxy, and what its origin received.

#include <fmt/format.h>
#include <set>

#include "tests/e2e/clients.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

// SHA-256 of 300,000 times 'x', as the origin records it.
std::string sha256_of(const Stage& stage, const std::string& file) {
  return run({{"sha256sum", file}, plain_environment(stage.home()), stage.project(), {}, ""})
      .out.substr(0, 64);
}

TEST_CASE("curl: a tunnel to a plain port carries plain HTTP for the same host") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  const Finished through =
      curl(*stage, proxy.url(),
           {"--proxytunnel", "http://example.com/hello", "http://example.com/chunked"});
  INFO(through.err);
  CHECK(through.out == "hello\none two three");
  CHECK(stage->requests().size() == 2);
  // Another name inside: refused, and nothing arrives.
  const Finished other = curl(*stage, proxy.url(),
                              {"--proxytunnel", "-o", "/dev/null", "-w", "%{http_code}", "-H",
                               "Host: evil.example", "http://example.com/hello"});
  CHECK_THAT(other.out, !Contains("200"));
  CHECK(stage->requests().size() == 2);
  check_nothing_of_the_proxy_arrived(*stage, proxy);
}

TEST_CASE("curl: HTTP/1.0 clients get answers that they can read") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string file = stage->project_file("body", std::string(100'000, 'y'));
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  CHECK(curl(*stage, proxy.url(), {"-0", "http://example.com/hello"}).out == "hello\n");
  // No chunks to a client that knows none.
  const Finished chunked = curl(*stage, proxy.url(), {"-0", "-i", "http://example.com/chunked"});
  CHECK_THAT(chunked.out, Contains("\r\n\r\none two three") && !Contains("Transfer-Encoding"));
  CHECK(curl(*stage, proxy.url(), {"-0", "http://example.com/until-close"}).out == "until the end");
  const Finished up =
      curl(*stage, proxy.url(), {"-0", "--data-binary", "@" + file, "http://example.com/upload"});
  CHECK_THAT(up.out, Contains(sha256_of(*stage, file)));
  CHECK(stage->requests().size() == 4);
}

TEST_CASE("curl: bodies from stdin go up in chunks and arrive whole") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string body(300'000, 'z');
  const std::string digest = sha256_of(*stage, stage->project_file("body", body));
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  const std::vector<std::vector<std::string>> ways = {
      {"--data-binary", "@-", "-H", "Transfer-Encoding: chunked"},
      {"--data-binary", "@-", "-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue"},
      {"-T", "-"},
      {"-T", "-", "-H", "Expect:"}};
  for (const std::vector<std::string>& way : ways) {
    for (const char* scheme : {"http", "https"}) {
      std::vector<std::string> arguments = way;
      arguments.push_back(fmt::format("{}://example.com/upload", scheme));
      const Finished up = curl(*stage, proxy.url(), arguments, body);
      INFO(fmt::format("{}", fmt::join(arguments, " ")) << up.err);
      CHECK_THAT(up.out, Contains(digest));
    }
  }
  for (const nlohmann::json& request : stage->requests()) {
    CHECK(request["body_bytes"] == 300'000);
    CHECK(request["headers"].value("transfer-encoding", "") == "chunked");
    CHECK_FALSE(request["headers"].contains("content-length"));
  }
  CHECK(stage->requests().size() == 2 * ways.size());
}

TEST_CASE("curl: ranges, HEAD and compressed answers pass as they are") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->dir().write("root/alphabet", "abcdefghijklmnopqrstuvwxyz");
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  const std::string url = "http://example.com/files/alphabet";
  CHECK(curl(*stage, proxy.url(), {"-r", "2-5", url}).out == "cdef");
  CHECK_THAT(curl(*stage, proxy.url(), {"-i", "-r", "2-5", url}).out,
             Contains("206 Partial Content") && Contains("Content-Range: bytes 2-5/26"));
  // A HEAD on a kept connection: the length is told, no body follows, the next answer is read
  // right.
  const Finished head =
      curl(*stage, proxy.url(),
           {"-I", url, "--next", "--cacert", stage->ca_file(), "-x", proxy.url(), "-sS", url});
  CHECK_THAT(head.out, Contains("Content-Length: 26") &&
                           Catch::Matchers::EndsWith("\r\n\r\nabcdefghijklmnopqrstuvwxyz"));
  const Finished packed =
      curl(*stage, proxy.url(),
           {"--compressed", "-H", "Authorization: a b", "http://example.com/v1/echo-gzip"});
  CHECK(packed.out == "a b");
  CHECK(stage->requests().back()["headers"].value("accept-encoding", "") != "");
}

TEST_CASE("curl: trailers and chunk extensions end at the proxy and the connection lives on") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  const Finished twice = curl(
      *stage, proxy.url(),
      {"-i", "-w", "%{num_connects}", "http://example.com/trailers", "http://example.com/hello"});
  INFO(twice.out);
  CHECK_THAT(twice.out, Contains("\r\n\r\nhello1HTTP/1.1 200") && Contains("hello\n0"));
  CHECK_THAT(twice.out, !Contains("X-Checksum: 1234"));
}

TEST_CASE("curl: a hundred transfers at once all arrive, in the clear and through tunnels") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com", "--threads", "2"});
  for (const char* scheme : {"http", "https"}) {
    const Finished all = curl(
        *stage, proxy.url(),
        {"--parallel", "--parallel-max", "100", "--parallel-immediate", "-o", "/dev/null", "-w",
         "%{http_code}\\n", fmt::format("{}://example.com/hello?{}-[1-100]", scheme, scheme)});
    INFO(all.err);
    CHECK(all.code == 0);
    std::string expected;
    for (int i = 0; i < 100; ++i) expected += "200\n";
    CHECK(all.out == expected);
  }
  std::set<std::string> paths;
  for (const nlohmann::json& request : stage->requests())
    paths.insert(request["path"].get<std::string>());
  CHECK(paths.size() == 200);
  check_nothing_of_the_proxy_arrived(*stage, proxy);
}

TEST_CASE(
    "curl: user and password as options are the token; one connection carries many requests") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  const Finished named = curl(
      *stage, proxy.url_without_token(),
      {"--proxy-user", "nono:" + proxy.token(), "-w", "%{num_connects}", "http://example.com/hello",
       "http://example.com/204", "http://example.com/304", "http://example.com/hello"});
  INFO(named.err);
  CHECK(named.out == "hello\n100hello\n0");
  const Finished wrong = curl(*stage, proxy.url_without_token(),
                              {"--proxy-user", "nono:guess", "-o", "/dev/null", "-w",
                               "%{http_code}", "http://example.com/hello"});
  CHECK(wrong.out == "407");
  // Asked first, as curl does with --proxy-anyauth, it says how.
  const Finished asked = curl(
      *stage, proxy.url_without_token(),
      {"--proxy-anyauth", "--proxy-user", "nono:" + proxy.token(), "http://example.com/hello"});
  CHECK(asked.out == "hello\n");
  CHECK(stage->requests().size() == 5);
  check_nothing_of_the_proxy_arrived(*stage, proxy);
}

TEST_CASE("curl: an origin and a proxy on IPv6") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->dir().write("root/six", "over IPv6\n");
  Process origin({{"/usr/bin/python3", "-u", "-m", "http.server", "--bind", "::1", "--directory",
                   stage->root(), "0"},
                  plain_environment(stage->home()),
                  stage->project(),
                  {},
                  ""});
  if (!origin.wait_for("Serving HTTP on ::1 port ")) {
    std::puts("skipped by name: IPv6 on loopback");
    return;
  }
  const std::string said = origin.out();
  const std::string before = "port ";
  const int port = std::stoi(said.substr(said.find(before) + before.size()));
  Proxy proxy(*stage, {"--allow-domain", fmt::format("[::1]:{}", port), "--listen", "[::1]:0"});
  REQUIRE(proxy.process().wait_for("listening on [::1]:"));
  const std::string told = proxy.process().out() + proxy.process().err();
  const std::string place = "listening on [::1]:";
  const int six = std::stoi(told.substr(told.find(place) + place.size()));
  const std::string url = fmt::format("http://[::1]:{}/six", port);
  const std::string by_six = fmt::format("http://nono:{}@[::1]:{}", proxy.token(), six);
  for (const std::string& way : {proxy.url(), by_six}) {
    CHECK(curl(*stage, way, {"-g", url}).out == "over IPv6\n");
    CHECK(curl(*stage, way, {"-g", "--proxytunnel", url}).out == "over IPv6\n");
    CHECK(curl(*stage, way,
               {"-g", "-o", "/dev/null", "-w", "%{http_code}",
                fmt::format("http://[::1]:{}/", port + 1)})
              .out == "403");
  }
  CHECK(eventually(
      [&] { return origin.err().find("\"GET /six HTTP/1.1\" 200") != std::string::npos; }));
}

TEST_CASE("curl: what it asks beyond plain HTTP/1.1 is answered in HTTP/1.1") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  // An upgrade to HTTP/2 in the clear is not passed on.
  const Finished h2c =
      curl(*stage, proxy.url(), {"--http2", "-w", "%{http_version}", "http://example.com/hello"});
  CHECK(h2c.out == "hello\n1.1");
  CHECK_FALSE(stage->requests().back()["headers"].contains("upgrade"));
  CHECK_FALSE(stage->requests().back()["headers"].contains("http2-settings"));
  // Fields that Connection names stay here; dots in a path are resolved before it is judged.
  curl(*stage, proxy.url(),
       {"-H", "Connection: X-Mine", "-H", "X-Mine: 1", "-H", "X-Other: 2",
        "http://example.com/hello"});
  CHECK_FALSE(stage->requests().back()["headers"].contains("x-mine"));
  CHECK(stage->requests().back()["headers"].value("x-other", "") == "2");
  // A redirect to a place that no rule names is refused, and never looked up.
  const Finished away =
      curl(*stage, proxy.url(),
           {"-L", "-o", "/dev/null", "-w", "%{http_code}", "http://example.com/redirect"});
  CHECK(away.out == "403");
  CHECK_FALSE(stage->asked_for("evil.example"));
}

}  // namespace
}  // namespace nono::testing
