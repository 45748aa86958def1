// References to secrets: which are accepted, the order in which they are tried, and what is
// refused.

#include "keystore/sources.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/keystore/memory_keystore.hpp"

using namespace nono;
using keystore::check_reference;
using keystore::read_first;

namespace {

std::optional<std::string> no_variables(std::string_view) {
  return std::nullopt;
}

// A directory of its own for each test, gone afterwards.
class Directory {
 public:
  Directory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "nono-sources-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string write(const std::string& name, const std::string& content, mode_t mode = 0600) const {
    const std::string path = path_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    ::chmod(path.c_str(), mode);
    return path;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

ErrorCode code_of(const Result<void>& result) {
  REQUIRE_FALSE(result);
  return result.error().code;
}

}  // namespace

TEST_CASE("references of every supported kind are accepted") {
  for (const char* reference :
       {"openai", "openai_api_key", "my key", "keyring://nono/openai", "keyring://my%20app/a%2Fb",
        "env://OPENAI_API_KEY", "env://_x9", "file:///run/secrets/key"}) {
    INFO(reference);
    CHECK(check_reference(reference));
  }
}

TEST_CASE("malformed references are refused before anything is read") {
  for (const char* reference : {"",
                                "a/b",
                                " openai",
                                "keyring://",
                                "keyring://nono",
                                "keyring://nono/",
                                "keyring:///openai",
                                "keyring://a/b/c",
                                "keyring://a/b?decode=go-keyring",
                                "keyring://a/%zz",
                                "keyring://a/%0a",
                                "env://",
                                "env://A-B",
                                "env://A=B",
                                "env://9A",
                                "env://PATH",
                                "env://LD_PRELOAD",
                                "file://",
                                "file://relative",
                                "file:///a/../b",
                                "file:///a/..",
                                "file:///a\nb",
                                "https://x/y",
                                "key\nname"}) {
    INFO(reference);
    CHECK(code_of(check_reference(reference)) == ErrorCode::bad_input);
  }
  CHECK(code_of(check_reference("keyring://nono/" + std::string(1024, 'a'))) ==
        ErrorCode::bad_input);
}

TEST_CASE("sources that come later say that they are not supported yet") {
  for (const char* reference : {"op://vault/item/field", "bw://id", "cmd://name"}) {
    const Result<void> checked = check_reference(reference);
    REQUIRE_FALSE(checked);
    CHECK(checked.error().what.find("not supported yet") != std::string::npos);
  }
}

TEST_CASE("the first reference that has the secret wins and is named") {
  test::MemoryKeystore keyring;
  keyring.values[{"nono", "openai_api_key"}] = "from-keyring";
  const auto environment = [](std::string_view name) -> std::optional<std::string> {
    if (name == "OPENAI_API_KEY") return "from-environment";
    return std::nullopt;
  };
  const std::vector<std::string> references{"keyring://nono/openai", "openai_api_key",
                                            "env://OPENAI_API_KEY"};
  Result<keystore::FoundSecret> found = read_first(references, keyring, environment);
  REQUIRE(found);
  CHECK(found->secret.expose() == "from-keyring");
  CHECK(found->reference == "keyring://nono/openai_api_key");

  keyring.values.clear();
  found = read_first(references, keyring, environment);
  REQUIRE(found);
  CHECK(found->secret.expose() == "from-environment");
  CHECK(found->reference == "env://OPENAI_API_KEY");
}

TEST_CASE(
    "an unreachable keyring is asked once and passed over when a later source has the secret") {
  test::MemoryKeystore keyring;
  keyring.unreachable = true;
  const auto environment = [](std::string_view) { return std::optional<std::string>("key"); };
  const Result<keystore::FoundSecret> found =
      read_first({"a", "b", "env://KEY"}, keyring, environment);
  REQUIRE(found);
  CHECK(found->reference == "env://KEY");
  CHECK(keyring.reads == 1);
}

TEST_CASE("a broken keyring stops the search instead of falling through to another source") {
  test::MemoryKeystore keyring;
  keyring.broken = true;
  const auto environment = [](std::string_view) { return std::optional<std::string>("key"); };
  const Result<keystore::FoundSecret> found = read_first({"a", "env://KEY"}, keyring, environment);
  REQUIRE_FALSE(found);
  CHECK(found.error().code == ErrorCode::io);
}

TEST_CASE("a missing secret names what was tried and the command that stores it") {
  test::MemoryKeystore keyring;
  const Result<keystore::FoundSecret> found =
      read_first({"openai", "openai_api_key", "env://OPENAI_API_KEY"}, keyring, no_variables);
  REQUIRE_FALSE(found);
  CHECK(found.error().code == ErrorCode::secret_missing);
  CHECK(found.error().what.find("'openai'") != std::string::npos);
  CHECK(found.error().what.find("$OPENAI_API_KEY is not set") != std::string::npos);
  CHECK(found.error().fix.find("nono key set openai") != std::string::npos);
}

TEST_CASE("without a keyring the remedy does not send the user to it") {
  test::MemoryKeystore keyring;
  keyring.unreachable = true;
  const Result<keystore::FoundSecret> found =
      read_first({"openai", "env://OPENAI_API_KEY"}, keyring, no_variables);
  REQUIRE_FALSE(found);
  CHECK(found.error().fix.find("key set") == std::string::npos);
  CHECK(found.error().fix.find("OPENAI_API_KEY") != std::string::npos);
}

TEST_CASE("another service's missing account is stored by secret-tool") {
  test::MemoryKeystore keyring;
  const Result<keystore::FoundSecret> found =
      read_first({"keyring://corp/token"}, keyring, no_variables);
  REQUIRE_FALSE(found);
  CHECK(
      found.error().fix.find("secret-tool store --label='corp' service 'corp' username 'token'") !=
      std::string::npos);
}

TEST_CASE("a file gives its content without one trailing newline") {
  const Directory directory;
  test::MemoryKeystore keyring;
  const std::string path = directory.write("key", "sk-file\n");
  const Result<keystore::FoundSecret> found = read_first({"file://" + path}, keyring, no_variables);
  REQUIRE(found);
  CHECK(found->secret.expose() == "sk-file");
  CHECK(found->warning.empty());
}

TEST_CASE("a file that everyone can read gives a warning that names it") {
  const Directory directory;
  test::MemoryKeystore keyring;
  const std::string path = directory.write("key", "sk-file", 0644);
  const Result<keystore::FoundSecret> found = read_first({"file://" + path}, keyring, no_variables);
  REQUIRE(found);
  CHECK(found->warning.find(path) != std::string::npos);
}

TEST_CASE("files that hold no key are refused without showing their content") {
  const Directory directory;
  test::MemoryKeystore keyring;
  const auto read = [&](const std::string& path) {
    return read_first({"file://" + path}, keyring, no_variables);
  };
  CHECK(read(directory.write("empty", "\n")).error().code == ErrorCode::secret_missing);
  CHECK(read(directory.path() + "/none").error().code == ErrorCode::secret_missing);
  CHECK(read(directory.path()).error().code != ErrorCode::secret_missing);
  CHECK(read(directory.write("long", std::string(70'000, 'a'))).error().code ==
        ErrorCode::bad_input);
  const std::string fifo = directory.path() + "/fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(read(fifo).error().code == ErrorCode::bad_input);

  const Result<keystore::FoundSecret> lines =
      read(directory.write("lines", "sk-one\r\nX-Evil: sk-two"));
  REQUIRE_FALSE(lines);
  CHECK(lines.error().code == ErrorCode::bad_input);
  CHECK((lines.error().what + lines.error().fix).find("sk-") == std::string::npos);
}

TEST_CASE("an empty variable counts as missing") {
  test::MemoryKeystore keyring;
  const auto environment = [](std::string_view) { return std::optional<std::string>(""); };
  const Result<keystore::FoundSecret> found = read_first({"env://KEY"}, keyring, environment);
  REQUIRE_FALSE(found);
  CHECK(found.error().code == ErrorCode::secret_missing);
}

TEST_CASE("the store command quotes names that a shell would split") {
  CHECK(keystore::store_command("openai_api_key") == "nono key set openai_api_key");
  CHECK(keystore::store_command("my key") == "nono key set 'my key'");
}
