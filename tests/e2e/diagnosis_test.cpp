// What is said after a run about files that were not granted.

#include <catch2/catch.hpp>

#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("with diagnosis the footer names the file and the flag, and that flag works") {
  for (const std::optional<uid_t> user : {std::optional<uid_t>(), std::optional(ordinary_user)}) {
    const auto stage = Stage::make(user);
    if (!stage) return;
    const std::string file = stage->dir().write("home/data/file", "CONTENT\n");
    const Finished denied =
        run(stage->nono({"run", "--allow-cwd", "--diagnose", "--", "cat", file}));
    INFO(denied.err);
    CHECK(denied.code == 1);
    CHECK_THAT(denied.out, !Contains("CONTENT"));
    CHECK_THAT(denied.err, Contains(file + "  not granted") && Contains("--read-file " + file));
    const Finished granted = run(
        stage->nono({"run", "--allow-cwd", "--diagnose", "--read-file", file, "--", "cat", file}));
    CHECK(granted.out == "CONTENT\n");
    CHECK(granted.err == "");
  }
}

TEST_CASE("a required deny is named without any flag that would lift it") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->dir().write("home/.ssh/id_ed25519", "PRIVATE-KEY-MATERIAL", 0600);
  const Finished ended = run(
      stage->nono({"run", "--allow-cwd", "--diagnose", "--", "sh", "-c", "cat ~/.ssh/id_ed25519"}));
  INFO(ended.err);
  CHECK_THAT(ended.err, Contains("/.ssh/id_ed25519  always denied"));
  CHECK_THAT(ended.err, !Contains("--read-file") && !Contains("--bypass-protection"));
}

TEST_CASE("without diagnosis a command that fails by itself gets no footer") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(stage->nono({"run", "--allow-cwd", "--", "sh", "-c", "exit 3"}));
  CHECK(ended.code == 3);
  CHECK(ended.err == "");
}

TEST_CASE("diagnostics as JSON name hosts and files, and are silent with --silent") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string file = stage->dir().write("home/data/file", "CONTENT\n");
  const std::vector<std::string> command = {
      "--diagnose", "--diagnostics-json",
      "--",         "sh",
      "-c",         "curl -s -o /dev/null http://evil.example/; cat " + file + " 2> /dev/null"};
  std::vector<std::string> arguments = {"--allow-domain", "example.com"};
  arguments.insert(arguments.end(), command.begin(), command.end());
  const Finished ended = run(stage->nono_run(arguments));
  INFO(ended.err);
  const nlohmann::json all = nlohmann::json::parse(ended.err);
  CHECK(all["exit_code"] == 1);
  REQUIRE(all["denials"].size() == 2);
  CHECK(all["denials"][0]["host"] == "evil.example");
  CHECK(all["denials"][1]["path"] == file);
  arguments.insert(arguments.begin(), "--silent");
  CHECK(run(stage->nono_run(arguments)).err == "");
}

TEST_CASE("diagnosis without a network flag and with a blocked network works as well") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string file = stage->dir().write("home/data/file", "CONTENT\n");
  for (const std::vector<std::string>& network :
       {std::vector<std::string>{}, std::vector<std::string>{"--block-net"}}) {
    std::vector<std::string> arguments = {"run", "--allow-cwd", "--diagnose"};
    arguments.insert(arguments.end(), network.begin(), network.end());
    arguments.insert(arguments.end(), {"--", "cat", file});
    CHECK_THAT(run(stage->nono(arguments)).err, Contains("--read-file " + file));
  }
}

}  // namespace
}  // namespace nono::testing
