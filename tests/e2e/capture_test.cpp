// Programs that know of no proxy: an allowed name works, everything else is closed at once.

#include <fmt/format.h>

#include "tests/e2e/clients.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

// curl without any proxy, in the sandbox.
Finished curl_directly(const Stage& stage, const std::vector<std::string>& flags,
                       const std::vector<std::string>& arguments) {
  std::vector<std::string> all = flags;
  all.insert(all.end(),
             {"--", "curl", "--noproxy", "*", "-sS", "--max-time", "20", "--cacert", "ca.pem"});
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run(stage.nono_run(all));
}

// tests/e2e/data/captured.py in the sandbox.
Finished attempts(const Stage& stage, const std::vector<std::string>& flags,
                  const std::vector<std::string>& what) {
  stage.project_data("captured.py");
  std::vector<std::string> all = flags;
  all.insert(all.end(), {"--", "python3", "captured.py"});
  all.insert(all.end(), what.begin(), what.end());
  Finished ended = run(stage.nono_run(all));
  UNSCOPED_INFO(ended.out << ended.err << stage.audit_text());
  return ended;
}

nlohmann::json decision_on(const Stage& stage, const std::string& host, const std::string& way) {
  for (const nlohmann::json& line : stage.audit()) {
    if (line.value("kind", "") == "decision" && line.value("host", "") == host &&
        line.value("way", "") == way) {
      return line;
    }
  }
  return nlohmann::json::object();
}

// Every way of capturing ports.
const std::vector<std::string> all_ways = {"--capture-all-ports=on", "--capture-all-ports=off"};

TEST_CASE("curl that uses no proxy reaches an allowed host over https and http") {
  const auto stage = Stage::make();
  if (!stage) return;
  for (const std::string& way : all_ways) {
    const Finished ended =
        curl_directly(*stage, {"--allow-domain", "example.com", way},
                      {"https://example.com/hello", "http://example.com/hello",
                       "http://example.com/big", "-o", "big", "-w", "%{http_code}\n"});
    INFO(way << ended.err << stage->audit_text());
    CHECK(ended.code == 0);
    CHECK_THAT(ended.out, Contains("hello\n"));
  }
  CHECK(stage->requests().size() == 6);
  CHECK(stage->requests()[0]["sni"] == "example.com");
  const nlohmann::json line = decision_on(*stage, "example.com", "captured");
  CHECK(line.value("decision", "") == "allow");
}

TEST_CASE("a name that no rule allows does not exist, at once, and nobody is asked for it") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = attempts(*stage, {"--allow-domain", "example.com"},
                                  {"name:example.com", "name:evil.example", "name:example.net",
                                   "name:localhost", "get:https://evil.example/"});
  CHECK_THAT(ended.out, Contains("name:example.com -> 198.18."));
  CHECK_THAT(ended.out, Contains("name:evil.example -> Name or service not known\n"));
  CHECK_THAT(ended.out, Contains("name:example.net -> Name or service not known\n"));
  CHECK_THAT(ended.out,
             Contains("name:localhost -> 127.0.0.1") || Contains("name:localhost -> ::1"));
  // Looking a name up asks nobody, an allowed one neither: only a connection does.
  CHECK(stage->questions().find("query") == std::string::npos);
  CHECK(decision_on(*stage, "evil.example", "dns").value("decision", "") == "refuse");
  CHECK_THAT(ended.err, Contains("evil.example  allow it with --allow-domain evil.example"));
}

TEST_CASE("names that a wildcard allows or observe lets pass are captured as well") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished wildcard = attempts(*stage, {"--allow-domain", "*.openai.com"},
                                     {"get:https://api.openai.com/hello", "name:openai.com"});
  CHECK_THAT(wildcard.out, Contains("get:https://api.openai.com/hello -> 200 hello"));
  CHECK_THAT(wildcard.out, Contains("name:openai.com -> Name or service not known"));
  const Finished observed = attempts(*stage, {"--observe"}, {"get:https://example.com/hello"});
  CHECK_THAT(observed.out, Contains("get:https://example.com/hello -> 200 hello"));
  CHECK(decision_on(*stage, "example.com", "captured").value("reason", "") == "observed");
}

TEST_CASE("TLS that names another host than the address stands for is closed") {
  const auto stage = Stage::make();
  if (!stage) return;
  for (const std::string& way : all_ways) {
    const Finished ended = curl_directly(
        *stage, {"--allow-domain", "example.com", "--allow-domain", "huggingface.co", way},
        {"--connect-to", "evil.example:443:example.com:443", "--connect-to",
         "huggingface.co:443:example.com:443", "https://evil.example/hello",
         "https://huggingface.co/hello"});
    INFO(ended.err << stage->audit_text());
    CHECK(ended.code != 0);
    CHECK(ended.out.empty());
    CHECK_THAT(ended.err, Contains("unrecognized name"));
  }
  CHECK(stage->requests().empty());
  CHECK(decision_on(*stage, "example.com", "captured").value("reason", "") == "authority_mismatch");
}

TEST_CASE("HTTP that names another host than the address stands for is answered 421") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended =
      curl_directly(*stage, {"--allow-domain", "example.com", "--allow-domain", "plain.test"},
                    {"-H", "Host: evil.example", "-w", "%{http_code}", "-o", "answer",
                     "http://example.com/hello"});
  CHECK(ended.out == "421");
  CHECK(stage->requests().empty());
}

TEST_CASE("a connection to a mere address is judged by the name that TLS or HTTP gives it") {
  const auto stage = Stage::make();
  if (!stage) return;
  for (const std::string& way : all_ways) {
    const Finished ended = curl_directly(
        *stage, {"--allow-domain", "example.com", way},
        {"--resolve", "example.com:443:192.0.2.7", "--resolve", "example.com:80:[2001:db8::7]",
         "https://example.com/hello", "http://example.com/hello"});
    INFO(ended.err << stage->audit_text());
    CHECK(ended.out == "hello\nhello\n");
    const Finished denied =
        curl_directly(*stage, {"--allow-domain", "example.com", way},
                      {"--resolve", "evil.example:443:192.0.2.7", "https://evil.example/hello"});
    CHECK(denied.code != 0);
    CHECK_THAT(denied.err, Contains("access denied"));
    const Finished page =
        curl_directly(*stage, {"--allow-domain", "example.com", way},
                      {"--resolve", "evil.example:80:192.0.2.7", "http://evil.example/hello"});
    CHECK_THAT(page.out, Contains("allow it with --allow-domain evil.example"));
  }
  CHECK_FALSE(stage->asked_for("evil.example"));
}

TEST_CASE("a connection to an address that no rule names is broken off before any byte") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string reset = " -> Connection reset by peer\n";
  for (const std::string& way : all_ways) {
    const Finished ended = attempts(
        *stage, {"--allow-domain", "example.com", "--allow-domain", "mail.example:2525", way},
        {"read:192.0.2.7:443", "read:192.0.2.7:2525", "read:[2001:db8::7]:443",
         "say:192.0.2.7:80=GET / HTTP/1.0\\r\\n\\r\\n", "say:192.0.2.7:443=nonsense\\n",
         "read:198.18.9.9:443", "read:169.254.169.254:2525"});
    for (const char* what :
         {"read:192.0.2.7:443", "read:192.0.2.7:2525", "read:[2001:db8::7]:443",
          "say:192.0.2.7:80=GET / HTTP/1.0\\r\\n\\r\\n", "say:192.0.2.7:443=nonsense\\n",
          "read:198.18.9.9:443", "read:169.254.169.254:2525"}) {
      CHECK_THAT(ended.out, Contains(what + reset));
    }
    CHECK_THAT(ended.err, Contains("192.0.2.7:443  allow it with --allow-domain 192.0.2.7"));
  }
  CHECK(stage->requests().empty());
}

TEST_CASE("ports that nothing names are refused, and with every port caught broken off") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::vector<std::string> what = {"read:192.0.2.7:8443", "read:example.com:8443",
                                         "read:127.0.0.1:8443", "read:[::1]:8443"};
  const Finished listed =
      attempts(*stage, {"--allow-domain", "example.com", "--capture-all-ports=off"}, what);
  CHECK_THAT(listed.out, Contains("read:192.0.2.7:8443 -> Connection refused\n"));
  CHECK_THAT(listed.out, Contains("read:example.com:8443 -> Connection refused\n"));
  CHECK_THAT(listed.out, Contains("read:127.0.0.1:8443 -> Connection refused\n"));
  const Finished all =
      attempts(*stage, {"--allow-domain", "example.com", "--capture-all-ports"}, what);
  CHECK_THAT(all.out, Contains("read:192.0.2.7:8443 -> Connection reset by peer\n"));
  CHECK_THAT(all.out, Contains("read:example.com:8443 -> Connection reset by peer\n"));
  CHECK_THAT(all.out, Contains("read:127.0.0.1:8443 -> Connection refused\n"));
  CHECK_THAT(all.out, Contains("read:[::1]:8443 -> Connection refused\n"));
  CHECK_THAT(all.err, Contains("--allow-domain example.com:8443"));
}

TEST_CASE("that every port can be caught is found out once, and holds for the runs that follow") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::vector<std::string> what = {"get:https://example.com/hello", "read:192.0.2.7:8443"};
  const std::string file = stage->home() + "/.local/state/nono/backend";
  std::filesystem::remove(file);
  for (int times = 0; times < 3; ++times) {
    const Finished ended = attempts(*stage, {"--allow-domain", "example.com"}, what);
    CHECK_THAT(ended.out, Contains("get:https://example.com/hello -> 200 hello\n"));
    CHECK_THAT(ended.out, Contains("read:192.0.2.7:8443 -> Connection reset by peer\n"));
    CHECK_THAT(read_file(file), Contains("every port is redirected\n"));
  }
  // Nor is it forgotten by one that has other sockets as well, or none of these.
  CHECK(attempts(*stage, {"--allow-domain", "example.com", "--open-port", "9"}, what).code == 0);
  CHECK(attempts(*stage, {"--allow-domain", "example.com", "--capture-all-ports=off"}, what).code ==
        0);
  CHECK_THAT(read_file(file), Contains("every port is redirected\n"));
}

TEST_CASE("datagrams are refused at once, so that QUIC falls back to TCP") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = attempts(*stage, {"--allow-domain", "example.com"},
                                  {"datagram:192.0.2.7:443", "datagram:[2001:db8::7]:443",
                                   "datagram:example.com:443", "datagram:127.0.0.1:443"});
  for (const char* what : {"192.0.2.7", "[2001:db8::7]", "example.com", "127.0.0.1"}) {
    CHECK_THAT(ended.out, Contains(fmt::format("{}:443 -> Connection refused\n", what)));
  }
}

TEST_CASE("a protocol in which the server speaks first works on a port that a rule names") {
  const auto stage = Stage::make();
  if (!stage) return;
  Command server;
  server.argv = {"/usr/bin/python3", source_dir() + "/tests/e2e/data/speaks_first.py",
                 stage->address(), "2525"};
  server.env = plain_environment(stage->home());
  Process greeter(server);
  REQUIRE(greeter.wait_for("greeter ready"));
  for (const std::string& way : all_ways) {
    const Finished ended = attempts(*stage, {"--allow-domain", "mail.example:2525", way},
                                    {"read:mail.example:2525", "say:mail.example:2525=EHLO x\\n"});
    CHECK_THAT(ended.out, Contains("read:mail.example:2525 -> 220 ready when you are\n"));
    CHECK_THAT(ended.out, Contains("say:mail.example:2525=EHLO x\\n -> 220 ready when you are\n"));
  }
  const nlohmann::json line = decision_on(*stage, "mail.example", "captured");
  CHECK(line.value("port", 0) == 2525);
  CHECK(line.value("decision", "") == "allow");
}

TEST_CASE("a host with a key is intercepted, and the phantom replaced, without any proxy setting") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string script =
      "curl --noproxy '*' -sS --max-time 20 -H \"Authorization: Bearer $OPENAI_API_KEY\" "
      "https://api.openai.com/v1/models -o answer -w '%{http_code}\\n'";
  Command command =
      stage->nono_run({"--credential", "openai=env://TEAM_KEY", "--", "sh", "-c", script});
  command.env["TEAM_KEY"] = stage->real_key();
  const Finished ended = run(command);
  INFO(ended.err << stage->audit_text());
  CHECK(ended.out == "200\n");
  REQUIRE(stage->requests().size() == 1);
  CHECK(stage->requests()[0]["headers"]["authorization"] == "Bearer " + stage->real_key());
}

TEST_CASE("endpoint rules hold for captured connections, http too") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(stage->nono_run(
      {"--allow-domain", "https://example.com/hello", "--allow-domain",
       "http://plain.test/files/**", "--", "curl", "--noproxy", "*", "-sS", "--max-time", "20",
       "-o", "answer", "-w", "%{http_code}\n", "https://example.com/hello",
       "https://example.com/big", "http://plain.test/hello"}));
  INFO(ended.out << ended.err << stage->audit_text());
  CHECK_THAT(ended.out, Contains("403\n"));
  for (const nlohmann::json& request : stage->requests()) CHECK(request["path"] == "/hello");
  CHECK(stage->requests().size() == 1);
}

TEST_CASE("the command's own servers work while everything else is captured") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_file("own.py",
                      "import http.server, threading, urllib.request\n"
                      "for address in ('127.0.0.1', '0.0.0.0'):\n"
                      "    s = http.server.ThreadingHTTPServer((address, 8080), "
                      "http.server.SimpleHTTPRequestHandler)\n"
                      "    threading.Thread(target=s.serve_forever, daemon=True).start()\n"
                      "    o = urllib.request.build_opener(urllib.request.ProxyHandler({}))\n"
                      "    print(o.open('http://localhost:8080/own.py', timeout=10).status)\n"
                      "    s.shutdown(); s.server_close()\n");
  const Finished ended = run(stage->nono_run({"--allow-domain", "example.com", "--allow-domain",
                                              "example.com:8080", "--", "python3", "own.py"}));
  INFO(ended.err);
  CHECK(ended.out == "200\n200\n");
}

}  // namespace
}  // namespace nono::testing
