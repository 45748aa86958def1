// The main job once more, as an ordinary user.

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

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

// A root runner over a checkout of somebody else's.
std::unique_ptr<Stage> foreign_checkout() {
  if (::geteuid() != 0) {
    std::puts("skipped by name: root, to run as another user");
    return nullptr;
  }
  return Stage::make(ordinary_user);
}

Command as_root(const Stage& stage, const std::vector<std::string>& arguments) {
  Command command = stage.nono(arguments);
  command.user.reset();
  command.env["HOME"] = "/root";
  command.env["XDG_STATE_HOME"] = stage.root() + "/../root-state";
  return command;
}

TEST_CASE("root in somebody else's directory is told of --user owner, and cannot write there") {
  const auto stage = foreign_checkout();
  if (!stage) return;
  const Finished plain = run(as_root(*stage, {"run", "--allow-cwd", "--", "touch", "made"}));
  CHECK(plain.code != 0);
  CHECK_THAT(plain.err, Contains("belongs to user " + std::to_string(ordinary_user)) &&
                            Contains("--user owner"));
  CHECK_FALSE(std::filesystem::exists(stage->project() + "/made"));
  const Finished reading = run(as_root(*stage, {"run", "--read", ".", "--", "true"}));
  CHECK_THAT(reading.err, !Contains("--user owner"));
}

TEST_CASE("with --user the command is that user, in that user's home, without root's files") {
  const auto stage = foreign_checkout();
  if (!stage) return;
  const std::string uid = std::to_string(ordinary_user);
  for (const std::string& who : {std::string("owner"), uid}) {
    const Finished ended = run(as_root(
        *stage,
        {"run", "--allow-cwd", "--user", who, "--", "sh", "-c",
         "id -u; id -g; id -G; echo $HOME ${XDG_STATE_HOME-none}; echo made > made-" + who +
             "; cat /etc/shadow; grep -E '^(Cap(Eff|Prm|Bnd)|NoNewPrivs)' /proc/self/status"}));
    INFO(ended.out << ended.err);
    CHECK_THAT(ended.out, Contains(uid + "\n" + uid + "\n" + uid + "\n/tmp none\n"));
    CHECK_THAT(ended.out, Contains("CapBnd:\t0000000000000000") && Contains("NoNewPrivs:\t1"));
    CHECK_THAT(ended.out, !Contains("root:"));
    CHECK_THAT(ended.err, !Contains("--user owner"));
    const Finished owner = run({{"stat", "-c", "%u:%g", stage->project() + "/made-" + who},
                                plain_environment("/"),
                                "",
                                {},
                                ""});
    CHECK(owner.out == uid + ":" + uid + "\n");
  }
}

TEST_CASE("with --user the proxy, keys and certificates work, and nono's records stay root's") {
  const auto stage = foreign_checkout();
  if (!stage) return;
  stage->project_data("agent.py");
  Command command = stage->nono_run(
      {"--user", "owner", "--proxy-credential", "openai", "--", "sh", "-c",
       "python3 agent.py; echo x >> $SSL_CERT_FILE; kill -9 $PPID 2>/dev/null; true"});
  command.user.reset();
  command.env["OPENAI_API_KEY"] = stage->real_key();
  const Finished ended = run(command);
  INFO(ended.out << ended.err);
  CHECK_THAT(ended.out, Contains("https 200") && Contains("base 200"));
  CHECK_THAT(ended.out + ended.err, !Contains(stage->real_key()));
  const Finished owner =
      run({{"stat", "-c", "%u", stage->audit_file()}, plain_environment("/"), "", {}, ""});
  CHECK(owner.out == "0\n");
}

TEST_CASE(
    "only root runs a command as another user, and only as one that is a number or the owner") {
  const auto stage = Stage::make(ordinary_user);
  if (!stage) return;
  const Finished other =
      run(stage->nono({"run", "--allow-cwd", "--user", "12", "--", "touch", "ran"}));
  CHECK(other.code == 1);
  CHECK_THAT(other.err, Contains("only root"));
  CHECK_FALSE(std::filesystem::exists(stage->project() + "/ran"));
  const Finished wrong = run(stage->nono({"run", "--user", "somebody", "--", "true"}));
  CHECK(wrong.code == 1);
  CHECK_THAT(wrong.err, Contains("'somebody'") && Contains("id -u"));
  const Finished own =
      run(stage->nono({"run", "--allow-cwd", "--user", "owner", "--", "id", "-u"}));
  CHECK(own.out == std::to_string(ordinary_user) + "\n");
}

}  // namespace
}  // namespace nono::testing
