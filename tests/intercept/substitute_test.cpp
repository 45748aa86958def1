#include "proxy/intercept/substitute.hpp"

#include <catch2/catch.hpp>

#include "config/base/encoding.hpp"
#include "proxy/intercept/phantoms.hpp"
#include "tests/intercept/credentials.hpp"

using namespace nono;
using namespace nono::intercept;
using namespace nono::test;

namespace {

constexpr SubstituteMode modes[] = {SubstituteMode::reverse, SubstituteMode::intercept};
const std::string key(real_key);

std::string basic(const std::string& pair) {
  return "Basic " + base64_encode(pair);
}

Injection path_injection() {
  Injection injection;
  injection.mode = InjectMode::url_path;
  injection.path_pattern = "/bot{}/";
  return injection;
}

Injection query_injection() {
  Injection injection;
  injection.mode = InjectMode::query_param;
  injection.query_param = "apikey";
  return injection;
}

Injection basic_injection() {
  Injection injection;
  injection.mode = InjectMode::basic_auth;
  return injection;
}

// Substitutes, expects success, and that no phantom is left anywhere.
http::RequestHead substituted(http::RequestHead head, const LoadedCredential& credential,
                              SubstituteMode mode = SubstituteMode::intercept) {
  const auto result = substitute(head, credential, mode);
  REQUIRE(result);
  CHECK(result->used);
  CHECK(result->credential == credential.route.name);
  CHECK_FALSE(PhantomScanner({credential.phantom}).contains(head));
  return head;
}

// Expects a refusal that leaves the head alone and names no key.
SubstituteRefusal refused(http::RequestHead head, const LoadedCredential& credential,
                          SubstituteMode mode = SubstituteMode::intercept) {
  const std::string before = all_of(head);
  const auto result = substitute(head, credential, mode);
  REQUIRE_FALSE(result);
  CHECK(all_of(head) == before);
  const std::string said = result.error().error.what + result.error().error.fix;
  CHECK(said.find(key) == said.npos);
  CHECK(said.find("nono_") == said.npos);
  CHECK(said.find("stranger") == said.npos);
  return result.error().refusal;
}

}  // namespace

TEST_CASE("every built-in route replaces its phantom in its own place") {
  for (const SubstituteMode mode : modes) {
    const auto ai = openai();
    const auto sent_openai =
        substituted(request("/v1/models", {{"Authorization", "Bearer " + ai.phantom}}), ai, mode);
    CHECK(value_of(sent_openai, "Authorization") == "Bearer " + key);
    CHECK(sent_openai.target == "/v1/models");

    const auto claude = anthropic();
    const auto sent_anthropic =
        substituted(request("/v1/messages", {{"X-Api-Key", claude.phantom}}), claude, mode);
    CHECK(value_of(sent_anthropic, "x-api-key") == key);
    CHECK(sent_anthropic.fields.count("x-api-key") == 1);

    const auto google = gemini();
    const auto sent_gemini =
        substituted(request("/v1beta/models", {{"x-goog-api-key", google.phantom}}), google, mode);
    CHECK(value_of(sent_gemini, "x-goog-api-key") == key);

    const auto hub = github();
    const auto sent_github =
        substituted(request("/user", {{"Authorization", "token " + hub.phantom}}), hub, mode);
    CHECK(value_of(sent_github, "Authorization") == "token " + key);

    const auto lab = header_credential("gitlab", "Authorization", "Bearer {}", key);
    const auto sent_gitlab =
        substituted(request("/api/v4/user", {{"PRIVATE-TOKEN", lab.phantom}}), lab, mode);
    CHECK(value_of(sent_gitlab, "Authorization") == "Bearer " + key);
    CHECK(sent_gitlab.fields.count("private-token") == 0);
  }
}

TEST_CASE("the phantom is taken in every form in which clients send keys") {
  const auto credential = github();
  const std::string& phantom = credential.phantom;
  const std::string forms[] = {phantom,
                               "Bearer " + phantom,
                               "bearer " + phantom,
                               "token " + phantom,
                               "TOKEN  " + phantom,
                               basic(phantom + ":"),
                               basic("x-access-token:" + phantom),
                               basic(phantom + ":x-oauth-basic")};
  for (const std::string& form : forms) {
    const auto sent = substituted(request("/user", {{"Authorization", form}}), credential);
    CHECK(value_of(sent, "Authorization") == "token " + key);
  }
}

TEST_CASE("vendor alternatives are understood and removed") {
  const auto claude = anthropic();
  const auto sent =
      substituted(request("/v1/messages", {{"Authorization", "Bearer " + claude.phantom}}), claude);
  CHECK(value_of(sent, "x-api-key") == key);
  CHECK(sent.fields.count("Authorization") == 0);

  const auto google = gemini();
  const auto by_query =
      substituted(request("/v1beta/models?key=" + google.phantom + "&alt=sse"), google);
  CHECK(by_query.target == "/v1beta/models?alt=sse");
  CHECK(value_of(by_query, "x-goog-api-key") == key);
  const auto only = substituted(request("/v1beta/models?key=" + google.phantom), google);
  CHECK(only.target == "/v1beta/models");
}

TEST_CASE("the phantom sent in several places at once leaves all of them") {
  const auto claude = anthropic();
  const auto sent = substituted(request("/v1/messages?api_key=" + claude.phantom,
                                        {{"Authorization", "Bearer " + claude.phantom},
                                         {"X-Api-Key", claude.phantom},
                                         {"x-api-key", claude.phantom}}),
                                claude);
  CHECK(sent.target == "/v1/messages");
  CHECK(sent.fields.count("x-api-key") == 1);
  CHECK(sent.fields.count("authorization") == 0);
  CHECK(value_of(sent, "x-api-key") == key);
}

TEST_CASE("a key injected as Basic is a pair, or takes the phantom's place in one") {
  const auto pair = make_credential("registry", basic_injection(), "ada:correct-horse-battery");
  const auto sent_pair =
      substituted(request("/", {{"Authorization", basic("ada:" + pair.phantom)}}), pair);
  CHECK(value_of(sent_pair, "Authorization") == basic("ada:correct-horse-battery"));

  const auto single = make_credential("git", basic_injection(), key);
  const auto as_password =
      substituted(request("/", {{"Authorization", basic("x-token:" + single.phantom)}}), single);
  CHECK(value_of(as_password, "Authorization") == basic("x-token:" + key));
  const auto as_user =
      substituted(request("/", {{"Authorization", basic(single.phantom + ":")}}), single);
  CHECK(value_of(as_user, "Authorization") == basic(key + ":"));
  const auto as_bearer =
      substituted(request("/", {{"Authorization", "Bearer " + single.phantom}}), single);
  CHECK(value_of(as_bearer, "Authorization") == basic(key + ":"));
}

TEST_CASE("a key in the query is encoded and keeps its place") {
  const auto credential = make_credential("maps", query_injection(), "a+b&c=d%e/f");
  const std::string encoded = "a%2Bb%26c%3Dd%25e%2Ff";
  const auto in_place =
      substituted(request("/q?x=1&apikey=" + credential.phantom + "&y=%2F"), credential);
  CHECK(in_place.target == "/q?x=1&apikey=" + encoded + "&y=%2F");
  const auto by_header = substituted(
      request("/q?x=1", {{"Authorization", "Bearer " + credential.phantom}}), credential);
  CHECK(by_header.target == "/q?x=1&apikey=" + encoded);
  CHECK(by_header.fields.count("Authorization") == 0);
  const auto no_query = substituted(request("/q", {{"X-Api-Key", credential.phantom}}), credential);
  CHECK(no_query.target == "/q?apikey=" + encoded);
  const auto twice = substituted(
      request("/q?apikey=" + credential.phantom + "&apikey=" + credential.phantom), credential);
  CHECK(twice.target == "/q?apikey=" + encoded);
}

TEST_CASE("a key in the path replaces the phantom between its neighbours") {
  auto credential = make_credential("telegram", path_injection(), "12345:AbC/dEf");
  const auto sent =
      substituted(request("/bot" + credential.phantom + "/sendMessage?chat=1"), credential);
  CHECK(sent.target == "/bot12345:AbC%2FdEf/sendMessage?chat=1");
  credential.route.injection.path_replacement = "/v2/bot-{}/";
  const auto elsewhere = substituted(request("/bot" + credential.phantom + "/getMe"), credential);
  CHECK(elsewhere.target == "/v2/bot-12345:AbC%2FdEf/getMe");
}

TEST_CASE("a phantom that comes by header finds no place in a path without one") {
  const auto credential = make_credential("telegram", path_injection(), key);
  CHECK(refused(request("/getMe", {{"Authorization", "Bearer " + credential.phantom}}),
                credential) == SubstituteRefusal::malformed);
}

TEST_CASE("a foreign key is refused wherever it is") {
  const auto ai = openai();
  const http::Field foreign[] = {{"Authorization", "Bearer stranger"},
                                 {"Authorization", "stranger"},
                                 {"authorization", "token stranger"},
                                 {"Authorization", basic("user:stranger")},
                                 {"Authorization", "Digest username=\"stranger\""},
                                 {"X-Api-Key", "stranger"},
                                 {"x-goog-api-key", "stranger"},
                                 {"Private-Token", "stranger"}};
  for (const SubstituteMode mode : modes) {
    for (const http::Field& field : foreign) {
      CHECK(refused(request("/v1/models", {field}), ai, mode) ==
            SubstituteRefusal::foreign_credential);
    }
    CHECK(refused(request("/v1/models?api_key=stranger"), ai, mode) ==
          SubstituteRefusal::foreign_credential);
  }
  const auto google = gemini();
  CHECK(refused(request("/v1beta/models?key=stranger"), google) ==
        SubstituteRefusal::foreign_credential);
  const auto telegram = make_credential("telegram", path_injection(), key);
  CHECK(refused(request("/bot99:stranger/getMe"), telegram) ==
        SubstituteRefusal::foreign_credential);
  const auto maps = make_credential("maps", query_injection(), key);
  CHECK(refused(request("/q?apike%79=stranger"), maps) == SubstituteRefusal::foreign_credential);
}

TEST_CASE("a foreign key beside our phantom is refused") {
  const auto claude = anthropic();
  CHECK(refused(request("/v1/messages",
                        {{"x-api-key", claude.phantom}, {"Authorization", "Bearer stranger"}}),
                claude) == SubstituteRefusal::foreign_credential);
  CHECK(refused(request("/v1/messages", {{"x-api-key", claude.phantom}, {"x-api-key", "stranger"}}),
                claude) == SubstituteRefusal::foreign_credential);
}

TEST_CASE("another credential's phantom is foreign") {
  const auto claude = anthropic();
  const auto ai = openai();
  CHECK(refused(request("/v1/messages", {{"x-api-key", ai.phantom}}), claude) ==
        SubstituteRefusal::foreign_credential);
}

TEST_CASE("a request without a credential passes untouched only when intercepted") {
  const auto ai = openai();
  for (const auto& head : {request("/v1/models"), request("/v1/models", {{"Authorization", ""}}),
                           request("/v1/models?key=public", {{"Authorization", "Bearer "}})}) {
    auto edited = head;
    const auto result = substitute(edited, ai, SubstituteMode::intercept);
    REQUIRE(result);
    CHECK_FALSE(result->used);
    CHECK(all_of(edited) == all_of(head));
    CHECK(refused(head, ai, SubstituteMode::reverse) == SubstituteRefusal::missing_phantom);
  }
}

TEST_CASE("a key that is missing or cannot be sent is said to be missing") {
  auto ai = openai();
  ai.secret.reset();
  CHECK(refused(request("/", {{"Authorization", "Bearer " + ai.phantom}}), ai) ==
        SubstituteRefusal::secret_missing);
  ai.secret = Secret("two\r\nlines: x");
  CHECK(refused(request("/", {{"Authorization", "Bearer " + ai.phantom}}), ai) ==
        SubstituteRefusal::secret_missing);
}

TEST_CASE("a Basic field that is not base64 is malformed") {
  CHECK(refused(request("/", {{"Authorization", "Basic ***"}}), github()) ==
        SubstituteRefusal::malformed);
}

TEST_CASE("of several credentials of one host the presented one is found") {
  const auto first = gemini();
  const auto second =
      header_credential("google-ai", "x-goog-api-key", "{}", "another-key-of-theirs");
  const LoadedCredential* both[] = {&first, &second};
  CHECK(presented(request("/", {{"x-goog-api-key", second.phantom}}), both) == &second);
  CHECK(presented(request("/?key=" + first.phantom), both) == &first);
  CHECK(presented(request("/", {{"x-goog-api-key", "stranger"}}), both) == nullptr);
}

TEST_CASE("a wiped head holds no key") {
  const auto ai = openai();
  auto sent = substituted(request("/", {{"Authorization", "Bearer " + ai.phantom}}), ai);
  wipe_head(sent);
  CHECK(all_of(sent).find(key) == std::string::npos);
}
