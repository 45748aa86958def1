// The system keyring against a real gnome-keyring on a session bus of its own: a test outside
// starts the bus and the daemon, unlocks it from a script, and runs this executable again inside.

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>

#include "keystore/keystore.hpp"
#include "keystore/sources.hpp"
#include "tests/support/checkout.hpp"

using namespace nono;

namespace {

bool installed(const char* program) {
  const std::string command = std::string("command -v ") + program + " >/dev/null 2>&1";
  return std::system(command.c_str()) == 0;  // NOLINT(cert-env33-c)
}

bool keyring_installed() {
  for (const char* program :
       {"dbus-run-session", "gnome-keyring-daemon", "secret-tool", "dbus-send"}) {
    if (!installed(program)) {
      std::cout << "skipped by name: " << program << " is not installed\n";
      return false;
    }
  }
  return true;
}

// Runs `script` on a bus of its own with private directories; $SELF is this executable.
int run_on_private_bus(const std::string& script) {
  namespace fs = std::filesystem;
  std::string pattern = (fs::temp_directory_path() / "nono-keyring-XXXXXX").string();
  const fs::path root = ::mkdtemp(pattern.data());
  for (const char* name : {"home", "run", "data"}) fs::create_directory(root / name);
  fs::permissions(root / "run", fs::perms::owner_all);
  const std::string self = fs::read_symlink("/proc/self/exe").string();
  const std::string command = "env -i PATH=\"$PATH\" HOME=" + (root / "home").string() +
                              " XDG_RUNTIME_DIR=" + (root / "run").string() +
                              " XDG_DATA_HOME=" + (root / "data").string() + " SELF=" + self +
                              " timeout 60 dbus-run-session -- sh -c '" + script + "' 2>&1";
  const int status = std::system(command.c_str());  // NOLINT(cert-env33-c)
  fs::remove_all(root);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

const std::string unlock = ". " + nono::testing::source_dir() + "/tests/support/unlock_keyring.sh; ";

std::string text_of(const Result<Secret>& secret) {
  return secret ? std::string(secret->expose()) : "error: " + secret.error().what;
}

}  // namespace

TEST_CASE("a real keyring stores, finds, replaces, lists and removes keys") {
  if (!keyring_installed()) return;
  const int status = run_on_private_bus(unlock +
                                        "store() { printf %s \"$1\" | secret-tool store "
                                        "--label=\"nono: test\" service nono username $2 $3; }; "
                                        "store sk-tool openai \"target default\" || exit 91; "
                                        "store sk-plain plain \"\" || exit 91; "
                                        "store sk-other other \"target elsewhere\" || exit 91; "
                                        "\"$SELF\" \"[inside-open]\" || exit 92; "
                                        "test \"$(secret-tool lookup service nono username mine "
                                        "target default)\" = sk-mine || exit 93; "
                                        "test \"$(secret-tool lookup service nono username openai "
                                        "target default)\" = sk-new || exit 94; "
                                        "exit 0");
  CHECK(status == 0);
}

TEST_CASE("inside an unlocked keyring", "[.][inside-open]") {
  const std::unique_ptr<keystore::Keystore> keyring = keystore::open_system_keystore();
  // What secret-tool stored, with a target and without.
  CHECK(text_of(keyring->get("nono", "openai")) == "sk-tool");
  CHECK(text_of(keyring->get("nono", "plain")) == "sk-plain");
  // An item with a target that is not ours belongs to somebody else.
  CHECK(keyring->get("nono", "other").error().code == ErrorCode::secret_missing);
  CHECK(keyring->get("nono", "none").error().code == ErrorCode::secret_missing);
  CHECK(keyring->get("elsewhere", "openai").error().code == ErrorCode::secret_missing);

  REQUIRE(keyring->put("nono", "mine", Secret("sk-mine")));
  CHECK(text_of(keyring->get("nono", "mine")) == "sk-mine");
  REQUIRE(keyring->put("nono", "openai", Secret("sk-new")));
  CHECK(text_of(keyring->get("nono", "openai")) == "sk-new");

  const Result<std::vector<std::string>> accounts = keyring->list("nono");
  REQUIRE(accounts);
  CHECK(*accounts == std::vector<std::string>{"mine", "openai", "plain"});

  CHECK(keyring->erase("nono", "plain").value());
  CHECK_FALSE(keyring->erase("nono", "plain").value());
  CHECK_FALSE(keyring->erase("nono", "other").value());
  CHECK(keyring->get("nono", "plain").error().code == ErrorCode::secret_missing);

  const auto no_variables = [](std::string_view) { return std::optional<std::string>(); };
  const auto found =
      keystore::read_first({"none", "keyring://nono/openai"}, *keyring, no_variables);
  REQUIRE(found);
  CHECK(found->secret.expose() == "sk-new");
}

TEST_CASE("a bus without a keyring is an error that offers other sources") {
  if (!keyring_installed()) return;
  // No service files in sight: nothing can be started by name.
  const int status = run_on_private_bus(
      "export XDG_DATA_DIRS=/nonexistent; "
      "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent/bus \"$SELF\" \"[inside-none]\"");
  CHECK(status == 0);
}

TEST_CASE("inside a session without a keyring", "[.][inside-none]") {
  const std::unique_ptr<keystore::Keystore> keyring = keystore::open_system_keystore();
  const Result<Secret> secret = keyring->get("nono", "openai");
  REQUIRE_FALSE(secret);
  CHECK(secret.error().code == ErrorCode::not_supported);
  CHECK(secret.error().fix.find("env://") != std::string::npos);
}

TEST_CASE("a keyring that stays locked gives an error within the timeout, and no secret") {
  if (!keyring_installed()) return;
  const int status = run_on_private_bus(
      unlock +
      "printf sk-tool | secret-tool store --label=x service nono "
      "username openai target default || exit 91; "
      "dbus-send --session --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets "
      "org.freedesktop.Secret.Service.Lock "
      "array:objpath:/org/freedesktop/secrets/collection/login >/dev/null || exit 95; "
      "\"$SELF\" \"[inside-locked]\"");
  CHECK(status == 0);
}

TEST_CASE("inside a locked keyring", "[.][inside-locked]") {
  const auto keyring = keystore::open_system_keystore(std::chrono::seconds(2));
  const auto start = std::chrono::steady_clock::now();
  const Result<Secret> secret = keyring->get("nono", "openai");
  REQUIRE_FALSE(secret);
  CHECK(secret.error().code != ErrorCode::secret_missing);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

TEST_CASE("without a session bus the error says so and offers env:// and file://") {
  const char* address = std::getenv("DBUS_SESSION_BUS_ADDRESS");
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const std::string old_address = address == nullptr ? "" : address;
  const std::string old_runtime = runtime == nullptr ? "" : runtime;
  ::unsetenv("DBUS_SESSION_BUS_ADDRESS");
  ::setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
  const Result<Secret> secret = keystore::open_system_keystore()->get("nono", "openai");
  if (address != nullptr) ::setenv("DBUS_SESSION_BUS_ADDRESS", old_address.c_str(), 1);
  if (runtime != nullptr) ::setenv("XDG_RUNTIME_DIR", old_runtime.c_str(), 1);
  if (runtime == nullptr) ::unsetenv("XDG_RUNTIME_DIR");
  REQUIRE_FALSE(secret);
  CHECK(secret.error().code == ErrorCode::not_supported);
  CHECK(secret.error().what.find("D-Bus session bus") != std::string::npos);
  CHECK(secret.error().fix.find("env://VAR or file:///path") != std::string::npos);
}
