// Clients that speak TLS to the proxy itself: an HTTPS proxy.

#include <fmt/format.h>
#include <signal.h>

#include "tests/e2e/session_scene.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

// A proxy with the origin's certificate, which holds the stage's address.
class TlsScene {
 public:
  explicit TlsScene(const Stage& stage, std::vector<std::string> more = {}) : stage_(stage) {
    more.insert(more.begin(),
                {"--allow-domain", "example.com", "--tls-cert", stage.dir() / "origin.pem",
                 "--tls-key", stage.dir() / "origin.key"});
    proxy_ = std::make_unique<Proxy>(stage, more);
  }
  std::string url() const { return "https://nono:" + proxy_->token() + "@" + proxy_->authority(); }
  Finished curl(const std::string& proxy, std::vector<std::string> more) const {
    more.insert(more.begin(), {"--proxy-cacert", stage_.ca_file()});
    return nono::testing::curl(stage_, proxy, more);
  }
  Proxy& proxy() { return *proxy_; }

 private:
  const Stage& stage_;
  std::unique_ptr<Proxy> proxy_;
};

TEST_CASE("curl speaks to an HTTPS proxy in clear requests, tunnels and on one connection") {
  const auto stage = Stage::make();
  if (!stage) return;
  TlsScene scene(*stage);
  CHECK(scene.curl(scene.url(), {"http://example.com/hello"}).out == "hello\n");
  CHECK(scene.curl(scene.url(), {"https://example.com/hello"}).out == "hello\n");
  CHECK(scene.curl(scene.url(), {"--proxytunnel", "http://example.com/hello"}).out == "hello\n");
  const Finished kept =
      scene.curl(scene.url(), {"-w", "%{num_connects} ", "http://example.com/hello",
                               "http://example.com/chunked", "http://example.com/hello"});
  INFO(kept.err);
  CHECK(kept.out == "hello\n1 one two three0 hello\n0 ");
  CHECK(scene.curl(scene.url(), {"http://example.com/until-close"}).out == "until the end");
}

TEST_CASE("an HTTPS proxy asks for the token and the rules as any other") {
  const auto stage = Stage::make();
  if (!stage) return;
  TlsScene scene(*stage);
  const auto status = [&](const std::string& proxy, const std::string& url) {
    return scene.curl(proxy, {"-o", "/dev/null", "-w", "%{http_code}", url}).out;
  };
  CHECK(status("https://" + scene.proxy().authority(), "http://example.com/hello") == "407");
  CHECK(status("https://nono:wrong@" + scene.proxy().authority(), "http://example.com/hello") ==
        "407");
  CHECK(status(scene.url(), "http://evil.example/") == "403");
  CHECK(stage->requests().empty());
}

TEST_CASE("who does not trust its certificate, or speaks no TLS to it, gets nowhere") {
  const auto stage = Stage::make();
  if (!stage) return;
  TlsScene scene(*stage);
  const Finished untrusted =
      run({{"curl", "-sS", "--max-time", "20", "-x", scene.url(), "http://example.com/hello"},
           plain_environment(stage->home()),
           stage->project(),
           {},
           ""});
  CHECK(untrusted.code == 60);
  const std::string basic = base64("nono:" + scene.proxy().token());
  const std::string plain = raw_exchange(
      stage->address(), scene.proxy().port(),
      "GET http://example.com/hello HTTP/1.1\r\nHost: example.com\r\nProxy-Authorization: Basic " +
          basic + "\r\n\r\n");
  CHECK_THAT(plain, !Contains("HTTP/1.1 200") && !Contains("hello"));
  const std::string socks = raw_exchange(stage->address(), scene.proxy().port(), "\x05\x01\x02");
  CHECK_THAT(socks, !StartsWith("\x05"));
  CHECK(stage->requests().empty());
  CHECK(scene.curl(scene.url(), {"http://example.com/hello"}).out == "hello\n");
}

TEST_CASE("a handshake that is never finished is let go and holds up nobody") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string config = stage->project_file("nono.yaml", "limits: {tls_time_max: 2s}\n");
  TlsScene scene(*stage, {"--config", config});
  const auto begun = std::chrono::steady_clock::now();
  const std::string half("\x16\x03\x01\x02\x00\x01\x00", 7);
  raw_exchange(stage->address(), scene.proxy().port(), half, 20s);
  raw_exchange(stage->address(), scene.proxy().port(), "", 20s);
  CHECK(std::chrono::steady_clock::now() - begun < 15s);
  CHECK(scene.curl(scene.url(), {"http://example.com/hello"}).out == "hello\n");
  // Nor does one under way keep the proxy from ending.
  Process stuck({{"/usr/bin/python3", "-c",
                  "import socket,sys\ns=socket.create_connection((sys.argv[1],int(sys.argv[2])))\n"
                  "s.sendall(b'\\x16\\x03\\x01')\nprint('there',flush=True)\ns.recv(1)\n",
                  stage->address(), std::to_string(scene.proxy().port())},
                 plain_environment("/"),
                 "/",
                 {},
                 ""});
  REQUIRE(stuck.wait_for("there"));
  scene.proxy().process().signal(SIGTERM);
  const Finished ended = scene.proxy().process().wait(30s);
  CHECK_FALSE(ended.timed_out);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.err, !Contains("Sanitizer"));
}

TEST_CASE("a client over the limit of an HTTPS proxy is told so inside TLS") {
  const auto stage = Stage::make();
  if (!stage) return;
  TlsScene scene(*stage, {"--max-connects-per-second", "1"});
  const std::string url = "http://example.com/hello";
  int over = 0;
  for (int i = 0; i < 5; ++i) {
    const std::string status =
        scene.curl(scene.url(), {"-o", "/dev/null", "-w", "%{http_code}", url}).out;
    CAPTURE(status);
    CHECK((status == "200" || status == "429"));
    if (status == "429") ++over;
  }
  CHECK(over > 0);
}

// Asks for something without a token, and stays when it has been answered and told goodbye.
constexpr const char* lingering_script = R"(
import signal, socket, ssl, sys
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
held = []
for i in range(int(sys.argv[3])):
    raw = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
    s = context.wrap_socket(raw, suppress_ragged_eofs=True)
    s.sendall(b"GET http://x.test/ HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n")
    answer = b""
    while got := s.recv(4096):
        answer += got
    print("%d answered %s" % (i, answer[9:12].decode()), flush=True)
    held.append(s)
signal.pause()
)";

TEST_CASE("who has been answered and told goodbye keeps no place by staying") {
  const auto stage = Stage::make();
  if (!stage) return;
  TlsScene scene(*stage, {"--max-connections", "3"});
  Process lingering({{"/usr/bin/python3", "-c", lingering_script, stage->address(),
                      std::to_string(scene.proxy().port()), "3"},
                     plain_environment("/"),
                     "/",
                     {},
                     ""});
  REQUIRE(lingering.wait_for("2 answered 407"));
  CHECK(
      eventually([&] { return scene.curl(scene.url(), {"http://example.com/hello"}).code == 0; }));
}

TEST_CASE("a handshake that ends after the proxy was told to stop opens nothing") {
  const auto stage = Stage::make();
  if (!stage) return;
  TlsScene scene(*stage, {"--drain-time", "20s"});
  const Finished late = run(
      {{"/usr/bin/python3", "-c",
        "import os,signal,socket,ssl,sys,time\n"
        "s=socket.create_connection((sys.argv[1],int(sys.argv[2])),20)\n"
        "time.sleep(0.3)\n"
        "os.kill(int(sys.argv[3]),signal.SIGTERM); time.sleep(0.5)\n"
        "c=ssl.create_default_context(cafile=sys.argv[4])\n"
        "try:\n"
        "  t=c.wrap_socket(s,server_hostname=sys.argv[1])\n"
        "  t.sendall(b'CONNECT example.com:80 HTTP/1.1\\r\\nHost: example.com:80\\r\\n\\r\\n')\n"
        "  print('got',t.recv(100))\n"
        "except OSError as e: print('closed',e)\n",
        stage->address(), std::to_string(scene.proxy().port()),
        std::to_string(scene.proxy().process().pid()), stage->ca_file()},
       plain_environment("/"),
       "/",
       {},
       ""});
  INFO(late.out << late.err);
  CHECK((late.out == "got b''\n" || StartsWith("closed").match(late.out)));
  const auto begun = std::chrono::steady_clock::now();
  CHECK(scene.proxy().process().wait().code == 0);
  CHECK(std::chrono::steady_clock::now() - begun < 10s);
}

TEST_CASE("fifty megabytes go up and down through an HTTPS proxy unharmed") {
  const auto stage = Stage::make();
  if (!stage) return;
  TlsScene scene(*stage);
  std::string data(50 * 1024 * 1024, '\0');
  std::uint32_t state = 1;
  for (char& c : data) {
    state = state * 1664525U + 1013904223U;
    c = static_cast<char>(state >> 24);
  }
  const std::string up = stage->dir().write("root/big", data);
  const std::string down = stage->project_file("down", "");
  const auto sum = [&](const std::string& file) {
    return run({{"sha256sum", file}, plain_environment("/"), "/", {}, ""}).out.substr(0, 64);
  };
  const std::string whole = sum(up);
  for (const std::string scheme : {"http", "https"}) {
    INFO(scheme);
    const Finished sent =
        scene.curl(scene.url(), {"--data-binary", "@" + up, scheme + "://example.com/upload"});
    CHECK_THAT(sent.out, Contains(whole) && Contains("52428800"));
    const Finished got = scene.curl(scene.url(), {"-o", down, scheme + "://example.com/files/big"});
    CHECK(got.code == 0);
    CHECK(sum(down) == whole);
  }
}

TEST_CASE("variables of a proxy that speaks TLS name it as https") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string file = stage->dir() / "job.env";
  TlsScene scene(*stage, {"--env-file", file});
  CHECK_THAT(read_file(file), Contains("https://nono:" + scene.proxy().token() + "@"));
}

// A certificate for the address of `stage` that nobody but itself signs, in place of what NAME.pem
// and NAME.key were.
void put_certificate(const Stage& stage, const std::string& name, const std::string& subject) {
  const std::string key = stage.dir() / (name + ".key"), cert = stage.dir() / (name + ".pem");
  const Finished made =
      run({{"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", "/CN=" + subject, "-addext",
            "subjectAltName=IP:" + stage.address(), "-keyout", key + ".new", "-out", cert + ".new"},
           plain_environment("/"),
           "/",
           {},
           ""});
  REQUIRE(made.code == 0);
  REQUIRE(::rename((key + ".new").c_str(), key.c_str()) == 0);
  REQUIRE(::rename((cert + ".new").c_str(), cert.c_str()) == 0);
}

// What a client is shown: "CN=one".
std::string shown(const Stage& stage, const Proxy& proxy) {
  const Finished said = run({{"sh", "-c",
                              fmt::format("openssl s_client -connect {0} </dev/null 2>/dev/null | "
                                          "openssl x509 -noout -subject -nameopt compat",
                                          proxy.authority())},
                             plain_environment(stage.home()),
                             "/",
                             {},
                             ""});
  const std::size_t at = said.out.find("CN");
  return at == said.out.npos ? said.err : said.out.substr(at, said.out.find('\n', at) - at);
}

// Two requests on one connection, the second once it is told to go on. Says the status of each.
const char* const two_requests = R"(
import base64, socket, ssl, sys
host, port = sys.argv[1].rsplit(":", 1)
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
s = context.wrap_socket(socket.create_connection((host, int(port)), 20))
auth = base64.b64encode(("nono:" + sys.argv[2]).encode()).decode()
def ask():
    fields = f"Host: example.com\r\nProxy-Authorization: Basic {auth}\r\n\r\n"
    s.sendall(("GET http://example.com/hello HTTP/1.1\r\n" + fields).encode())
    got = b""
    while not got.endswith(b"hello\n"):
        more = s.recv(65536)
        if not more: break
        got += more
    return got[9:12].decode()
print("first", ask(), flush=True)
import os, time
end = time.time() + 60
while not os.path.exists(sys.argv[3]) and time.time() < end: time.sleep(0.02)
print("second", ask(), flush=True)
)";

class RenewedCertificate {
 public:
  explicit RenewedCertificate(const Stage& stage, bool on_change) : stage_(stage) {
    put_certificate(stage, "one", "one");
    write("one", on_change);
    proxy_ = std::make_unique<Proxy>(
        stage, std::vector<std::string>{"--config", stage.dir() / "nono.yaml", "--threads", "2"});
  }
  void write(const std::string& name, bool on_change) const {
    stage_.dir().write(
        "nono.yaml", fmt::format("network: {{allow_domain: [example.com]}}\nreload_on_change: {}\n"
                                 "tls: {{cert: {}.pem, key: {}.key}}\n",
                                 on_change, name, name));
  }
  // Until each of two threads has had its turn, whichever it is.
  bool shows(const std::string& subject) const {
    for (int i = 0; i < 6; ++i) {
      const std::string seen = shown(stage_, *proxy_);
      if (seen != "CN=" + subject && seen != "CN = " + subject) return false;
    }
    return true;
  }
  Proxy& proxy() { return *proxy_; }

 private:
  const Stage& stage_;
  std::unique_ptr<Proxy> proxy_;
};

TEST_CASE("SIGHUP has the listeners show a new certificate, and a broken one changes nothing") {
  const auto stage = Stage::make();
  if (!stage) return;
  RenewedCertificate scene(*stage, false);
  Proxy& proxy = scene.proxy();
  CHECK(scene.shows("one"));
  const std::string go_on = stage->dir() / "go-on";
  const Process open(
      {{"/usr/bin/python3", "-c", two_requests, proxy.authority(), proxy.token(), go_on},
       plain_environment("/"),
       "/",
       {},
       ""});
  REQUIRE(open.wait_for("first 200"));
  put_certificate(*stage, "one", "two");
  CHECK(scene.shows("one"));  // nothing looks at it yet
  proxy.process().signal(SIGHUP);
  REQUIRE(proxy.process().wait_for("is in force"));
  CHECK(scene.shows("two"));
  stage->dir().write("go-on", "");
  CHECK(open.wait_for("second 200"));

  stage->dir().write("one.pem", "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n");
  proxy.process().signal(SIGHUP);
  REQUIRE(proxy.process().wait_for("nothing was changed"));
  CHECK_THAT(proxy.process().err(), Contains("one.pem holds no certificate"));
  CHECK(scene.shows("two"));

  // The key of another certificate.
  put_certificate(*stage, "other", "three");
  REQUIRE(::rename((stage->dir() / "other.pem").c_str(), (stage->dir() / "one.pem").c_str()) == 0);
  proxy.process().signal(SIGHUP);
  REQUIRE(proxy.process().wait_for("the private key does not belong to the certificate"));
  CHECK(scene.shows("two"));
}

TEST_CASE("a certificate that changes, or whose file is another one, is read without a signal") {
  const auto stage = Stage::make();
  if (!stage) return;
  RenewedCertificate scene(*stage, true);
  CHECK(scene.shows("one"));
  put_certificate(*stage, "one", "two");
  CHECK(eventually([&] { return scene.shows("two"); }, 20s));
  put_certificate(*stage, "elsewhere", "three");
  scene.write("elsewhere", true);
  CHECK(eventually([&] { return scene.shows("three"); }, 20s));
  put_certificate(*stage, "elsewhere", "four");
  CHECK(eventually([&] { return scene.shows("four"); }, 20s));
  CHECK_THAT(scene.proxy().process().err(), !Contains("takes a restart"));
}

TEST_CASE("a certificate that cannot be used is said at the start") {
  const auto stage = Stage::make();
  if (!stage) return;
  const auto start = [&](const std::string& cert, const std::string& key) {
    return run(stage->nono({"proxy", "--listen", stage->address() + ":0", "--allow-domain",
                            "a.test", "--tls-cert", cert, "--tls-key", key}),
               20s);
  };
  const std::string cert = stage->dir() / "origin.pem", key = stage->dir() / "origin.key";
  for (const Finished& ended :
       {start("/nonexistent.pem", key), start(cert, stage->dir() / "ca.key"), start(key, key)}) {
    CHECK_FALSE(ended.timed_out);
    CHECK(ended.code != 0);
    CHECK_FALSE(ended.err.empty());
  }
}

}  // namespace
}  // namespace nono::testing
