// A command that floods its proxy gets slow answers or none; the proxy stays as large as it was.

#include <csignal>

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

// Below the proxy stand the launcher and the process between it and the command.
std::vector<pid_t> helpers_of(pid_t pid) {
  std::vector<pid_t> found;
  for (int level = 0; level < 2; ++level) {
    const std::string name = std::to_string(pid);
    const std::string children = read_file("/proc/" + name + "/task/" + name + "/children");
    if (children.empty()) break;
    pid = std::stoi(children);
    found.push_back(pid);
  }
  return found;
}

struct Flooded {
  Finished finished;
  long grown_kb = 0;    // the proxy's greatest size less its size at the first answer
  long helpers_kb = 0;  // the same of its helpers, which connect under notify
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
  const std::vector<pid_t> helpers = helpers_of(process.pid());
  REQUIRE(helpers.size() == 2);
  for (const pid_t helper : helpers) flooded.helpers_kb -= memory_kb(helper, "VmRSS");
  REQUIRE(process.wait_for(until, 100s));
  flooded.grown_kb = memory_kb(process.pid(), "VmHWM") - before;
  for (const pid_t helper : helpers) flooded.helpers_kb += memory_kb(helper, "VmHWM");
  process.signal(SIGTERM);
  flooded.finished = process.wait(20s);
  CHECK(flooded.finished.code == 128 + SIGTERM);
  return flooded;
}

// Prints what it took, and holds it against a bound.
void check_memory(const Confinement& where, const std::string& what, const Flooded& flooded,
                  long bound_kb) {
  std::printf("%s: %s: %ld KiB more, helpers %ld KiB\n", where.name().c_str(), what.c_str(),
              flooded.grown_kb, flooded.helpers_kb);
  CHECK(flooded.grown_kb < bound_kb);
  CHECK(flooded.helpers_kb < 16'000);
}

int number_after(const std::string& text, const std::string& word) {
  const std::size_t at = text.find(word + " ");
  return at == std::string::npos ? -1 : std::atoi(text.c_str() + at + word.size() + 1);
}

TEST_CASE("twenty thousand connections leave the proxy as large as it was") {
  for (const Confinement& where : confinements()) {
    for (const char* kind : {"connections", "captured"}) {
      const Flooded flooded = flood(kind, 20'000, where, "connections ");
      INFO(where.name() << kind << flooded.finished.out << flooded.finished.err);
      CHECK(number_after(flooded.finished.out, "connections") == 20'000);
      check_memory(where, std::string("20,000 ") + kind, flooded, 32'000);
    }
  }
}

TEST_CASE("five thousand half-open requests cost the proxy a bounded piece of memory") {
  for (const Confinement& where : confinements()) {
    for (const char* kind : {"half-open", "captured-half-open"}) {
      const Flooded flooded = flood(kind, 5'000, where, "holding ");
      INFO(where.name() << kind << flooded.finished.out << flooded.finished.err);
      CHECK(number_after(flooded.finished.out, "holding") == 5'000);
      check_memory(where, std::string("5,000 ") + kind, flooded, 200'000);
    }
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
    check_memory(where, std::to_string(many()) + " names", flooded, 64'000);
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
    check_memory(where, std::to_string(many()) + " questions", flooded, 64'000);
  }
}

TEST_CASE("hundreds of thousands of questions over TCP leave the proxy as large as it was") {
  for (const Confinement& where : confinements()) {
    const Flooded flooded = flood("tcp-questions", many(), where, "questions ");
    INFO(where.name() << flooded.finished.out << flooded.finished.err);
    CHECK(number_after(flooded.finished.out, "tcp-questions") == many());
    check_memory(where, std::to_string(many()) + " questions over TCP", flooded, 64'000);
  }
}

}  // namespace
}  // namespace nono::testing
