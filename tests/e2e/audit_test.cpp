// The audit log as a user meets it: killed and restarted proxies, full disks, the audit commands.

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "tests/support/checkout.hpp"
#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

constexpr const char* checker = R"(
import hashlib, json, sys
previous, seq = "", 0
for name in sys.argv[1:]:
    for line in open(name, newline="\n"):
        assert line.endswith("\n"), "incomplete"
        text, _, chain = line.rstrip("\n").rpartition(',"chain":"')
        assert hashlib.sha256((previous + text).encode()).hexdigest() == chain[:64], line
        previous = chain[:64]
        record = json.loads(line)
        seq += record.get("lost", 0)
        assert record["seq"] == seq, line
        seq += 1
print(seq, previous)
)";

// FILE.n ... FILE.1 FILE, as far as they are there.
std::vector<std::string> oldest_first(const std::string& path) {
  std::vector<std::string> files{path};
  for (int i = 1; fs::exists(fmt::format("{}.{}", path, i)); ++i) {
    files.insert(files.begin(), fmt::format("{}.{}", path, i));
  }
  return files;
}

Finished audit_command(const Stage& stage, std::vector<std::string> arguments,
                       const std::vector<std::string>& files) {
  arguments.insert(arguments.begin(), "audit");
  arguments.insert(arguments.end(), files.begin(), files.end());
  return run(stage.nono(arguments));
}

// A second opinion on the chain: python's own SHA-256.
Finished check_with_python(const Stage& stage, const std::vector<std::string>& files) {
  Command command = stage.nono({});
  command.argv = {"python3", "-c", checker};
  command.argv.insert(command.argv.end(), files.begin(), files.end());
  return run(command);
}

std::vector<nlohmann::json> records_in(const std::vector<std::string>& files) {
  std::vector<nlohmann::json> records;
  for (const std::string& file : files) {
    std::istringstream in(read_file(file));
    for (std::string line; std::getline(in, line);) {
      auto record = nlohmann::json::parse(line, nullptr, false);
      if (!record.is_discarded()) records.push_back(std::move(record));
    }
  }
  return records;
}

std::size_t count_allowed(const std::vector<nlohmann::json>& records) {
  return static_cast<std::size_t>(std::count_if(
      records.begin(), records.end(),
      [](const nlohmann::json& record) { return record.value("decision", "") == "allow"; }));
}

std::string get(const std::string& url, const std::string& token) {
  const std::string host = url.substr(7, url.find('/', 7) - 7);
  return fmt::format(
      "GET {} HTTP/1.1\r\nHost: {}\r\nProxy-Authorization: Basic {}\r\nConnection: close\r\n\r\n",
      url, host, base64("nono:" + token));
}

// Requests from several clients at once, until the proxy is gone.
class Load {
 public:
  Load(std::string address, std::uint16_t port, std::string request) {
    for (int i = 0; i < 4; ++i) {
      clients_.emplace_back([this, address, port, request] {
        while (!stopping_) {
          const std::string answer = raw_exchange(address, port, request);
          if (answer.starts_with("HTTP/1.1 200 ")) ++answered_;
          if (answer.empty() || answer == "cannot connect") return;
        }
      });
    }
  }
  ~Load() { join(); }
  std::size_t answered() const { return answered_; }
  void join() {
    stopping_ = true;
    for (std::thread& client : clients_) {
      if (client.joinable()) client.join();
    }
  }

 private:
  std::atomic<bool> stopping_{false};
  std::atomic<std::size_t> answered_{0};
  std::vector<std::thread> clients_;
};

// The text between two lines of a document.
std::vector<std::string> blocks_of(const std::string& text, const std::string& begin) {
  std::vector<std::string> blocks;
  for (std::size_t at = text.find(begin + "\n"); at != std::string::npos;
       at = text.find(begin + "\n", at)) {
    at += begin.size() + 1;
    blocks.push_back(text.substr(at, text.find("```", at) - at));
  }
  return blocks;
}

void kill_and_go_on(const std::string& mode) {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::vector<std::string> arguments = {"--allow-domain", "example.com", "--audit", mode,
                                              "--audit-rotate", "64K"};
  std::size_t answered = 0;
  for (int round = 0; round < 3; ++round) {
    Proxy proxy(*stage, arguments);
    Load load(stage->address(), proxy.port(), get("http://example.com/hello", proxy.token()));
    REQUIRE(eventually([&] { return load.answered() > 150; }));
    proxy.process().signal(SIGKILL);
    load.join();
    answered += load.answered();
    const std::vector<std::string> files = oldest_first(stage->audit_file());
    const Finished verified = audit_command(*stage, {"verify"}, files);
    INFO(verified.out << verified.err);
    const bool torn = !read_file(files.back()).empty() && read_file(files.back()).back() != '\n';
    CHECK(verified.code == (torn ? 3 : 0));
    CHECK((verified.out.find("last line is incomplete") != std::string::npos) == torn);
    const std::size_t recorded = count_allowed(records_in(files));
    // What took effect without its line: nothing, or what 50 ms of this load are.
    if (mode == "required") CHECK(recorded >= answered);
    CHECK(recorded + 2'000 > answered);
    answered = std::min(answered, recorded);
  }
  Proxy proxy(*stage, arguments);
  CHECK_THAT(
      raw_exchange(stage->address(), proxy.port(), get("http://example.com/last", proxy.token())),
      Contains("HTTP/1.1 "));
  proxy.process().signal(SIGTERM);
  CHECK(proxy.process().wait().code == 0);
  const std::vector<std::string> files = oldest_first(stage->audit_file());
  CHECK(files.size() > 2);
  const Finished verified = audit_command(*stage, {"verify"}, files);
  INFO(verified.out << verified.err);
  CHECK(verified.code == 0);
  const Finished checked = check_with_python(*stage, files);
  INFO(checked.err);
  CHECK(checked.code == 0);
  CHECK_THAT(verified.out, Contains(checked.out.substr(checked.out.find(' ') + 1, 64)));
  for (const std::string& file : files) CHECK(audit_command(*stage, {"verify"}, {file}).code == 0);
}

// A proxy whose log is on a file system of 128 KiB that is full, until `free` is called.
class FullDiskProxy {
 public:
  FullDiskProxy(const Stage& stage, const std::string& mode)
      : stage_(stage), token_(random_hex()), fifo_(stage.dir() / "go") {
    stage.dir().make_folder("full");
    stage.dir().make_folder("kept");
    ::mkfifo(fifo_.c_str(), 0600);
    const std::string script = fmt::format(R"(
cd {} || exit 1
mount -t tmpfs -o size=128k none full || {{ echo no mount; exit 77; }}
cat /dev/zero > full/filler 2> /dev/null
"$@" &
proxy=$!
read go < go
rm full/filler
echo there is room
read go < go
kill -TERM $proxy
wait $proxy
code=$?
cp full/audit.jsonl* kept/
exit $code)",
                                           stage.dir().path());
    std::vector<std::string> arguments = {"proxy",
                                          "--listen",
                                          stage.address() + ":0",
                                          "--audit-log",
                                          stage.dir() / "full/audit.jsonl",
                                          "--audit",
                                          mode,
                                          "--allow-domain",
                                          "example.com"};
    const std::vector<std::string> network = stage.network_flags();
    arguments.insert(arguments.end(), network.begin(), network.end());
    Command command = stage.nono(arguments);
    command.argv.insert(command.argv.begin(),
                        {"unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"});
    command.env["NONO_PROXY_TOKEN"] = token_;
    process_ = std::make_unique<Process>(command);
    const std::string before = "listening on " + stage.address() + ":";
    if (!process_->wait_for(before)) return;
    const std::string out = process_->out();
    port_ = static_cast<std::uint16_t>(std::stoi(out.substr(out.find(before) + before.size())));
  }

  bool possible() const { return port_ != 0; }
  std::string why_not() const { return process_->out() + process_->err(); }
  std::string exchange() const {
    return raw_exchange(stage_.address(), port_, get("http://example.com/hello", token_));
  }
  bool says(std::string_view text) const { return process_->wait_for(text); }
  void free() {
    say();
    REQUIRE(process_->wait_for("there is room"));
  }
  Finished stop() {
    say();
    return process_->wait();
  }
  std::string log() const { return stage_.dir() / "kept/audit.jsonl"; }

 private:
  void say() const { std::ofstream(fifo_) << "go\n"; }

  const Stage& stage_;
  std::string token_, fifo_;
  std::unique_ptr<Process> process_;
  std::uint16_t port_ = 0;
};

bool skipped(const FullDiskProxy& proxy) {
  if (proxy.possible()) return false;
  if (proxy.why_not().find("no mount") == std::string::npos &&
      proxy.why_not().find("unshare") == std::string::npos) {
    FAIL(proxy.why_not());
  }
  std::printf("skipped by name: a file system of this test's own cannot be mounted here\n");
  return true;
}

}  // namespace

TEST_CASE("kill -9 under load loses no decision of a required log, and the chain goes on") {
  kill_and_go_on("required");
}

TEST_CASE("kill -9 under load loses at most the last group of a best-effort log") {
  kill_and_go_on("best-effort");
}

TEST_CASE("half a line at the end is reported, set aside at the next start, and explained") {
  const auto stage = Stage::make();
  if (!stage) return;
  const auto one_request = [&] {
    Proxy proxy(*stage, {"--allow-domain", "example.com"});
    raw_exchange(stage->address(), proxy.port(), get("http://example.com/hello", proxy.token()));
    proxy.process().signal(SIGTERM);
    REQUIRE(proxy.process().wait().code == 0);
  };
  one_request();
  std::ofstream(stage->audit_file(), std::ios::app) << "{\"seq\":2,\"time\":\"20";
  const Finished torn = audit_command(*stage, {"verify"}, {stage->audit_file()});
  CHECK(torn.code == 3);
  CHECK_THAT(torn.out,
             Contains("the last line is incomplete: 19 bytes; the log up to line 2 is whole"));
  const Finished json = audit_command(*stage, {"verify", "--json"}, {stage->audit_file()});
  CHECK(json.code == 3);
  CHECK(nlohmann::json::parse(json.out)["incomplete"][0]["bytes"] == 19);

  one_request();
  const Finished whole = audit_command(*stage, {"verify"}, {stage->audit_file()});
  INFO(whole.out);
  CHECK(whole.code == 0);
  CHECK_THAT(whole.out, Contains("incomplete line of 19 bytes"));
  CHECK(check_with_python(*stage, {stage->audit_file()}).code == 0);
}

TEST_CASE("a tampered line is told with file and line, and the exit code is 1") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  for (int i = 0; i < 3; ++i) {
    raw_exchange(stage->address(), proxy.port(), get("http://evil.example/", proxy.token()));
  }
  proxy.process().signal(SIGTERM);
  proxy.process().wait();
  std::string text = read_file(stage->audit_file());
  const std::size_t second = text.find('\n') + 1;
  text.replace(text.find("evil.example", second), 12, "good.example");
  std::ofstream(stage->audit_file()) << text;
  const Finished verified = audit_command(*stage, {"verify"}, {stage->audit_file()});
  CHECK(verified.code == 1);
  CHECK_THAT(verified.out, Contains(stage->audit_file() + ":2: was changed"));
  CHECK(audit_command(*stage, {"verify"}, {stage->dir() / "absent"}).code == 1);
  CHECK(audit_command(*stage, {"verify"}, {}).code == 2);
}

TEST_CASE("a required log on a full disk refuses traffic, and lets it pass when there is room") {
  const auto stage = Stage::make();
  if (!stage) return;
  FullDiskProxy proxy(*stage, "required");
  if (skipped(proxy)) return;
  for (int i = 0; i < 3; ++i) {
    const std::string answer = proxy.exchange();
    CHECK_THAT(answer, StartsWith("HTTP/1.1 5") && Contains("audit log"));
  }
  CHECK(stage->requests().empty());
  proxy.free();
  CHECK_THAT(proxy.exchange(), StartsWith("HTTP/1.1 200 "));
  const Finished ended = proxy.stop();
  CHECK(ended.code == 0);
  CHECK_THAT(ended.err, Contains("cannot write the audit log"));
  const Finished verified = audit_command(*stage, {"verify"}, {proxy.log()});
  INFO(verified.out);
  CHECK(verified.code == 0);
  CHECK_THAT(verified.out, Contains("could not be written"));
}

TEST_CASE("a best-effort log on a full disk stops nothing and counts what it lost") {
  const auto stage = Stage::make();
  if (!stage) return;
  FullDiskProxy proxy(*stage, "best-effort");
  if (skipped(proxy)) return;
  for (int i = 0; i < 5; ++i) CHECK_THAT(proxy.exchange(), StartsWith("HTTP/1.1 200 "));
  REQUIRE(proxy.says("cannot write the audit log"));
  proxy.free();
  CHECK_THAT(proxy.exchange(), StartsWith("HTTP/1.1 200 "));
  CHECK(proxy.stop().code == 0);
  const Finished verified = audit_command(*stage, {"verify", "--json"}, {proxy.log()});
  CHECK(verified.code == 0);
  const auto verdict = nlohmann::json::parse(verified.out);
  // Each request is a decision and an end; the note is one line more.
  CHECK(verdict["lost_records"].get<int>() > 0);
  CHECK(verdict["lost_records"].get<int>() + verdict["lines"].get<int>() == 6 * 2 + 1);
  CHECK(check_with_python(*stage, {proxy.log()}).code == 0);
}

TEST_CASE("the example of the audit log's document is what the commands say") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string document = read_file(source_dir() + "/docs/audit.md");
  const std::vector<std::string> logs = blocks_of(document, "```jsonl");
  REQUIRE(logs.size() == 2);
  stage->project_file("audit.jsonl.1", logs[0]);
  stage->project_file("audit.jsonl", logs[1]);
  const std::vector<std::string> consoles = blocks_of(document, "```console");
  REQUIRE(consoles.size() == 2);
  std::istringstream in(consoles[0]);
  std::string expected, actual;
  for (std::string line; std::getline(in, line);) {
    expected += line + "\n";
    if (!line.starts_with("$ nono ")) continue;
    actual += line + "\n";
    std::vector<std::string> words;
    std::istringstream rest(line.substr(7));
    for (std::string word; rest >> word;) words.push_back(word);
    actual += run(stage->nono(words)).out;
  }
  CHECK(actual == expected);
  CHECK(check_with_python(*stage,
                          {stage->project() + "/audit.jsonl.1", stage->project() + "/audit.jsonl"})
            .code == 0);
  // The document's own checker.
  const std::vector<std::string> programs = blocks_of(document, "```python");
  REQUIRE(programs.size() == 1);
  Command command = stage->nono({});
  command.argv = {"python3", "-c", programs[0], "audit.jsonl.1"};
  CHECK(run(command).code == 0);
  stage->project_file("audit.jsonl.1", logs[0].substr(logs[0].find('\n') + 1));
  CHECK(run(command).code != 0);
}

TEST_CASE("what a job needed when observed is enough for it afterwards, and no more") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::vector<std::string> urls = {"http://example.com/hello", "http://api.github.com/x",
                                         "http://169.254.169.254/latest"};
  const auto answers = [&](const Proxy& proxy) {
    std::vector<std::string> status;
    for (const std::string& url : urls) {
      status.push_back(
          raw_exchange(stage->address(), proxy.port(), get(url, proxy.token())).substr(0, 12));
    }
    return status;
  };
  std::vector<std::string> observed;
  {
    Proxy proxy(*stage, {"--observe"});
    observed = answers(proxy);
    proxy.process().signal(SIGTERM);
    REQUIRE(proxy.process().wait().code == 0);
  }
  CHECK(observed[0] == "HTTP/1.1 200");
  CHECK(observed[2] == "HTTP/1.1 403");
  const Finished rules = audit_command(*stage, {"hosts"}, {stage->audit_file()});
  REQUIRE(rules.code == 0);
  std::vector<std::string> flags;
  std::istringstream in(rules.out);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    for (std::string word; words >> word;) flags.push_back(word);
  }
  CHECK_THAT(rules.out, Contains("--allow-domain example.com") && Contains("--allow-private 127."));
  CHECK_THAT(rules.out, !Contains("--allow-domain 169"));
  Proxy proxy(*stage, flags);
  CHECK(answers(proxy) == observed);
  CHECK_THAT(
      raw_exchange(stage->address(), proxy.port(), get("http://other.example/", proxy.token())),
      StartsWith("HTTP/1.1 403"));
}

}  // namespace nono::testing
