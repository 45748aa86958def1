#include <catch2/catch.hpp>

#include <openssl/evp.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "tests/proxy/audit_scene.hpp"
#include "tests/proxy/fixture.hpp"

namespace nono::test {

namespace {

std::string sha256(const std::string& text) {
  unsigned char digest[32];
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(), nullptr);
  std::string hex;
  for (const unsigned char byte : digest) {
    static constexpr char digits[] = "0123456789abcdef";
    hex += digits[byte >> 4];
    hex += digits[byte & 15];
  }
  return hex;
}

// True when every line's chain field follows from the one before.
bool chain_holds(const std::vector<std::string>& lines) {
  std::string previous;
  for (const std::string& line : lines) {
    const std::size_t at = line.rfind(",\"chain\":\"");
    if (at == std::string::npos) return false;
    const std::string chain = line.substr(at + 10, 64);
    if (sha256(previous + line.substr(0, at)) != chain) return false;
    previous = chain;
  }
  return true;
}

}  // namespace

TEST_CASE("audit lines are JSON, chained, and the chain goes on over a restart") {
  const testing::TempDir folder;
  const std::string path = folder / "state/audit.jsonl";
  open_log(path)->write(record_for("one.example"));
  {
    const auto log = open_log(path);
    log->write(record_for("two.example"));
    log->write(record_for("bad\"host\n\x80"));
  }
  const std::vector<std::string> lines = lines_of(path);
  REQUIRE(lines.size() == 3);
  REQUIRE(chain_holds(lines));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto json = nlohmann::json::parse(lines[i]);
    REQUIRE(json["seq"] == i);
    REQUIRE(json["decision"] == "refuse");
  }
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  REQUIRE((status.st_mode & 0777) == 0600);
}

TEST_CASE("a changed, dropped or swapped audit line breaks the chain") {
  const testing::TempDir folder;
  const std::string path = folder / "audit.jsonl";
  {
    const auto log = open_log(path);
    for (const char* host : {"a.example", "b.example", "c.example"}) log->write(record_for(host));
  }
  const std::vector<std::string> lines = lines_of(path);
  REQUIRE(chain_holds(lines));
  std::vector<std::string> changed = lines;
  changed[1].replace(changed[1].find("b.example"), 1, "x");
  REQUIRE_FALSE(chain_holds(changed));
  REQUIRE_FALSE(chain_holds({lines[0], lines[2]}));
  REQUIRE_FALSE(chain_holds({lines[1], lines[0], lines[2]}));
}

TEST_CASE("a log that another process writes is refused by name") {
  const testing::TempDir folder;
  const std::string path = folder / "audit.jsonl";
  const auto first = open_log(path);
  audit::LogOptions options;
  options.path = path;
  auto second = audit::Log::open(options);
  REQUIRE_FALSE(second);
  REQUIRE(second.error().what.find(path) != std::string::npos);
  REQUIRE_FALSE(second.error().fix.empty());
}

TEST_CASE(
    "a required audit log that cannot be written refuses traffic instead of letting it pass "
    "unrecorded") {
  Origin origin(serve_http);
  Proxy::Setup setup;
  setup.rules = allowing({"127.0.0.0/8:*"});
  setup.audit_log = "/dev/full";
  setup.audit_required = true;
  Proxy proxy(std::move(setup));
  Client client = proxy.connect();
  const std::string target = "127.0.0.1:" + std::to_string(origin.port());
  const std::string answer =
      client.exchange("CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n");
  REQUIRE(answer.starts_with("HTTP/1.1 5"));
  REQUIRE(answer.find("audit log") != std::string::npos);
  REQUIRE(origin.connections() == 0);
}

TEST_CASE("with a required log a decision is on disk before the tunnel opens") {
  const testing::TempDir folder;
  const std::string path = folder / "audit.jsonl";
  Origin origin([](Client& connection) { connection.receive_all(); });
  Proxy::Setup setup;
  setup.rules = allowing({"127.0.0.0/8:*"});
  setup.audit_log = path;
  setup.audit_required = true;
  Proxy proxy(std::move(setup));
  Client client = proxy.connect();
  const std::string target = "127.0.0.1:" + std::to_string(origin.port());
  client.send("CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n");
  REQUIRE(client.receive_until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
  REQUIRE(lines_of(path).size() == 1);
}

}  // namespace nono::test
