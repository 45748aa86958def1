// The sandbox's own processes, killed at any moment: nothing opens, nothing lives on, nothing
// secret stays.

#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <random>
#include <sstream>

#include "tests/escape/scene.hpp"
#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr int rounds_per_victim = 20;
// The last one is what a shell's `kill %1` and a job server's time limit do.
constexpr const char* victims[] = {"P", "L", "I", "the process group"};
constexpr int victim_count = 4;
constexpr int group = 3;

unsigned new_seed() {
  unsigned seed = 0;
  REQUIRE(::getrandom(&seed, sizeof seed, 0) == sizeof seed);
  return seed;
}

// As far down the chain of last children as it stands yet.
pid_t descendant(pid_t pid, int depth) {
  for (int level = 0; level < depth; ++level) {
    const std::string name = std::to_string(pid);
    const std::string children = read_file("/proc/" + name + "/task/" + name + "/children");
    if (children.empty()) break;
    std::istringstream all(children);
    while (all >> pid) {
    }
  }
  return pid;
}

// A run with a key and a CA, in which the command reaches for everything it may not.
Command lingering(const Scene& scene, const Confinement& where, const std::string& key,
                  const std::string& runtime) {
  std::vector<std::string> line = {scene.programs(), "linger", "mark=linger"};
  for (const std::string& word : scene.words(where)) line.push_back(word);
  Command command = scene.command(line, where);
  const auto run = std::find(command.argv.begin(), command.argv.end(), "run");
  command.argv.insert(run + 1, {"--credential", "openai=env://CANARY_KEY"});
  command.env["CANARY_KEY"] = key;
  command.env["XDG_RUNTIME_DIR"] = runtime;
  return command;
}

// What a killed run left in the runtime directory: public certificates at most.
void check_leftovers(const std::string& runtime, const std::string& key) {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(runtime)) {
    INFO(entry.path());
    const auto open = fs::perms::group_all | fs::perms::others_all;
    if (entry.is_directory()) CHECK((entry.status().permissions() & open) == fs::perms::none);
    if (!entry.is_regular_file()) continue;
    const std::string text = read_file(entry.path());
    CHECK(text.find("PRIVATE KEY") == std::string::npos);
    CHECK(text.find(key) == std::string::npos);
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(runtime)) fs::remove_all(entry);
}

// How long it takes from the start until the command runs.
microseconds time_to_run(const Command& command) {
  const Clock::time_point begin = Clock::now();
  Process process(command);
  REQUIRE(process.wait_for("lingering"));
  return std::chrono::duration_cast<microseconds>(Clock::now() - begin);
}

void pause_for(microseconds length) {
  const timespec time = {static_cast<time_t>(length.count() / 1'000'000),
                         static_cast<long>(length.count() % 1'000'000 * 1000)};
  ::ppoll(nullptr, 0, &time, nullptr);
}

void check_all_gone(const Scene& scene) {
  REQUIRE(eventually([&] { return scene.left_behind().empty(); }));
}

void kill_one(const Process& process, int victim) {
  if (victim == group) {
    ::kill(-process.pid(), SIGKILL);
    return;
  }
  ::kill(descendant(process.pid(), victim), SIGKILL);
}

void kill_at_random(const Confinement& where, std::optional<uid_t> user, unsigned seed) {
  std::minstd_rand random(seed);
  Scene scene(user);
  const TempDir runtime(user);
  fs::permissions(runtime.path(), fs::perms::owner_all);
  const std::string key = "sk-canary-" + random_hex();
  const Command command = lingering(scene, where, key, runtime.path());
  const microseconds whole = time_to_run(command);
  check_all_gone(scene);
  for (int round = 0; round < victim_count * rounds_per_victim; ++round) {
    const int victim = round % victim_count;
    const microseconds moment(random() % static_cast<unsigned>(whole.count() * 3 / 2));
    INFO("seed " << seed << " round " << round << ": " << victims[victim] << " after "
                 << moment.count() << " us");
    Process process(command);
    pause_for(moment);
    kill_one(process, victim);
    const Finished ended = process.wait(20s);
    INFO(ended.out << ended.err);
    CHECK_FALSE(ended.timed_out);
    CHECK(ended.code != 0);
    check_all_gone(scene);
    CHECK(ended.out.find("READ") == std::string::npos);
    CHECK(scene.listeners().hits().empty());
    check_leftovers(runtime.path(), key);
  }
}

TEST_CASE(
    "killing the parent, the launcher, pid 1 or all of the job opens nothing and leaves nothing") {
  for (const std::optional<uid_t> user : users()) {
    for (const Confinement& where : confinements()) {
      const unsigned seed = new_seed();
      std::printf("seed %u as %u %s\n", seed, user.value_or(::geteuid()), where.name().c_str());
      kill_at_random(where, user, seed);
    }
  }
}

}  // namespace
}  // namespace nono::testing
