// What clients and machines do wrong: each case gets its answer, and the proxy goes on serving the
// others.

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

struct Served {
  std::unique_ptr<Stage> stage;
  std::unique_ptr<Proxy> proxy;

  std::string send(const std::string& bytes, std::chrono::milliseconds at_most = 20s) const {
    return raw_exchange(stage->address(), proxy->port(), bytes, at_most);
  }
  std::string authorization() const {
    return "Proxy-Authorization: Basic " + base64("nono:" + proxy->token()) + "\r\n";
  }
  std::string connect(const std::string& authority) const {
    return send("CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n" +
                authorization() + "\r\n");
  }
  bool still_serves() const {
    return send(
               "GET http://example.com/hello HTTP/1.1\r\nHost: example.com\r\nConnection: "
               "close\r\n" +
               authorization() + "\r\n")
               .find("\r\n\r\nhello\n") != std::string::npos;
  }
};

std::optional<Served> serve(const std::vector<std::string>& arguments = {"--allow-domain",
                                                                         "example.com"}) {
  Served served;
  served.stage = Stage::make();
  if (!served.stage) return {};
  served.proxy = std::make_unique<Proxy>(*served.stage, arguments);
  return served;
}

// Refused with one of the 4xx, with a sentence, and without a look-up.
void check_connect_refused(const std::string& authority) {
  const auto served = serve();
  if (!served) return;
  const std::string answer = served->connect(authority);
  INFO(answer);
  CHECK_THAT(answer, StartsWith("HTTP/1.1 4"));
  CHECK_THAT(answer, Contains("application/problem+json"));
  CHECK(served->stage->questions().find("query[") == std::string::npos);
  CHECK(served->still_serves());
}

TEST_CASE("CONNECT to the metadata address is refused") {
  check_connect_refused("169.254.169.254:80");
}
TEST_CASE("CONNECT to localhost is refused") {
  check_connect_refused("localhost:80");
}
TEST_CASE("CONNECT to a number that means loopback is refused") {
  check_connect_refused("0x7f000001:80");
}
TEST_CASE("CONNECT to a short spelling of loopback is refused") {
  check_connect_refused("127.1:80");
}
TEST_CASE("CONNECT to an octal spelling of loopback is refused") {
  check_connect_refused("0177.0.0.1:80");
}
TEST_CASE("CONNECT to a mapped loopback address is refused") {
  check_connect_refused("[::ffff:127.0.0.1]:80");
}
TEST_CASE("CONNECT to a name with a NUL is refused") {
  check_connect_refused(std::string("example.com\0.evil.example:443", 29));
}
TEST_CASE("CONNECT to a name with a space is refused") {
  check_connect_refused("example.com evil:443");
}
TEST_CASE("CONNECT without a port is refused") {
  check_connect_refused("example.com");
}
TEST_CASE("CONNECT to a port that no rule names is refused") {
  check_connect_refused("example.com:22");
}
TEST_CASE("CONNECT to a name of endless length is refused") {
  check_connect_refused(std::string(3000, 'a') + ".example.com:443");
}

TEST_CASE("the reason phrase of a refused CONNECT carries reason and remedy") {
  const auto served = serve();
  if (!served) return;
  const std::string answer = served->connect("evil.example:443");
  const std::string line = answer.substr(0, answer.find("\r\n"));
  INFO(answer);
  CHECK_THAT(line, StartsWith("HTTP/1.1 403 ") && Contains("evil.example") &&
                       Contains("--allow-domain evil.example"));
  CHECK(line.size() <= 9 + 4 + 200);
  CHECK_THAT(answer, Contains("Proxy-Status:"));
  const nlohmann::json body =
      nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n") + 4), nullptr, false);
  REQUIRE(body.is_object());
  for (const char* field : {"type", "title", "status", "detail", "host", "port", "reason", "fix"}) {
    CHECK(body.contains(field));
  }
}

TEST_CASE("garbage instead of a request is answered 400") {
  const auto served = serve();
  if (!served) return;
  for (const std::string& bytes :
       {std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11),
        std::string("hello there\r\n\r\n"), std::string("GET\r\n\r\n"),
        std::string("GET / HTTP/9.9\r\n\r\n"), std::string("\0\0\0\0\r\n\r\n", 8)}) {
    const std::string answer = served->send(bytes);
    INFO(answer);
    CHECK((answer.empty() || answer.starts_with("HTTP/1.1 400") ||
           answer.starts_with("HTTP/1.1 505")));
  }
  CHECK(served->still_serves());
}

TEST_CASE("an endless head is cut off") {
  const auto served = serve();
  if (!served) return;
  const std::string head =
      "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n" + served->authorization();
  const std::string one = served->send(head + "X: " + std::string(1'000'000, 'x'));
  CHECK_THAT(one, StartsWith("HTTP/1.1 431"));
  std::string many = head;
  for (int i = 0; i < 5000; ++i) many += fmt::format("X-{}: y\r\n", i);
  CHECK_THAT(served->send(many + "\r\n"), StartsWith("HTTP/1.1 431"));
  CHECK_THAT(
      served->send("GET http://example.com/" + std::string(100'000, 'x') + " HTTP/1.1\r\n\r\n"),
      StartsWith("HTTP/1.1 414"));
  CHECK(served->still_serves());
}

TEST_CASE("a client that sends one byte a second is let go while others are served") {
  const auto served = serve();
  if (!served) return;
  const std::string script =
      "import socket, sys, time\n"
      "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
      "s.settimeout(1)\n"
      "start = time.monotonic()\n"
      "for byte in b'GET http://example.com/' + b'x' * 30:\n"
      "    try:\n"
      "        s.send(bytes([byte]))\n"
      "        print('answer', s.recv(100)[:30])\n"
      "        break\n"
      "    except TimeoutError: continue\n"
      "    except OSError: break\n"
      "print('let go after', int(time.monotonic() - start))\n";
  Process slow({{"/usr/bin/python3", "-c", script, served->stage->address(),
                 std::to_string(served->proxy->port())},
                plain_environment("/"),
                "",
                {},
                ""});
  for (int i = 0; i < 5; ++i) CHECK(served->still_serves());
  const Finished ended = slow.wait(45s);
  INFO(ended.out << ended.err);
  CHECK_FALSE(ended.timed_out);
  CHECK_THAT(ended.out, Contains("let go after 1"));  // 10 to 19 seconds
  CHECK_THAT(ended.out, Contains("408") || !Contains("answer"));
}

TEST_CASE("ambiguous framing is refused") {
  const auto served = serve();
  if (!served) return;
  const std::string head =
      "POST http://example.com/upload HTTP/1.1\r\nHost: example.com\r\n" + served->authorization();
  for (const char* framing : {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                              "Content-Length: 5\r\nContent-Length: 6\r\n",
                              "Content-Length: -1\r\n", "Transfer-Encoding: gzip\r\n",
                              "Host: evil.example\r\n", "X: a\r\n folded\r\n", "X : space\r\n"}) {
    const std::string answer = served->send(head + framing + "\r\n0\r\n\r\n");
    INFO(framing << answer);
    CHECK_THAT(answer, StartsWith("HTTP/1.1 4") || StartsWith("HTTP/1.1 501"));
  }
  CHECK(served->stage->requests().empty());
  CHECK(served->still_serves());
}

TEST_CASE("an authority that disagrees with Host is refused") {
  const auto served = serve();
  if (!served) return;
  const std::string answer = served->send(
      "GET http://example.com/hello HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n" +
      served->authorization() + "\r\n");
  INFO(answer);
  CHECK_THAT(answer, StartsWith("HTTP/1.1 4"));
  CHECK(served->stage->requests().empty());
}

TEST_CASE("a dead upstream is 502 and one that hangs up or talks garbage too") {
  const auto served = serve({"--allow-domain", "example.com:9", "--allow-domain", "example.com"});
  if (!served) return;
  CHECK_THAT(served->connect("example.com:9"), StartsWith("HTTP/1.1 502"));
  for (const char* path : {"hang-up", "garbage"}) {
    const std::string answer = served->send(
        fmt::format("GET http://example.com/{} HTTP/1.1\r\nHost: example.com\r\n{}\r\n", path,
                    served->authorization()));
    INFO(answer);
    CHECK_THAT(answer, StartsWith("HTTP/1.1 502"));
  }
  CHECK(served->still_serves());
}

TEST_CASE("an unreachable DNS server is 502 or 504 and says so") {
  const auto stage = Stage::make();
  if (!stage) return;
  // Nothing listens there: the question is answered by ICMP, at once.
  Command command = stage->nono({"run", "--allow-cwd", "--dns-server", stage->address() + ":5399",
                                 "--allow-private", "127.0.0.0/8", "--allow-domain", "example.com",
                                 "--", "curl", "-sS", "-i", "http://example.com/hello"});
  const Finished ended = run(command);
  INFO(ended.err);
  CHECK_THAT(ended.out, StartsWith("HTTP/1.1 502") || StartsWith("HTTP/1.1 504"));
}

TEST_CASE("a name that does not exist is 502 and says so") {
  const auto served = serve({"--allow-domain", "nowhere.invalid"});
  if (!served) return;
  const std::string answer = served->connect("nowhere.invalid:443");
  INFO(answer);
  CHECK_THAT(answer, StartsWith("HTTP/1.1 502") && Contains("nowhere.invalid"));
}

TEST_CASE("contradicting flags are refused") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(stage->nono(
      {"run", "--block-net", "--allow-domain", "example.com", "--allow-cwd", "--", "true"}));
  CHECK((ended.code == 1 || ended.code == 2));
  CHECK_THAT(ended.err, Contains("--block-net"));
}

TEST_CASE("a rule on a public suffix is refused at the start") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(stage->nono_run({"--allow-domain", "*.co.uk", "--", "true"}));
  CHECK((ended.code == 1 || ended.code == 2));
  CHECK_THAT(ended.err, Contains("co.uk"));
}

}  // namespace
}  // namespace nono::testing
