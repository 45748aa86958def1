// Which files the command can reach: default deny, with the project and what ordinary programs
// need.

#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

Finished shell(const Stage& stage, const std::string& script, std::vector<std::string> flags = {}) {
  std::vector<std::string> arguments = {"run", "--allow-cwd"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  arguments.insert(arguments.end(), {"--", "sh", "-c", script});
  return run(stage.nono(arguments));
}

TEST_CASE("the private key in the home folder cannot be read") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->dir().write("home/.ssh/id_ed25519", "PRIVATE-KEY-MATERIAL", 0600);
  const Finished ended = shell(*stage, "cat ~/.ssh/id_ed25519");
  INFO(ended.err);
  CHECK(ended.code != 0);
  CHECK_THAT(ended.out + ended.err, !Contains("PRIVATE-KEY-MATERIAL"));
}

TEST_CASE("no way round leads to the private key") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string key = stage->dir().write("home/.ssh/id_ed25519", "PRIVATE-KEY-MATERIAL", 0600);
  fs::create_symlink(key, stage->project() + "/link");
  const Finished ended =
      shell(*stage, "cat link; cat /proc/self/root" + key + "; cat ../.ssh/id_ed25519; ln " + key +
                        " hard && cat hard; mv ~/.ssh stolen && cat stolen/*; "
                        "cp -r ~/.ssh copy && cat copy/*; true");
  CHECK_THAT(ended.out + ended.err, !Contains("PRIVATE-KEY-MATERIAL"));
  CHECK(fs::exists(key));
}

TEST_CASE("the project can be read and written") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_file("in", "content\n");
  const Finished ended =
      shell(*stage, "cat in && mkdir d && mv in d/out && echo more >> d/out && cat d/out");
  INFO(ended.err);
  CHECK(ended.code == 0);
  CHECK(ended.out == "content\ncontent\nmore\n");
  CHECK(read_file(stage->project() + "/d/out") == "content\nmore\n");
}

TEST_CASE("nothing outside the project can be written") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string beside = stage->dir().make_folder("home/beside");
  const Finished ended =
      shell(*stage, "echo x > " + beside +
                        "/made; echo x > ~/made; mkdir ~/folder; echo x >> /etc/hosts; "
                        "touch /usr/bin/made; true");
  CHECK_FALSE(fs::exists(beside + "/made"));
  CHECK_FALSE(fs::exists(stage->home() + "/made"));
  CHECK_FALSE(fs::exists(stage->home() + "/folder"));
  CHECK_FALSE(fs::exists("/usr/bin/made"));
  CHECK_THAT(ended.err, Contains("ermission denied") || Contains("ead-only"));
}

TEST_CASE("other files of the home folder cannot be read without a grant") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string notes = stage->dir().write("home/notes/secret.txt", "SECRET-NOTES");
  CHECK_THAT(shell(*stage, "cat " + notes).out, !Contains("SECRET-NOTES"));
  CHECK_THAT(shell(*stage, "cat " + notes, {"--read", stage->home() + "/notes"}).out,
             Contains("SECRET-NOTES"));
  CHECK_THAT(shell(*stage, "cat " + notes, {"--read-file", notes}).out, Contains("SECRET-NOTES"));
}

TEST_CASE("a read grant does not let write and a write grant of a file reaches that file") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string data = stage->dir().make_folder("home/data");
  const std::string file = stage->dir().write("home/data/file", "old");
  CHECK(shell(*stage, "echo new > " + file, {"--read", data}).code != 0);
  CHECK(read_file(file) == "old");
  CHECK(shell(*stage, "echo new > " + file, {"--write-file", file}).code == 0);
  CHECK(read_file(file) == "new\n");
  CHECK(shell(*stage, "echo x > " + data + "/other", {"--write-file", file}).code != 0);
  CHECK(shell(*stage, "cat " + file + " && echo x > " + data + "/other", {"--allow", data}).code ==
        0);
}

TEST_CASE("temporary files work and are the command's own") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string name = "/tmp/" + random_hex();
  const Finished ended = shell(*stage, "echo x > " + name + " && cat " + name +
                                           " && python3 -c 'import tempfile; "
                                           "print(len(tempfile.NamedTemporaryFile().name) > 0)'");
  INFO(ended.err);
  CHECK(ended.code == 0);
  CHECK(ended.out == "x\nTrue\n");
  CHECK_FALSE(fs::exists(name));
}

TEST_CASE("a project below the host's temporary folder shows through the private one") {
  const auto stage = Stage::make();
  if (!stage) return;
  const TempDir project({}, "/tmp");
  const TempDir neighbour({}, "/tmp");
  neighbour.write("file", "NEIGHBOUR");
  Command command = stage->nono(
      {"run", "--allow-cwd", "--", "sh", "-c", "echo x > made; cat " + neighbour.path() + "/file"});
  command.cwd = project.path();
  const Finished ended = run(command);
  INFO(ended.err);
  CHECK(read_file(project / "made") == "x\n");
  CHECK_THAT(ended.out, !Contains("NEIGHBOUR"));
}

TEST_CASE("a folder that does not exist is a warning and a file given as a folder is an error") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished missing = shell(*stage, "true", {"--read", stage->home() + "/nowhere", "-v"});
  CHECK(missing.code == 0);
  CHECK_THAT(missing.err, Contains("nowhere"));
  const std::string file = stage->dir().write("home/a-file", "x");
  const Finished wrong = shell(*stage, "true", {"--allow", file});
  CHECK(wrong.code == 1);
  CHECK_THAT(wrong.err, Contains("--allow-file"));
}

TEST_CASE("a folder that this user may not read says so and starts nothing") {
  const auto stage = Stage::make(ordinary_user);
  if (!stage) return;
  const Finished ended = shell(*stage, "ls /root", {"--read", "/root"});
  CHECK(ended.code != 0);
  CHECK_THAT(ended.err, Contains("/root"));
}

TEST_CASE("ordinary programs work") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_file("main.c",
                      "#include <stdio.h>\nint main(void) { puts(\"compiled\"); return 0; }\n");
  const Finished gcc = shell(*stage, "gcc main.c -o main && ./main");
  INFO(gcc.err);
  CHECK(gcc.out == "compiled\n");
  CHECK(
      shell(
          *stage,
          "git init -q . && git -c user.name=a -c user.email=a@b.c commit -q --allow-empty -m x && "
          "git log --oneline")
          .code == 0);
  CHECK(shell(*stage,
              "python3 -c 'import ssl, json, sqlite3, socket, subprocess; "
              "subprocess.run([\"true\"], check=True)'")
            .code == 0);
  CHECK(shell(*stage, "bash -c 'curl --version | head -1'").code == 0);
  CHECK(shell(*stage, "python3 -m venv env && env/bin/python -c 'print(1)'").code == 0);
}

TEST_CASE("node works where there is one") {
  const auto stage = Stage::make();
  if (!stage) return;
  if (run({{"node", "--version"}, plain_environment("/"), "", {}, ""}).code != 0) {
    std::puts("skipped by name: node");
    return;
  }
  const Finished ended = shell(*stage, "node -e 'console.log(1 + 1)'");
  INFO(ended.err);
  CHECK(ended.out == "2\n");
}

TEST_CASE("secrets in the environment are withheld and one can be let through by name") {
  const auto stage = Stage::make();
  if (!stage) return;
  Command command = stage->nono({"run", "--allow-cwd", "-v", "--allow-env", "WANTED_TOKEN",
                                 "--set-env", "SET=this", "--", "env"});
  command.env["AWS_SECRET_ACCESS_KEY"] = "aws-secret-value";
  command.env["SOME_API_KEY"] = "api-key-value";
  command.env["SSH_AUTH_SOCK"] = "/run/agent-socket";
  command.env["WANTED_TOKEN"] = "wanted";
  command.env["HARMLESS"] = "harmless";
  const Finished ended = run(command);
  INFO(ended.err);
  CHECK_THAT(ended.out, Contains("WANTED_TOKEN=wanted") && Contains("HARMLESS=harmless") &&
                            Contains("SET=this"));
  CHECK_THAT(ended.out + ended.err, !Contains("aws-secret-value") && !Contains("api-key-value") &&
                                        !Contains("/run/agent-socket"));
  CHECK_THAT(ended.err, Contains("AWS_SECRET_ACCESS_KEY"));
}

TEST_CASE("the profile that confines the command cannot be changed by it") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string text = R"({"meta": {"name": "mine"}, "workdir": {"access": "readwrite"}})";
  stage->project_file("mine.json", text);
  const Finished ended =
      run(stage->nono({"run", "--profile", "mine.json", "--allow-cwd", "--", "sh", "-c",
                       "echo '{}' > mine.json; rm -f mine.json; mv mine.json x; echo new > y; "
                       "mv y mine.json; true"}));
  INFO(ended.err);
  CHECK(read_file(stage->project() + "/mine.json") == text);
}

}  // namespace
}  // namespace nono::testing
