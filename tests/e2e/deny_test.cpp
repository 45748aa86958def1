// Protected paths inside a granted directory: hidden, not to be moved or replaced, and nono's own
// places closed in every mode.

#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

const std::vector<std::optional<uid_t>> users = {std::nullopt, ordinary_user};

Finished shell(const Stage& stage, std::vector<std::string> flags, const std::string& script,
               const std::string& cwd = "") {
  flags.insert(flags.begin(), "run");
  flags.insert(flags.end(), {"--", "sh", "-c", script});
  Command command = stage.nono(flags);
  if (!cwd.empty()) command.cwd = cwd;
  return run(command);
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

// What a command that wants the key tries, in a home that it may read and write.
constexpr const char* attacks =
    "cat .ssh/id_ed25519; ls .ssh; cat .netrc .config/gh/hosts.yml; "
    "cat /proc/self/root$PWD/.ssh/id_ed25519; cat /proc/self/cwd/.ssh/id_ed25519; "
    "chmod 777 .ssh .netrc; mv .ssh away; mv .netrc away2; mv .config moved; "
    "rm -rf .ssh .netrc .config/gh; umount .ssh; umount -l .ssh; ln .netrc hard; ln -s .ssh soft; "
    "cat soft/id_ed25519 hard; cp -r .ssh copy; cat moved/gh/hosts.yml copy/*; "
    "mkdir .new && mv -T .new .ssh; echo x > .new2; mv -f .new2 .netrc; "
    "python3 -c 'import os; os.rename(\".config\", \"renamed\")'; "
    "echo x > .ssh/authorized_keys; echo x >> .netrc; echo ok > ordinary; mkdir -p .config/mine && "
    "echo kept > .config/mine/file";

TEST_CASE("with the whole home granted what is protected there is hidden and stays in its place") {
  for (const std::optional<uid_t>& user : users) {
    const auto stage = Stage::make(user);
    if (!stage) return;
    stage->dir().write("home/.ssh/id_ed25519", "PRIVATE-KEY-MATERIAL", 0600);
    stage->dir().write("home/.netrc", "PRIVATE-KEY-MATERIAL", 0600);
    stage->dir().write("home/.config/gh/hosts.yml", "PRIVATE-KEY-MATERIAL", 0600);
    for (const char* way : {"--allow", "--allow-cwd", "/"}) {
      INFO(way);
      std::vector<std::string> flags{way};
      if (flags[0] == "--allow") flags.push_back(stage->home());
      if (flags[0] == "/") flags = {"--allow", "/"};
      const Finished ended = shell(*stage, flags, attacks, stage->home());
      INFO(ended.out << ended.err);
      CHECK(ended.code == 0);
      CHECK_THAT(ended.out + ended.err, !Contains("PRIVATE-KEY-MATERIAL"));
      CHECK(names_in(stage->home() + "/.ssh") == std::vector<std::string>{"id_ed25519"});
      CHECK(read_file(stage->home() + "/.netrc") == "PRIVATE-KEY-MATERIAL");
      CHECK(read_file(stage->home() + "/.config/gh/hosts.yml") == "PRIVATE-KEY-MATERIAL");
      CHECK(read_file(stage->home() + "/ordinary") == "ok\n");
      CHECK(read_file(stage->home() + "/.config/mine/file") == "kept\n");
      CHECK_FALSE(fs::exists(stage->home() + "/hard"));
      fs::remove_all(stage->home() + "/soft");
      fs::remove_all(stage->home() + "/copy");
    }
  }
}

TEST_CASE("a protected name that is a link hides what it leads to, and cannot be replaced") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string key = stage->dir().write("home/dotfiles/ssh/id", "PRIVATE-KEY-MATERIAL", 0600);
  fs::create_directory_symlink("dotfiles/ssh", stage->home() + "/.ssh");
  const Finished ended =
      shell(*stage, {"--allow-cwd"},
            "cat .ssh/id dotfiles/ssh/id; rm -f .ssh; mv .ssh away; mv dotfiles x; "
            "rm -rf dotfiles/ssh; mkdir .ssh; true",
            stage->home());
  INFO(ended.err);
  CHECK_THAT(ended.out, !Contains("PRIVATE-KEY-MATERIAL"));
  CHECK(fs::is_symlink(stage->home() + "/.ssh"));
  CHECK(read_file(key) == "PRIVATE-KEY-MATERIAL");
}

TEST_CASE("a protected path that the command makes is told before and after the run") {
  const auto stage = Stage::make();
  if (!stage) return;
  fs::remove_all(stage->home() + "/.ssh");
  const Finished ended = shell(*stage, {"--allow-cwd"}, "mkdir .ssh", stage->home());
  CHECK(ended.code == 0);
  CHECK_THAT(ended.err, Contains("could create " + stage->home() + "/.ssh and ") &&
                            Contains(stage->home() + "/.ssh is a protected path and was made"));
  const Finished silent = shell(*stage, {"--allow-cwd", "--silent"}, "mkdir .aws", stage->home());
  CHECK(silent.err.empty());
  const Finished next = shell(*stage, {"--allow-cwd"}, "ls .ssh; touch .ssh/x", stage->home());
  CHECK_FALSE(fs::exists(stage->home() + "/.ssh/x"));
}

TEST_CASE("a bypass shows a protected directory, or one file of it, and no more") {
  for (const std::optional<uid_t>& user : users) {
    const auto stage = Stage::make(user);
    if (!stage) return;
    const std::string key = stage->dir().write("home/.ssh/id_ed25519", "PRIVATE-KEY", 0600);
    const std::string hosts = stage->dir().write("home/.ssh/known_hosts", "HOSTS", 0600);
    const std::string both = "cat ~/.ssh/known_hosts; cat ~/.ssh/id_ed25519; echo x >> " + hosts;
    Finished ended = shell(*stage, {"--read-file", hosts, "--bypass-protection", hosts}, both);
    INFO(ended.err);
    CHECK(ended.out == "HOSTS");
    ended = shell(*stage,
                  {"--allow", stage->home(), "--read-file", hosts, "--bypass-protection", hosts},
                  both + "; ls ~/.ssh; rm -rf ~/.ssh; mv ~/.ssh ~/away; touch ~/.ssh/new");
    INFO(ended.err);
    CHECK(ended.out == "HOSTS");
    CHECK(read_file(hosts) == "HOSTS");
    CHECK(read_file(key) == "PRIVATE-KEY");
    CHECK_FALSE(fs::exists(stage->home() + "/.ssh/new"));
    ended = shell(*stage, {"--read", stage->home(), "--bypass-protection", "~/.ssh"}, both);
    CHECK(ended.out == "HOSTSPRIVATE-KEY");
    ended = shell(*stage, {"--allow-file", hosts, "--bypass-protection", hosts}, both);
    CHECK(ended.out == "HOSTS");
    CHECK(read_file(hosts) == "HOSTSx\n");
  }
}

TEST_CASE("a grant of a protected path itself is refused at the start and names both") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string key = stage->dir().write("home/.ssh/id_ed25519", "PRIVATE-KEY", 0600);
  for (const std::vector<std::string>& flags : std::vector<std::vector<std::string>>{
           {"--read", stage->home() + "/.ssh"}, {"--read-file", key}, {"--allow-cwd"}}) {
    const Finished ended = shell(*stage, flags, "cat " + key, stage->home() + "/.ssh");
    CHECK(ended.code == 1);
    CHECK_THAT(ended.out, !Contains("PRIVATE-KEY"));
    CHECK_THAT(ended.err, Contains(stage->home() + "/.ssh") && Contains("deny_credentials") &&
                              Contains("--bypass-protection"));
  }
}

TEST_CASE("nono's own settings, records and certificates are out of reach in every mode") {
  for (const std::optional<uid_t>& user : users) {
    const auto stage = Stage::make(user);
    if (!stage) return;
    const std::string config = stage->home() + "/.config/nono";
    stage->dir().write("home/.config/nono/profiles/mine.json", "{}", 0600);
    const std::string state = stage->home() + "/.local/state/nono";
    for (const char* access : {"--read", "--allow"}) {
      for (const std::string& place : {std::string("/"), stage->home()}) {
        INFO(access << " " << place);
        const Finished ended = shell(*stage,
                                     {access, place, "--allow-domain", "allowed.example",
                                      "--credential", "openai=env://STAGE_KEY_NOT_SET_ANYWHERE"},
                                     "true");
        CHECK(ended.code == 1);  // no such key: nothing ran, and nothing was left behind
        const Finished looked = shell(
            *stage, {access, place, "--allow-domain", "allowed.example"},
            "cat " + config + "/profiles/mine.json; ls " + config + " " + state + "; echo x > " +
                config + "/profiles/default.json; rm -rf " + config + "; mv " + stage->home() +
                "/.config " + stage->home() + "/c2; mv " + stage->home() + "/.local " +
                stage->home() + "/l2; touch " + state + "/new; true");
        INFO(looked.out << looked.err);
        CHECK(looked.out.empty());
        CHECK(names_in(config) == std::vector<std::string>{"profiles"});
        CHECK(names_in(config + "/profiles") == std::vector<std::string>{"mine.json"});
        CHECK_FALSE(fs::exists(state + "/new"));
        CHECK(fs::exists(state + "/audit"));
      }
    }
  }
}

TEST_CASE("the certificate bundle can be read and not changed, with everything granted") {
  const auto stage = Stage::make();
  if (!stage) return;
  Command command = stage->nono_run(
      {"--allow", "/", "--proxy-credential", "openai", "--", "sh", "-c",
       "head -c 27 $SSL_CERT_FILE; echo x >> $SSL_CERT_FILE; chmod 666 $SSL_CERT_FILE; "
       "rm -f $SSL_CERT_FILE; python3 -c 'import os, sys; d = os.path.dirname(sys.argv[1]); "
       "os.rename(d, d + \"moved\"); print(\"MOVED\")' $SSL_CERT_FILE; "
       "touch $(dirname $SSL_CERT_FILE)/new && echo WROTE; ls $(dirname $(dirname $SSL_CERT_FILE)) "
       "&& echo LISTED; true"});
  command.env["OPENAI_API_KEY"] = stage->real_key();
  const Finished ended = run(command);
  INFO(ended.err);
  CHECK_THAT(ended.out, Contains("BEGIN") || Contains("#"));
  CHECK_THAT(ended.out, !Contains("WROTE") && !Contains("LISTED") && !Contains("MOVED"));
}

}  // namespace
}  // namespace nono::testing
