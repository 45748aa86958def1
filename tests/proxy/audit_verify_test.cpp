// What verify says about logs that were tampered with.

#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>

#include "proxy/audit/chain.hpp"
#include "proxy/audit/line_reader.hpp"
#include "tests/proxy/audit_scene.hpp"

namespace nono::test {

namespace {

using testing::read_file;
using testing::TempDir;
using Lines = std::vector<std::string>;

Lines sound_lines(const TempDir& dir, int count) {
  const std::string path = dir / "sound.jsonl";
  const auto log = open_log(path);
  for (int i = 0; i < count; ++i) log->write(record_for("h" + std::to_string(i) + ".example"));
  log->flush();
  return lines_of(path);
}

audit::Verdict verdict_on(const TempDir& dir, const Lines& lines) {
  const std::string path = dir / "changed.jsonl";
  write_lines(path, lines);
  return verdict_of({path});
}

// The only problem there must be, with its line.
void require_problem(const audit::Verdict& verdict, std::uint64_t line, const std::string& word) {
  REQUIRE(verdict.problems_total == 1);
  REQUIRE(verdict.problems.size() == 1);
  CHECK(verdict.problems[0].line == line);
  INFO(verdict.problems[0].what);
  CHECK(verdict.problems[0].what.find(word) != std::string::npos);
}

}  // namespace

TEST_CASE("a sound log is whole, and an empty one as well") {
  const TempDir dir;
  const audit::Verdict verdict = verdict_on(dir, sound_lines(dir, 20));
  REQUIRE(verdict.whole());
  REQUIRE(verdict.lines == 20);
  REQUIRE(verdict.first_sequence == 0U);
  REQUIRE(verdict.last_sequence == 19U);
  REQUIRE(verdict.chain.size() == 64);
  REQUIRE(verdict.remarks.empty());
  const audit::Verdict empty = verdict_on(dir, {});
  REQUIRE(empty.whole());
  REQUIRE(empty.lines == 0);
  REQUIRE(empty.chain.empty());
}

TEST_CASE("a changed line is found by its number, and once") {
  const TempDir dir;
  const Lines sound = sound_lines(dir, 5);
  for (std::size_t at = 0; at < sound.size(); ++at) {
    Lines lines = sound;
    lines[at].replace(lines[at].find(".example"), 8, ".exampel");
    require_problem(verdict_on(dir, lines), at + 1, "changed");
  }
}

TEST_CASE("no byte of a line can be changed unseen") {
  const TempDir dir;
  const Lines sound = sound_lines(dir, 3);
  for (std::size_t at = 0; at < sound[1].size(); ++at) {
    for (const char other : {'0', 'a', '"', '}', ' '}) {
      if (sound[1][at] == other) continue;
      Lines lines = sound;
      lines[1][at] = other;
      INFO(lines[1]);
      REQUIRE_FALSE(verdict_on(dir, lines).whole());
    }
  }
}

TEST_CASE("a missing line is told with its number in the log") {
  const TempDir dir;
  const Lines sound = sound_lines(dir, 6);
  for (std::size_t at = 0; at + 1 < sound.size(); ++at) {
    Lines lines = sound;
    lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(at));
    require_problem(verdict_on(dir, lines), at + 1, "missing before it");
  }
  Lines lines = sound;
  lines.erase(lines.begin() + 1, lines.begin() + 4);
  require_problem(verdict_on(dir, lines), 2, "3 lines (seq 1 to 3) missing");
}

TEST_CASE("a cut-off end cannot be seen, but the last chain value tells") {
  const TempDir dir;
  Lines lines = sound_lines(dir, 6);
  const std::string before = verdict_on(dir, lines).chain;
  lines.pop_back();
  const audit::Verdict verdict = verdict_on(dir, lines);
  REQUIRE(verdict.whole());
  REQUIRE(verdict.chain != before);
}

TEST_CASE("lines that were swapped, repeated or inserted are found") {
  const TempDir dir;
  const Lines sound = sound_lines(dir, 8);
  Lines lines = sound;
  std::swap(lines[3], lines[4]);
  REQUIRE(verdict_on(dir, lines).problems[0].line == 4);
  lines = sound;
  lines.insert(lines.begin() + 3, lines[2]);
  const audit::Verdict repeated = verdict_on(dir, lines);
  REQUIRE(repeated.problems_total == 1);
  REQUIRE(repeated.problems[0].line == 4);
  lines = sound;
  lines.insert(lines.begin() + 3, "{\"seq\":3,\"kind\":\"decision\"}");
  require_problem(verdict_on(dir, lines), 4, "cut short");
  lines = sound;
  lines.insert(lines.begin() + 3, "# a comment");
  require_problem(verdict_on(dir, lines), 4, "no line of an audit log");
  lines = sound;
  lines.insert(lines.begin() + 3, "");
  require_problem(verdict_on(dir, lines), 4, "no line of an audit log");
}

TEST_CASE("a line cut short in the middle of the log is found") {
  const TempDir dir;
  const Lines sound = sound_lines(dir, 5);
  for (std::size_t left = 0; left < sound[2].size(); left += 7) {
    Lines lines = sound;
    lines[2].resize(left);
    const audit::Verdict verdict = verdict_on(dir, lines);
    REQUIRE(verdict.problems_total == 1);
    REQUIRE(verdict.problems[0].line == 3);
  }
}

TEST_CASE("lines numbered anew after one was taken out do not follow") {
  const TempDir dir;
  Lines lines = sound_lines(dir, 6);
  lines.erase(lines.begin() + 2);
  for (std::size_t i = 2; i < lines.size(); ++i) {
    lines[i].replace(lines[i].find(':') + 1, 1, std::to_string(i));
  }
  const audit::Verdict verdict = verdict_on(dir, lines);
  REQUIRE_FALSE(verdict.whole());
  REQUIRE(verdict.problems[0].line == 3);
}

TEST_CASE("a log whose begin is cut off is no log that begins with a continuation") {
  const TempDir dir;
  Lines lines = sound_lines(dir, 6);
  lines.erase(lines.begin(), lines.begin() + 3);
  require_problem(verdict_on(dir, lines), 1, "3 lines (seq 0 to 2) missing");
}

TEST_CASE("what a client sends cannot pass for a note of the log") {
  const TempDir dir;
  const std::string path = dir / "audit.jsonl";
  {
    const auto log = open_log(path);
    audit::Record record = record_for("\",\"kind\":\"note\",\"lost\":5,\"x\":\"");
    record.detail = ",\"lost\":7,\"continues\":\"" + std::string(64, 'a') + "\"";
    log->write(record);
    log->write(record);
  }
  Lines lines = lines_of(path);
  REQUIRE(verdict_of({path}).whole());
  REQUIRE(verdict_of({path}).lost == 0);
  lines.erase(lines.begin());
  REQUIRE_FALSE(verdict_on(dir, lines).whole());
}

TEST_CASE("many problems are counted and the first of them listed") {
  const TempDir dir;
  Lines lines = sound_lines(dir, 400);
  for (std::string& line : lines) line.replace(line.find(".example"), 8, ".exampel");
  const audit::Verdict verdict = verdict_on(dir, lines);
  REQUIRE(verdict.problems_total == 400);
  REQUIRE(verdict.problems.size() == audit::Verdict::listed_max);
}

TEST_CASE("noise, endless lines and directories are told of and do no harm") {
  const TempDir dir;
  std::string noise(100'000, '\0');
  for (std::size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<char>(i * 7919 >> 3);
  REQUIRE_FALSE(verdict_of({dir.write("noise", noise + "\n")}).whole());
  const std::string endless(audit::LineReader::line_bytes_max * 3, 'x');
  const audit::Verdict verdict = verdict_of({dir.write("endless", endless + "\n\n" + endless)});
  REQUIRE(verdict.problems_total == 3);
  REQUIRE(verdict.problems[1].line == 2);
  REQUIRE_FALSE(audit::verify({dir.path()}));
  REQUIRE_FALSE(audit::verify({dir / "absent"}));
}

TEST_CASE("lines come whole however they lie across the reader's buffer") {
  const TempDir dir;
  std::string text;
  for (std::size_t i = 0; i < 4'000; ++i) text += std::string(i % 3'001, 'y') + "\n";
  text += "rest";
  auto reader = audit::LineReader::open(dir.write("lines", text));
  REQUIRE(reader);
  std::string_view line;
  for (std::size_t i = 0; i < 4'000; ++i) {
    REQUIRE(reader->next(line) == audit::LineReader::Step::line);
    REQUIRE(line.size() == i % 3'001);
  }
  REQUIRE(reader->next(line) == audit::LineReader::Step::incomplete);
  REQUIRE(line == "rest");
  REQUIRE(reader->next(line) == audit::LineReader::Step::end);
  REQUIRE(reader->next(line) == audit::LineReader::Step::end);
}

}  // namespace nono::test
