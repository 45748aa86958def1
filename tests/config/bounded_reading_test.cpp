// Files that nobody can trust yet: whatever is in them, reading them ends and says what is wrong in
// lines of its own.
#include <catch2/catch.hpp>

#include <algorithm>

#include "config/profile.hpp"
#include "config/proxy_config.hpp"
#include "config/resolve.hpp"
#include "fixture.hpp"

using namespace nono;
using Catch::Matchers::Contains;
using test::Home;

namespace {

std::string error_of(const std::string& text, const std::string& file = "p.yaml") {
  Home home;
  Result<Settings> settings = parse_profile(text, file, home.user());
  REQUIRE_FALSE(settings);
  CHECK(settings.error().code == ErrorCode::bad_input);
  return settings.error().what;
}

long lines_of(const std::string& text) {
  return std::count(text.begin(), text.end(), '\n') + 1;
}

bool is_one_plain_line(const std::string& text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

}  // namespace

TEST_CASE("a YAML file with text that no document can take in is refused, not read for ever") {
  Home home;
  CHECK_THAT(error_of(","), Contains("p.yaml:1:1: expected one document"));
  CHECK_THAT(error_of(", a: b\n"), Contains("expected one document"));
  CHECK_THAT(error_of("meta: {name: x}\n---\n,\n"), Contains("p.yaml:2:1: expected one document"));
  CHECK_THAT(error_of("- a: e\n  b:\n    (c in (\n\"/x\",\n    \"-c\"\n    ) )\n"),
             Contains("p.yaml:4:1: expected one document"));
  CHECK_THAT(error_of("# nothing\n"), Contains("expected one document, found none"));
  const Result<ProxyConfig> config = parse_proxy_config(",", "nono.yaml", home.user());
  REQUIRE_FALSE(config);
  CHECK_THAT(config.error().what, Contains("nono.yaml:1:1: expected one document"));
}

TEST_CASE("a YAML file may begin and end its only document in so many words") {
  Home home;
  CHECK(parse_profile("# c\n---\nmeta: {name: x}\n...\n# d\n", "p.yaml", home.user()));
  CHECK(parse_profile("\nmeta: {name: x}\n# d\n\n", "p.yaml", home.user()));
}

TEST_CASE(
    "a YAML file of more nodes than any configuration has is refused before a tree is built") {
  std::string many = "a: [";
  for (int i = 0; i < 1'000'001; ++i) many += "x,";
  CHECK_THAT(error_of(many + "]"), Contains("the file holds too much"));
}

TEST_CASE("a file that is wrong throughout is told so in a hundred lines") {
  std::string keys, words = "network: {allow_domain: [";
  for (int i = 0; i < 20'000; ++i) {
    keys += "wrong" + std::to_string(i) + ": x\n";
    words += "[],";
  }
  const std::string of_keys = error_of(keys), of_words = error_of(words + "]}");
  CHECK(lines_of(of_keys) < 110);
  CHECK(lines_of(of_words) < 110);
  CHECK_THAT(of_keys, Contains("p.yaml: and more of the kind"));
  CHECK_THAT(of_words, Contains("p.yaml: and more of the kind"));
}

TEST_CASE("no value of a file writes control characters or lines of its own into an error") {
  const char* const table[] = {
      "\"evil\\nnono: all is well\\e[2J\": 1\n",
      "network: {block: \"\\e]0;x\\a\"}\n",
      "extends: \"a\\nb\"\n",
      "extends: \"/nowhere/a\\nb\\e\"\n",
      "security: {groups: [\"x\\ry\"]}\n",
      "environment: {set_vars: {A: \"$NOPE_X\\n${\"}}\n",
  };
  for (const char* text : table) {
    INFO(text);
    const std::string error = error_of(text);
    INFO(error);
    CHECK(is_one_plain_line(error));
  }
  CHECK_THAT(error_of(table[0]), Contains("evil\\x0anono: all is well\\x1b[2J"));
}

TEST_CASE(
    "a file that is not UTF-8 is refused with the place, as no path in it would be what it says") {
  const std::string path = "filesystem: {deny: [\"/data/\xf4x\"]}\n";
  CHECK_THAT(error_of(path), Contains("p.yaml:1:28: byte 0xf4 is no UTF-8"));
  CHECK_THAT(error_of("{\"meta\": {\"name\": \"\xc0\xaf\"}}", "p.json"),
             Contains("byte 0xc0 is no"));
  CHECK_THAT(error_of("\xfe\xff{}"), Contains("p.yaml:1:1: byte 0xfe is no UTF-8"));
  Home home;
  CHECK(parse_profile("meta: {name: x, description: \"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x94\x91\"}\n",
                      "p.yaml", home.user()));
}

TEST_CASE("nor does a path that is judged once all files are read") {
  Home home;
  const char* const text = "filesystem: {read: [\"/nowhere*\\nnono: fine\\e[2J\"]}\n";
  const Result<Settings> settings = parse_profile(text, "p.yaml", home.user());
  REQUIRE(settings);
  const Result<SessionConfig> session = resolve(*settings, home.user(), {true, true, nullptr});
  REQUIRE_FALSE(session);
  CHECK_THAT(session.error().what, Contains("/nowhere*\\x0anono: fine\\x1b[2J"));
  CHECK(is_one_plain_line(session.error().what));
}
