// SOCKS5 on the listeners of the proxy: the same rules and tokens behind another beginning.

#include <arpa/inet.h>

#include "tests/e2e/session_scene.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

constexpr const char* main_host = "http://example.com/hello";

Finished socks(const Stage& stage, const std::string& how, const std::string& proxy,
               std::vector<std::string> more) {
  more.insert(more.begin(), {"curl", "-sS", "--max-time", "20", "--cacert", stage.ca_file(), how,
                             proxy, "--noproxy", ""});
  return run({more, plain_environment(stage.home()), stage.project(), {}, ""});
}

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out += static_cast<char>(value);
  return out;
}

// Greeting that offers the password, and the password.
std::string introduction(const std::string& token) {
  return bytes({5, 1, 2}) + bytes({1, 4}) + "nono" + static_cast<char>(token.size()) + token;
}
const std::string welcome = bytes({5, 2, 1, 0});

std::string connect_to(std::string_view name, std::uint16_t port, int command = 1) {
  return bytes({5, command, 0, 3, static_cast<int>(name.size())}) + std::string(name) +
         bytes({port >> 8, port & 255});
}

// What follows the welcome: the reply's code, or -1 where none came.
int reply_code(const std::string& answer) {
  if (!StartsWith(welcome).match(answer) || answer.size() < welcome.size() + 10) return -1;
  if (answer[welcome.size()] != 5) return -2;
  return static_cast<unsigned char>(answer[welcome.size() + 1]);
}

TEST_CASE("curl goes through SOCKS5 by name, by address it looked up, in clear and in TLS") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com", "--allow-domain", stage->address()});
  const std::string with_token = fmt::format("nono:{}@{}", proxy.token(), proxy.authority());
  CHECK(socks(*stage, "--socks5-hostname", with_token, {main_host}).out == "hello\n");
  CHECK(socks(*stage, "--socks5-hostname", with_token, {"https://example.com/hello"}).out ==
        "hello\n");
  CHECK(socks(*stage, "--socks5", with_token, {"http://" + stage->address() + "/hello"}).out ==
        "hello\n");
  const Finished denied =
      socks(*stage, "--socks5-hostname", with_token, {"http://evil.example/hello"});
  CHECK(denied.code == 97);
  CHECK_THAT(denied.err, Contains("(2)") || Contains("not allowed"));
  CHECK_FALSE(stage->asked_for("evil.example"));
  for (const std::string& wrong :
       {"nono:wrong@" + proxy.authority(), proxy.authority(), "nono:@" + proxy.authority()}) {
    INFO(wrong);
    CHECK(socks(*stage, "--socks5-hostname", wrong, {main_host}).code == 97);
  }
  CHECK_THAT(stage->audit_text(), Contains("socks5") && !Contains(proxy.token()));
}

TEST_CASE("sessions are told apart by the password, and an own listener asks for none") {
  const auto stage = Stage::make();
  if (!stage) return;
  SessionScene scene(*stage, "");
  const nlohmann::json a =
      scene.create("a", {"--allow-domain", "plain.test", "--listen", stage->address() + ":0"});
  const std::string token = a["token"], own = a["listen"][0];
  const auto code = [&](const std::string& proxy, const std::string& url) {
    return socks(*stage, "--socks5-hostname", proxy, {"-o", "/dev/null", url}).code;
  };
  const std::string shared = scene.proxy().authority();
  CHECK(code("x:" + token + "@" + shared, "http://plain.test/hello") == 0);
  CHECK(code("x:" + token + "@" + shared, main_host) == 97);
  CHECK(code("x:" + scene.proxy().token() + "@" + shared, main_host) == 0);
  CHECK(code("x:" + scene.proxy().token() + "@" + shared, "http://plain.test/hello") == 97);
  CHECK(code(own, "http://plain.test/hello") == 0);
  CHECK(code(own, main_host) == 97);
  CHECK(code("x:" + token + "@" + own, "http://plain.test/hello") == 0);
  REQUIRE(scene.session({"revoke", "a"}).code == 0);
  CHECK(code("x:" + token + "@" + shared, "http://plain.test/hello") == 97);
}

TEST_CASE("the bytes of SOCKS5: replies, refusals and what is no SOCKS5") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com", "--allow-domain", stage->address()});
  const std::string hello = introduction(proxy.token());
  const auto send = [&](const std::string& request) {
    return raw_exchange(stage->address(), proxy.port(), request, 5s);
  };
  const std::string get = "GET /hello HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
  // What is sent behind the request before the reply goes upstream first.
  const std::string early = send(hello + connect_to("example.com", 80) + get);
  CHECK(reply_code(early) == 0);
  CHECK_THAT(early, Contains("hello\n"));

  in_addr v4{};
  REQUIRE(::inet_pton(AF_INET, stage->address().c_str(), &v4) == 1);
  const std::string raw(reinterpret_cast<const char*>(&v4), 4);
  const std::string get_address =
      "GET /hello HTTP/1.1\r\nHost: " + stage->address() + "\r\nConnection: close\r\n\r\n";
  const std::string by_address =
      send(hello + bytes({5, 1, 0, 1}) + raw + bytes({0, 80}) + get_address);
  CHECK(reply_code(by_address) == 0);
  CHECK_THAT(by_address, Contains("hello\n"));
  const std::string loopback6 = bytes({5, 1, 0, 4}) + std::string(15, '\0') + bytes({1, 0, 80});
  CHECK(reply_code(send(hello + loopback6)) == 2);
  const std::string metadata = bytes({5, 1, 0, 1, 169, 254, 169, 254, 0, 80});
  CHECK(reply_code(send(hello + metadata)) == 2);
  // An IPv4 address inside an IPv6 one is judged as what it is.
  const std::string wrapped =
      bytes({5, 1, 0, 4}) + std::string(10, '\0') + bytes({255, 255, 169, 254, 169, 254, 0, 80});
  CHECK(reply_code(send(hello + wrapped)) == 2);

  CHECK(reply_code(send(hello + connect_to("evil.example", 80))) == 2);
  CHECK(reply_code(send(hello + connect_to("example.com", 81))) == 2);
  CHECK(reply_code(send(hello + connect_to("example.com", 80, 2))) == 7);
  CHECK(reply_code(send(hello + connect_to("example.com", 80, 3))) == 7);
  CHECK(reply_code(send(hello + connect_to("example.com", 0))) == 8);
  CHECK(reply_code(send(hello + bytes({5, 1, 0, 9, 1, 1, 1, 1, 0, 80}))) == 8);
  using namespace std::string_view_literals;
  for (const std::string_view name :
       {"example.com\0.evil.example"sv, "\0example.com"sv, "example.com\r\n"sv, "exam ple.com"sv,
        ""sv, "example.com/"sv, "nono@example.com"sv, "example.com:80"sv}) {
    const int code = reply_code(send(hello + connect_to(name, 80)));
    INFO(name);
    CHECK(code > 0);
  }

  // No password method, a wrong one, a wrong version of it, version 4.
  CHECK(send(bytes({5, 1, 0}) + connect_to("example.com", 80)) == bytes({5, 255}));
  CHECK(send(introduction(std::string(64, 'x')) + connect_to("example.com", 80)) ==
        bytes({5, 2, 1, 1}));
  CHECK(send(introduction("") + connect_to("example.com", 80)) == bytes({5, 2, 1, 1}));
  CHECK_THAT(send(bytes({4, 1, 0, 80, 1, 1, 1, 1, 0})), !StartsWith(bytes({0, 90})));
  const std::size_t arrived = stage->requests().size();
  CHECK(arrived == 2);
  for (const nlohmann::json& request : stage->requests()) {
    CHECK_THAT(request.dump(), !Contains(proxy.token()));
  }
}

TEST_CASE("SOCKS5 that comes a byte at a time is understood, and half of it is let go") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string config = stage->project_file("nono.yaml", "limits: {head_time_max: 2s}\n");
  Proxy proxy(*stage, {"--config", config, "--allow-domain", "example.com"});
  const std::string all = introduction(proxy.token()) + connect_to("example.com", 80) +
                          "GET /hello HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
  std::string hex;
  for (const char c : all) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  const Finished bytewise = run({{"/usr/bin/python3", "-c",
                                  "import socket,sys,time\n"
                                  "s=socket.create_connection((sys.argv[1],int(sys.argv[2])),20)\n"
                                  "s.setsockopt(socket.IPPROTO_TCP,socket.TCP_NODELAY,1)\n"
                                  "for b in bytes.fromhex(sys.argv[3]):\n"
                                  "  s.sendall(bytes([b])); time.sleep(0.001)\n"
                                  "out=b''\n"
                                  "while True:\n"
                                  "  d=s.recv(4096)\n"
                                  "  if not d: break\n"
                                  "  out+=d\n"
                                  "print(out)\n",
                                  stage->address(), std::to_string(proxy.port()), hex},
                                 plain_environment("/"),
                                 "/",
                                 {},
                                 ""});
  INFO(bytewise.err);
  CHECK_THAT(bytewise.out, Contains("hello\\n"));
  // Whoever stops in the middle is closed by the time that a head may take.
  for (const std::size_t size :
       {std::size_t(1), std::size_t(3), std::size_t(20), std::size_t(80)}) {
    const auto begun = std::chrono::steady_clock::now();
    raw_exchange(stage->address(), proxy.port(), all.substr(0, size), 15s);
    CHECK(std::chrono::steady_clock::now() - begun < 12s);
  }
}

// Runs Python with the proxy's address, port and pid, and further words.
Finished scripted(Proxy& proxy, const Stage& stage, const std::string& script,
                  std::vector<std::string> words) {
  words.insert(words.begin(),
               {"/usr/bin/python3", "-c", script, stage.address(), std::to_string(proxy.port()),
                std::to_string(proxy.process().pid())});
  return run({words, plain_environment("/"), "/", {}, ""});
}

TEST_CASE("who is late with a password has the rules of now, not those of the greeting") {
  const auto stage = Stage::make();
  if (!stage) return;
  const auto rules = [&](const std::string& host) {
    return "reload: cut\nreload_on_change: false\nnetwork: {allow_domain: [" + host + "]}\n";
  };
  const std::string config = stage->project_file("nono.yaml", rules("example.com"));
  Proxy proxy(*stage, {"--config", config, "--no-auth"});
  const Finished done =
      scripted(proxy, *stage,
               "import os,signal,socket,sys,time\n"
               "at=(sys.argv[1],int(sys.argv[2]))\n"
               "request=b'\\5\\1\\0\\3\\x0bexample.com\\0P'\n"
               "def reply(s,start):\n"
               "  s.settimeout(20); s.sendall(start); out=b''\n"
               "  while len(out)<4:\n"
               "    d=s.recv(100)\n"
               "    if not d: break\n"
               "    out+=d\n"
               "  return out\n"
               "late=socket.create_connection(at,20); late.sendall(b'\\5\\1\\2')\n"
               "print(late.recv(2))\n"
               "open(sys.argv[4],'w').write(sys.argv[5])\n"
               "os.kill(int(sys.argv[3]),signal.SIGHUP)\n"
               "for _ in range(200):\n"
               "  new=socket.create_connection(at,20)\n"
               "  now=reply(new,b'\\5\\1\\0'+request); new.close()\n"
               "  if now[3:4]==b'\\2': break\n"
               "  time.sleep(0.05)\n"
               "print('new',now[:4])\n"
               "print('late',reply(late,b'\\1\\1a\\1b'+request)[:4])\n",
               {config, rules("other.example")});
  INFO(done.err);
  CHECK_THAT(done.out, Contains("new b'\\x05\\x00\\x05\\x02'"));
  CHECK_THAT(done.out, Contains("late b'\\x01\\x00\\x05\\x02'"));
}

TEST_CASE("a session that has too many connections is told so, not that its token is wrong") {
  const auto stage = Stage::make();
  if (!stage) return;
  const EchoServer echo(*stage);
  Proxy proxy(*stage, {"--allow-domain", echo.place(), "--allow-domain", "example.com",
                       "--max-connections-per-session", "1"});
  HeldTunnel tunnel(*stage, proxy.authority(), proxy.token(), echo.place());
  REQUIRE(tunnel.opened());
  const std::string answer =
      raw_exchange(stage->address(), proxy.port(),
                   introduction(proxy.token()) + connect_to("example.com", 80), 5s);
  CHECK(reply_code(answer) == 1);
}

TEST_CASE("a key is put into requests to its vendor through SOCKS5 too") {
  const auto stage = Stage::make();
  if (!stage) return;
  SessionScene scene(*stage, "");
  const nlohmann::json a =
      scene.create("a", {"--credential", "openai=env://KEY"}, {{"KEY", stage->real_key()}});
  const std::string phantom = a["variables"]["OPENAI_API_KEY"];
  const std::string ca = a["variables"]["SSL_CERT_FILE"];
  const std::string proxy =
      fmt::format("nono:{}@{}", a["token"].get<std::string>(), scene.proxy().authority());
  const Finished models =
      run({{"curl", "-sS", "--cacert", ca, "--socks5-hostname", proxy, "-H",
            "Authorization: Bearer " + phantom, "https://api.openai.com/v1/models"},
           plain_environment(stage->home()),
           stage->project(),
           {},
           ""});
  INFO(models.err);
  CHECK_THAT(models.out, Contains("model-1"));
  REQUIRE(stage->requests().size() == 1);
  CHECK(stage->requests()[0]["headers"]["authorization"] == "Bearer " + stage->real_key());
}

TEST_CASE("a proxy with --no-socks5 answers SOCKS5 with nothing of the protocol") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com", "--no-socks5"});
  const std::string answer =
      raw_exchange(stage->address(), proxy.port(),
                   introduction(proxy.token()) + connect_to("example.com", 80), 15s);
  CHECK_THAT(answer, !StartsWith(bytes({5})));
  CHECK(socks(*stage, "--socks5-hostname",
              fmt::format("nono:{}@{}", proxy.token(), proxy.authority()), {main_host})
            .code != 0);
  CHECK(curl(*stage, proxy.url(), {main_host}).out == "hello\n");
}

}  // namespace
}  // namespace nono::testing
