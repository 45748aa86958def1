// Profiles: the guide's, verbatim, and what is wrong with others.

#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

Command with_profile(const Stage& stage, const std::string& profile,
                     const std::vector<std::string>& command) {
  std::vector<std::string> arguments = {"--profile", profile, "--"};
  arguments.insert(arguments.end(), command.begin(), command.end());
  return stage.nono_run(arguments);
}

// Writes a profile, expects it refused at `where`, and that nothing was started.
void check_refused(const std::string& name, const std::string& text, const std::string& where,
                   const std::string& what) {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_file(name, text);
  const Finished ended = run(with_profile(*stage, name, {"touch", "started"}));
  INFO(ended.err);
  CHECK(ended.code == 1);
  CHECK_THAT(ended.err, Contains(name + ":" + where) && Contains(what));
  CHECK_FALSE(std::filesystem::exists(stage->project() + "/started"));
}

TEST_CASE("the guide's profile works as printed") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("untrusted-python.json");
  stage->project_data("fetch.py");
  stage->dir().write("home/.ssh/id_ed25519", "PRIVATE-KEY-MATERIAL", 0600);
  stage->project_file("my_script.py",
                      "import subprocess, sys\n"
                      "open('made', 'w').write('x')\n"
                      "try:\n  print(open(sys.argv[1]).read())\n"
                      "except OSError as e:\n  print('no key', e.errno)\n"
                      "subprocess.run(['python3', 'fetch.py', 'http://example.com/hello'])\n");
  const Finished ended =
      run(with_profile(*stage, "untrusted-python.json",
                       {"python3", "my_script.py", stage->home() + "/.ssh/id_ed25519"}));
  INFO(ended.out << ended.err);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out, Contains("no key") && !Contains("PRIVATE-KEY-MATERIAL"));
  CHECK_THAT(ended.out, Contains("http://example.com/hello refused 403"));
  CHECK(std::filesystem::exists(stage->project() + "/made"));
  // The words that the guide uses never warn.
  CHECK_THAT(ended.err, !Contains("deprecated"));
}

TEST_CASE("the guide's profile reaches its host through an opaque tunnel") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("untrusted-python.json");
  const Finished ended =
      run(with_profile(*stage, "untrusted-python.json",
                       {"curl", "-sS", "--cacert", "ca.pem", "https://api.openai.com/hello"}));
  INFO(ended.err);
  CHECK(ended.out == "hello\n");
}

TEST_CASE("the same profile as YAML does the same") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_file(
      "mine.yaml",
      "meta: {name: mine}\nworkdir: {access: readwrite}\nnetwork:\n  allow_domain:\n"
      "    - example.com\n");
  const Finished ended =
      run(with_profile(*stage, "mine.yaml", {"curl", "-sS", "http://example.com/hello"}));
  INFO(ended.err);
  CHECK(ended.out == "hello\n");
}

TEST_CASE("an unknown key is refused with its place and a suggestion") {
  check_refused("p.json", "{\n  \"meta\": {\"name\": \"p\"},\n  \"netwrok\": {}\n}\n",
                "3:", "network");
}

TEST_CASE("a wrong type is refused with its place") {
  check_refused("p.json", "{\n  \"meta\": {\"name\": \"p\"},\n  \"filesystem\": {\"read\": 7}\n}\n",
                "3:", "read");
}

TEST_CASE("broken syntax is refused with its place") {
  check_refused("p.json", "{\n  \"meta\": {\"name\": \"p\",\n", "", "");
  check_refused("p.yaml", "meta:\n  name: [p\nworkdir: x\n", "", "");
}

TEST_CASE("a profile name that does not exist is refused with those that do") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(with_profile(*stage, "pyton-dev", {"true"}));
  CHECK(ended.code == 1);
  CHECK_THAT(ended.err, Contains("pyton-dev") && Contains("python-dev"));
}

TEST_CASE("a network profile that does not exist is refused with those that do") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(stage->nono_run({"--network-profile", "minmal", "--", "true"}));
  CHECK((ended.code == 1 || ended.code == 2));
  CHECK_THAT(ended.err, Contains("minimal"));
}

}  // namespace
}  // namespace nono::testing
