// A command that floods its proxy gets slow answers or none; the proxy stays as large as it was.

#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "tests/escape/scene.hpp"

namespace nono::testing {
namespace {

// Of a process, in KiB, as /proc/PID/status tells; 0 if it is gone.
long memory_kb(pid_t pid, const std::string& what) {
  std::istringstream lines(read_file("/proc/" + std::to_string(pid) + "/status"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(what + ":")) return std::stol(line.substr(what.size() + 1));
  }
  return 0;
}

struct Flooded {
  Finished finished;
  long grown_kb = 0;  // the proxy's greatest size less its size at the first answer
};

// Floods for as long as it takes; `until` is what the program says when it has done all.
Flooded flood(const std::string& kind, int count, const Confinement& where,
              const std::string& until) {
  Scene scene({});
  Command command =
      scene.command({"sh", "-c",
                     "curl -s -o /dev/null http://first.example/; echo ready; exec \"$0\" flood " +
                         kind + " " + std::to_string(count),
                     scene.programs()},
                    where);
  const auto run = std::find(command.argv.begin(), command.argv.end(), "run");
  command.argv.insert(run + 1, {"--allow-domain", "*.wild.example"});
  // Memory that a sanitizer holds back would count as the proxy's.
  command.env["ASAN_OPTIONS"] += ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64";
  Process process(command);
  Flooded flooded;
  REQUIRE(process.wait_for("ready"));
  const long before = memory_kb(process.pid(), "VmRSS");
  process.wait_for(until, 100s);
  flooded.grown_kb = memory_kb(process.pid(), "VmHWM") - before;
  flooded.finished = process.wait(100s);
  return flooded;
}

int number_after(const std::string& text, const std::string& word) {
  const std::size_t at = text.find(word + " ");
  return at == std::string::npos ? -1 : std::atoi(text.c_str() + at + word.size() + 1);
}

TEST_CASE("twenty thousand connections leave the proxy as large as it was") {
  for (const Confinement& where : confinements()) {
    const Flooded flooded = flood("connections", 20'000, where, "connections ");
    INFO(where.name() << flooded.finished.out << flooded.finished.err);
    CHECK(number_after(flooded.finished.out, "connections") == 20'000);
    std::printf("%s: 20,000 connections: %ld KiB more\n", where.name().c_str(), flooded.grown_kb);
    CHECK(flooded.grown_kb < 32'000);
  }
}

TEST_CASE("five thousand half-open requests cost the proxy a bounded piece of memory") {
  for (const Confinement& where : confinements()) {
    const Flooded flooded = flood("half-open", 5'000, where, "holding ");
    INFO(where.name() << flooded.finished.out << flooded.finished.err);
    CHECK(number_after(flooded.finished.out, "holding") > 0);
    std::printf("%s: 5,000 half-open requests, %d held, %d open: %ld KiB more\n",
                where.name().c_str(), number_after(flooded.finished.out, "holding"),
                number_after(flooded.finished.out, "still open"), flooded.grown_kb);
    CHECK(flooded.grown_kb < 200'000);
  }
}

// The debug binary is ten times slower.
int many() {
  constexpr int whole = 300'000;
  return std::getenv("NONO_TEST_BINARY") != nullptr ? whole : whole / 10;
}

TEST_CASE("hundreds of thousands of names leave the proxy as large as it was") {
  for (const Confinement& where : confinements()) {
    const Flooded flooded = flood("names", many(), where, "names ");
    INFO(where.name() << flooded.finished.out << flooded.finished.err);
    CHECK(number_after(flooded.finished.out, "names") == many());
    std::printf("%s: %d names: %ld KiB more\n", where.name().c_str(), many(), flooded.grown_kb);
    CHECK(flooded.grown_kb < 64'000);
  }
}

TEST_CASE("hundreds of thousands of questions leave the proxy as large as it was") {
  for (const Confinement& where : confinements()) {
    const Flooded flooded = flood("questions", many(), where, "questions ");
    INFO(where.name() << flooded.finished.out << flooded.finished.err);
    if (flooded.finished.out.find("questions none") != std::string::npos) {
      std::printf("not applicable: %s answers no DNS by UDP\n", where.name().c_str());
      continue;
    }
    CHECK(number_after(flooded.finished.out, "questions") == many());
    std::printf("%s: %d questions: %ld KiB more\n", where.name().c_str(), many(), flooded.grown_kb);
    CHECK(flooded.grown_kb < 64'000);
  }
}

}  // namespace
}  // namespace nono::testing
