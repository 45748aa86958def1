// The main job once more, as an ordinary user.

#include <catch2/catch.hpp>

#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("an ordinary user's command is confined to its project") {
  const auto stage = Stage::make(ordinary_user);
  if (!stage) return;
  stage->dir().write("home/.ssh/id_ed25519", "PRIVATE-KEY-MATERIAL", 0600);
  const Finished ended =
      run(stage->nono({"run", "--allow-cwd", "--", "sh", "-c",
                       "echo made > inside && cat inside; cat ~/.ssh/id_ed25519; "
                       "echo x > ~/outside; exit 42"}));
  INFO(ended.err);
  CHECK(ended.code == 42);
  CHECK(ended.out == "made\n");
  CHECK(read_file(stage->home() + "/outside") == "");
}

TEST_CASE("an ordinary user's files belong to that user") {
  const auto stage = Stage::make(ordinary_user);
  if (!stage) return;
  const Finished ended =
      run(stage->nono({"run", "--allow-cwd", "--", "sh", "-c", "touch made; id -u"}));
  INFO(ended.err);
  CHECK(ended.out == std::to_string(ordinary_user) + "\n");
  const Finished owner =
      run({{"stat", "-c", "%u", stage->project() + "/made"}, plain_environment("/"), "", {}, ""});
  CHECK(owner.out == std::to_string(ordinary_user) + "\n");
}

TEST_CASE("an ordinary user's agent works with a phantom and reaches nothing else") {
  const auto stage = Stage::make(ordinary_user);
  if (!stage) return;
  stage->project_data("agent.py");
  stage->project_data("direct.py");
  stage->project_data("fetch.py");
  Command command = stage->nono_run(
      {"--proxy-credential", "openai", "--", "sh", "-c",
       "python3 agent.py; python3 fetch.py http://evil.example/; python3 direct.py " +
           stage->address() + " 80"});
  command.env["OPENAI_API_KEY"] = stage->real_key();
  const Finished ended = run(command);
  INFO(ended.out << ended.err);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out, Contains("https 200") && Contains("base 200") && Contains("refused 403"));
  CHECK_THAT(ended.out, !Contains("WENT OUT") && !Contains(stage->real_key()));
  CHECK_FALSE(stage->asked_for("evil.example"));
}

TEST_CASE("an ordinary user's self-check passes") {
  const auto stage = Stage::make(ordinary_user);
  if (!stage) return;
  const Finished ended = run(stage->nono({"setup", "--check-only"}));
  INFO(ended.out << ended.err);
  CHECK(ended.code == 0);
}

}  // namespace
}  // namespace nono::testing
