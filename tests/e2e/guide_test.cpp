// The commands of the user's guide, each as it is written there.

#include <catch2/catch.hpp>

#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

// Runs the words as typed; `also` are the flags that make this machine stand in for the internet.
Finished as_typed(const Stage& stage, const std::vector<std::string>& words,
                  const std::map<std::string, std::string>& env = {}) {
  Command command = stage.nono(words);
  for (const auto& [name, value] : env) command.env[name] = value;
  return run(command);
}

TEST_CASE("guide: the first run is confined to the folder") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->dir().write("home/.aws/credentials", "AWS-SECRET", 0600);
  stage->project_file("my_script.py",
                      "import os\nopen('out', 'w').write('x')\n"
                      "try:\n  print(open(os.path.expanduser('~/.aws/credentials')).read())\n"
                      "except OSError as e:\n  print('blocked', type(e).__name__)\n");
  const Finished ended = as_typed(*stage, {"run", "--allow-cwd", "--", "python3", "my_script.py"});
  INFO(ended.err);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out, Contains("blocked") && !Contains("AWS-SECRET"));
}

TEST_CASE("guide: the minimal network profile refuses an unknown server") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("fetch.py");
  stage->project_file(
      "my_script.py",
      "import os\nos.execvp('python3', ['python3', 'fetch.py', 'http://evil.example/'])\n");
  const Finished ended = as_typed(*stage, {"run", "--allow-cwd", "--network-profile", "minimal",
                                           "--", "python3", "my_script.py"});
  INFO(ended.err);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out, Contains("refused 403"));
}

TEST_CASE("guide: a host is added to the minimal network profile") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("fetch.py");
  std::vector<std::string> words = {"run",     "--allow-cwd",    "--network-profile",
                                    "minimal", "--allow-domain", "huggingface.co"};
  for (const std::string& flag : stage->network_flags()) words.push_back(flag);
  for (const char* word :
       {"--", "python3", "fetch.py", "http://huggingface.co/hello", "http://evil.example/"}) {
    words.emplace_back(word);
  }
  const Finished ended = as_typed(*stage, words);
  INFO(ended.err);
  CHECK_THAT(ended.out, Contains("huggingface.co/hello 200 hello"));
  CHECK_THAT(ended.out, Contains("evil.example/ refused 403"));
}

TEST_CASE("guide: a key exported in the parent needs the credential flag and nothing else") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_file("my_agent.py", "import os\nprint(os.environ['OPENAI_API_KEY'])\n");
  const Finished ended = as_typed(
      *stage,
      {"run", "--allow-cwd", "--proxy-credential", "openai", "--", "python3", "my_agent.py"},
      {{"OPENAI_API_KEY", stage->real_key()}});
  INFO(ended.err);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out, Contains("sk-") && Contains("nono_") && !Contains(stage->real_key()));
}

TEST_CASE("guide: the profile is used from its file") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("untrusted-python.json");
  stage->project_file("my_script.py", "print('ran')\n");
  const Finished ended = as_typed(*stage, {"run", "--profile", "untrusted-python.json",
                                           "--allow-cwd", "--", "python3", "my_script.py"});
  INFO(ended.err);
  CHECK(ended.code == 0);
  CHECK(ended.out == "ran\n");
}

}  // namespace
}  // namespace nono::testing
