#include "proxy/session_table.hpp"

#include <catch2/catch.hpp>

#include "tests/proxy/session_scene.hpp"

namespace nono::test {

namespace {

std::string tail(const LoadedCredential& credential) {
  return credential.phantom.substr(credential.phantom.size() - 64);
}

}  // namespace

TEST_CASE("each token leads to its own session and nothing else does") {
  SessionTable table(make_token_key());
  const SessionPtr a = make_test_session(session_setup("a", "token-of-a"));
  const SessionPtr b = make_test_session(session_setup("b", "token-of-b"));
  table.add(a);
  table.add(b);
  CHECK(table.by_token("token-of-a") == a);
  CHECK(table.by_token("token-of-b") == b);
  for (const char* wrong : {"", "token-of-", "token-of-a ", "Token-of-a", "a", "token-of-ab"}) {
    CHECK(table.by_token(wrong) == nullptr);
  }
  CHECK(table.by_token(std::string_view("token-of-a\0", 11)) == nullptr);
  CHECK(table.by_phantom("token-of-a") == nullptr);
}

TEST_CASE("a session without a token is found by none, not by the empty one") {
  SessionTable table(make_token_key());
  table.add(make_test_session(session_setup("a", "")));
  CHECK(table.by_token("") == nullptr);
  CHECK(table.by_phantom("") == nullptr);
  CHECK(table.size() == 1);
}

TEST_CASE("phantoms lead to their session by their digits, tokens do not") {
  SessionTable table(make_token_key());
  SessionSetup setup_a = session_setup("a", "token-of-a"),
               setup_b = session_setup("b", "token-of-b");
  setup_a.credentials.push_back(vendor_key("key-a-0123456789"));
  setup_b.credentials.push_back(vendor_key("key-b-0123456789"));
  const std::string of_a = tail(setup_a.credentials[0]), of_b = tail(setup_b.credentials[0]);
  CHECK_FALSE(table.any_credentials());
  const SessionPtr a = make_test_session(std::move(setup_a));
  const SessionPtr b = make_test_session(std::move(setup_b));
  table.add(a);
  CHECK(table.any_credentials());
  CHECK(table.holds(of_a));
  CHECK_FALSE(table.holds(of_b));
  table.add(b);
  CHECK(table.by_phantom(of_a) == a);
  CHECK(table.by_phantom(of_b) == b);
  CHECK(table.by_phantom(of_a.substr(1)) == nullptr);
  CHECK(table.by_token(of_a) == nullptr);
  table.remove(*a);
  CHECK_FALSE(table.holds(of_a));
  CHECK(table.any_credentials());
  table.remove(*b);
  CHECK_FALSE(table.any_credentials());
}

TEST_CASE("what is removed is found no more, before and after the first look-up") {
  SessionTable table(make_token_key());
  const SessionPtr a = make_test_session(session_setup("a", "token-of-a"));
  table.add(a);
  table.remove(*a);
  CHECK(table.by_token("token-of-a") == nullptr);
  table.add(a);
  CHECK(table.by_token("token-of-a") == a);
  table.remove(*a);
  CHECK(table.by_token("token-of-a") == nullptr);
  table.remove(*a);  // twice harms nothing
  CHECK(table.size() == 0);
}

TEST_CASE("a successor with the same token and name is found once the old one is gone") {
  SessionTable table(make_token_key());
  const SessionPtr old = make_test_session(session_setup("a", "token-of-a"));
  const SessionPtr young = make_test_session(session_setup("a", "token-of-a"));
  table.add(old);
  CHECK(table.by_token("token-of-a") == old);
  table.add(young);
  table.remove(*old);
  CHECK(table.by_token("token-of-a") == young);
  CHECK(old->identity() != young->identity());
}

TEST_CASE("ten thousand sessions are told apart, and removing half leaves the other half") {
  SessionTable table(make_token_key());
  constexpr int count = 10'000;
  std::vector<SessionPtr> sessions;
  for (int i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    // Rules are not what is looked at here; one set compiles fast.
    sessions.push_back(
        make_test_session(session_setup("s" + number, "token-" + number, {"a.test"})));
    table.add(sessions.back());
  }
  int right = 0;
  for (int i = 0; i < count; ++i) {
    right += table.by_token("token-" + std::to_string(i)) == sessions[static_cast<std::size_t>(i)];
  }
  CHECK(right == count);
  CHECK(table.by_token("token-10000") == nullptr);
  for (int i = 0; i < 200; i += 2) table.remove(*sessions[static_cast<std::size_t>(i)]);
  int found = 0;
  for (int i = 0; i < 200; ++i) found += table.by_token("token-" + std::to_string(i)) != nullptr;
  CHECK(found == 100);
  CHECK(table.size() == count - 100);
}

TEST_CASE("tables with different keys agree on who has which token") {
  const SessionPtr a = make_test_session(session_setup("a", "token-of-a"));
  const TokenKey first = make_token_key(), second = make_token_key();
  CHECK(first != second);
  SessionTable one(first), other(second);
  one.add(a);
  other.add(a);
  CHECK(one.by_token("token-of-a") == other.by_token("token-of-a"));
}

}  // namespace nono::test
