// The audit log on disk: crashes, rotation, full disks.

#include <catch2/catch.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "tests/proxy/audit_scene.hpp"

namespace nono::test {

namespace {

namespace fs = std::filesystem;
using testing::read_file;
using testing::TempDir;

audit::LogOptions rotating(const std::string& path, std::uint64_t bytes, unsigned keep = 0) {
  audit::LogOptions options;
  options.path = path;
  options.rotate_bytes = bytes;
  options.keep = keep;
  return options;
}

std::vector<std::string> many_hosts(int count) {
  std::vector<std::string> hosts;
  for (int i = 0; i < count; ++i) hosts.push_back("host-" + std::to_string(i) + ".example");
  return hosts;
}

// FILE.n ... FILE.1 FILE, as far as they are there.
std::vector<std::string> oldest_first(const std::string& path) {
  std::vector<std::string> files{path};
  for (int i = 1; fs::exists(path + "." + std::to_string(i)); ++i) {
    files.insert(files.begin(), path + "." + std::to_string(i));
  }
  return files;
}

// The hosts of all records, in order.
std::vector<std::string> hosts_in(const std::vector<std::string>& files) {
  std::vector<std::string> hosts;
  for (const std::string& file : files) {
    for (const std::string& line : lines_of(file)) {
      const auto json = nlohmann::json::parse(line);
      if (json["kind"] != "note") hosts.push_back(json["host"]);
    }
  }
  return hosts;
}

void require_whole(const std::vector<std::string>& files) {
  const audit::Verdict verdict = verdict_of(files);
  for (const audit::Finding& finding : verdict.problems) {
    UNSCOPED_INFO(finding.file << ":" << finding.line << " " << finding.what);
  }
  REQUIRE(verdict.whole());
  REQUIRE(verdict.incomplete.empty());
}

}  // namespace

TEST_CASE("a line that a crash left incomplete is set aside in a note, and the chain goes on") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  write_hosts(*open_log(path), {"a.example", "b.example"});
  append_text(path, "{\"seq\":2,\"host\":\"half\"");
  const audit::Verdict torn = verdict_of({path});
  REQUIRE(torn.whole());
  REQUIRE(torn.incomplete.size() == 1);
  REQUIRE(torn.incomplete[0].bytes == 22);
  REQUIRE(torn.incomplete[0].whole_lines == 2);

  write_hosts(*open_log(path), {"c.example"});
  require_whole({path});
  const std::vector<std::string> lines = lines_of(path);
  REQUIRE(lines.size() == 4);
  const auto note = nlohmann::json::parse(lines[2]);
  REQUIRE(note["kind"] == "note");
  REQUIRE(note["fragment"] == "{\"seq\":2,\"host\":\"half\"");
  REQUIRE(note["fragment_bytes"] == 22);
  REQUIRE(hosts_in({path}) == std::vector<std::string>{"a.example", "b.example", "c.example"});
  REQUIRE(verdict_of({path}).remarks.size() == 1);
}

TEST_CASE("a log that consists of half a line begins again and keeps the half") {
  const TempDir dir;
  const std::string path = dir.write("audit.jsonl", "{\"seq\":0,\"time\":\"20");
  write_hosts(*open_log(path), {"a.example"});
  require_whole({path});
  REQUIRE(lines_of(path).size() == 2);
}

TEST_CASE("a file that is no audit log is refused and left as it is") {
  const TempDir dir;
  for (const std::string text :
       {"root:x:0:0:root:/root:/bin/sh\n", "half a line", "{\"seq\":1}\n", "\n",
        "{\"seq\":0,\"chain\":\"short\"}\n", "{\"seq\":0,\"chain\":\"short\"}\nhalf"}) {
    const std::string path = dir.write("other.txt", text);
    audit::LogOptions options;
    options.path = path;
    auto log = audit::Log::open(options);
    REQUIRE_FALSE(log);
    REQUIRE(log.error().what.find(path) != std::string::npos);
    REQUIRE(read_file(path) == text);
  }
}

TEST_CASE("a file that reaches its size becomes FILE.1, and all of them are one chain") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  const std::vector<std::string> hosts = many_hosts(60);
  {
    const auto log = open_log(rotating(path, 2'000));
    write_hosts(*log, hosts);
    REQUIRE(log->stats().rotations > 3);
    REQUIRE(log->stats().lost == 0);
  }
  const std::vector<std::string> files = oldest_first(path);
  REQUIRE(files.size() > 4);
  require_whole(files);
  REQUIRE(hosts_in(files) == hosts);
  for (const std::string& file : files) {
    REQUIRE(fs::file_size(file) < 2'000 + 1'000);
    require_whole({file});  // each on its own, from where it begins
    struct stat status {};
    REQUIRE(::stat(file.c_str(), &status) == 0);
    REQUIRE((status.st_mode & 0777) == 0600);
  }
  REQUIRE_FALSE(fs::exists(path + ".new"));
}

TEST_CASE("one big group is spread over as many files as its size asks for") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  const std::vector<std::string> hosts = many_hosts(500);
  {
    const auto log = open_log(rotating(path, 10'000));
    for (const std::string& host : hosts) log->write(record_for(host));
  }
  const std::vector<std::string> files = oldest_first(path);
  REQUIRE(files.size() > 5);
  require_whole(files);
  REQUIRE(hosts_in(files) == hosts);
}

TEST_CASE("a missing, moved or foreign file among the rotated ones shows") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  write_hosts(*open_log(rotating(path, 1'000)), many_hosts(20));
  const std::vector<std::string> files = oldest_first(path);
  REQUIRE(files.size() >= 4);
  std::vector<std::string> some = files;
  some.erase(some.begin() + 1);
  REQUIRE_FALSE(verdict_of(some).whole());
  some = files;
  std::swap(some[1], some[2]);
  REQUIRE_FALSE(verdict_of(some).whole());
  const std::string other = dir / "other.jsonl";
  write_hosts(*open_log(rotating(other, 1'000)), many_hosts(20));
  some = files;
  some.back() = oldest_first(other).back();
  REQUIRE_FALSE(verdict_of(some).whole());
  REQUIRE_FALSE(verdict_of({files[0], files[0]}).whole());
}

TEST_CASE("only as many rotated files stay as were asked for") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  write_hosts(*open_log(rotating(path, 1'000, 5)), many_hosts(40));
  REQUIRE(oldest_first(path).size() == 6);
  write_hosts(*open_log(rotating(path, 1'000, 2)), many_hosts(10));
  REQUIRE(oldest_first(path).size() == 3);
  require_whole(oldest_first(path));
  write_hosts(*open_log(rotating(path, 1'000, 1)), many_hosts(10));
  REQUIRE(oldest_first(path).size() == 2);
  require_whole(oldest_first(path));
}

TEST_CASE("a crash between the two renames of a rotation loses nothing") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  write_hosts(*open_log(rotating(path, 1'000)), many_hosts(8));
  const std::vector<std::string> before = hosts_in(oldest_first(path));
  fs::rename(path, path + ".moved");
  for (int i = 9; i > 0; --i) {
    const std::string number = "." + std::to_string(i);
    if (fs::exists(path + number)) fs::rename(path + number, path + "." + std::to_string(i + 1));
  }
  fs::rename(path + ".moved", path + ".1");
  dir.write("audit.jsonl.new", "");

  SECTION("before the new file has its name") {}
  SECTION("before the new file's first line") {
    dir.write("audit.jsonl", "");
  }
  write_hosts(*open_log(rotating(path, 1'000)), {"after.example"});
  std::vector<std::string> all = before;
  all.push_back("after.example");
  REQUIRE(hosts_in(oldest_first(path)) == all);
  require_whole(oldest_first(path));
}

TEST_CASE("a crash while older files are renamed leaves a gap that the next rotation fills") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  write_hosts(*open_log(rotating(path, 600)), many_hosts(9));
  const std::vector<std::string> files = oldest_first(path);
  const std::size_t rotated = files.size() - 1;
  REQUIRE(rotated >= 3);
  const auto numbered = [&](std::size_t number) { return path + "." + std::to_string(number); };
  for (std::size_t i = rotated; i >= 2; --i) fs::rename(numbered(i), numbered(i + 1));
  const std::size_t before = hosts_in(files).size();
  REQUIRE(before < 9);  // what is behind the gap is not seen here
  write_hosts(*open_log(rotating(path, 600)), many_hosts(6));
  require_whole(oldest_first(path));
  REQUIRE(hosts_in(oldest_first(path)).size() == 15);
}

TEST_CASE("where a file cannot be rotated its lines go on in it, in a required log as well") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  dir.make_folder("audit.jsonl.new");  // in the way of each new file
  audit::LogOptions options = rotating(path, 500);
  options.required = true;
  {
    const auto log = open_log(options);
    for (int i = 0; i < 5; ++i) REQUIRE(commit(*log, "a.example"));
    REQUIRE(log->stats().rotations == 0);
    fs::remove(dir / "audit.jsonl.new");
    for (int i = 0; i < 5; ++i) REQUIRE(commit(*log, "b.example"));
    REQUIRE(log->stats().rotations > 0);
  }
  require_whole(oldest_first(path));
  REQUIRE(hosts_in(oldest_first(path)).size() == 10);
}

TEST_CASE("another file in the log's place is not rotated away") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  const auto log = open_log(rotating(path, 600));
  write_hosts(*log, {"a.example"});
  fs::rename(path, dir / "moved.jsonl");
  dir.write("audit.jsonl", "precious");
  write_hosts(*log, many_hosts(5));
  REQUIRE(read_file(path) == "precious");
  REQUIRE_FALSE(fs::exists(path + ".1"));
  require_whole({dir / "moved.jsonl"});
  REQUIRE(hosts_in({dir / "moved.jsonl"}).size() == 6);
}

TEST_CASE("a log deleted under its writer begins again and says what it continues") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  audit::LogOptions options;
  options.path = path;
  options.required = true;
  const auto log = open_log(options);
  REQUIRE(commit(*log, "a.example"));
  fs::remove(path);
  REQUIRE(commit(*log, "b.example"));
  REQUIRE(hosts_in({path}) == std::vector<std::string>{"b.example"});
  const audit::Verdict verdict = verdict_of({path});
  REQUIRE(verdict.whole());
  REQUIRE(verdict.first_sequence == 1U);
  REQUIRE(verdict.remarks.size() == 1);
}

TEST_CASE("a log that others empty after copying it goes on where it was") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  const auto log = open_log(path);
  write_hosts(*log, {"a.example", "b.example"});
  const std::string copy = dir.write("copy.jsonl", read_file(path));
  fs::resize_file(path, 0);
  write_hosts(*log, {"c.example"});
  require_whole({copy, path});
  require_whole({path});
}

TEST_CASE("a writer that comes while another holds a rotated file is refused") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  const auto log = open_log(rotating(path, 500));
  write_hosts(*log, many_hosts(10));
  audit::LogOptions options;
  options.path = path;
  REQUIRE_FALSE(audit::Log::open(options));
}

TEST_CASE("on a full disk whole lines are kept, the rest is counted, and a note says so") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  const auto log = open_log(path);
  write_hosts(*log, {"first.example"});
  const std::vector<std::string> hosts = many_hosts(40);
  {
    const FullDisk full(4'096);
    for (const std::string& host : hosts) log->write(record_for(host));
    log->flush();
    log->write(record_for("while-full.example"));
    log->flush();
    require_whole({path});
  }
  const audit::LogStats stats = log->stats();
  REQUIRE(stats.lost > 5);
  REQUIRE(stats.written > 5);
  REQUIRE(stats.written + stats.lost == 42);
  REQUIRE(fs::file_size(path) > 3'500);
  write_hosts(*log, {"after.example"});
  require_whole({path});
  const audit::Verdict verdict = verdict_of({path});
  REQUIRE(verdict.lost == stats.lost);
  REQUIRE(verdict.last_sequence == 43U);
  const std::vector<std::string> lines = lines_of(path);
  REQUIRE(nlohmann::json::parse(lines[lines.size() - 2])["lost"] == stats.lost);
  REQUIRE(hosts_in({path}).back() == "after.example");
}

TEST_CASE("a gap that the log does not tell of is a problem, and so is one it tells wrongly") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  {
    const auto log = open_log(path);
    write_hosts(*log, {"a.example"});
    const FullDisk full(300);
    write_hosts(*log, {"b.example", "c.example"});
  }
  write_hosts(*open_log(path), {"d.example"});  // lost records of a writer that ended are not known
  require_whole({path});
  std::vector<std::string> lines = lines_of(path);
  lines.erase(lines.begin());
  write_lines(path, lines);
  REQUIRE_FALSE(verdict_of({path}).whole());
}

TEST_CASE("a required log refuses on a full disk, keeps nothing half, and recovers with room") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  audit::LogOptions options;
  options.path = path;
  options.required = true;
  const auto log = open_log(options);
  REQUIRE(commit(*log, "a.example"));
  {
    const FullDisk full(fs::file_size(path) + 100);
    REQUIRE_FALSE(commit(*log, "b.example"));
    REQUIRE_FALSE(commit(*log, "c.example"));
    REQUIRE(lines_of(path).size() == 1);
    require_whole({path});
  }
  REQUIRE(commit(*log, "d.example"));
  require_whole({path});
  REQUIRE(hosts_in({path}) == std::vector<std::string>{"a.example", "d.example"});
  REQUIRE(verdict_of({path}).lost == 2);
  const audit::LogStats stats = log->stats();
  const auto commits =
      std::accumulate(stats.commits.begin(), stats.commits.end(), std::uint64_t{0});
  REQUIRE(commits == 4);
  REQUIRE(stats.commit_time.count() > 0);
  REQUIRE(stats.queue_depth == 0);
}

TEST_CASE("a full disk at the very first line, and while rotating, is told of later") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  const auto log = open_log(rotating(path, 1'000));
  {
    const FullDisk full(10);
    write_hosts(*log, {"a.example", "b.example"});
    REQUIRE(fs::file_size(path) == 0);
  }
  write_hosts(*log, many_hosts(4));
  {
    const FullDisk full(10);
    write_hosts(*log, {"c.example"});
  }
  write_hosts(*log, many_hosts(4));
  require_whole(oldest_first(path));
  REQUIRE(verdict_of(oldest_first(path)).lost == 3);
}

}  // namespace nono::test
