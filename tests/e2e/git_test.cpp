// git over smart HTTP through a standalone proxy: clone, push, fetch.

#include <fmt/format.h>

#include "tests/e2e/clients.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

void make_repository(const Stage& stage) {
  const Finished made =
      shell(stage,
            "git init -q -b main work && cd work && echo content > file && git add file && "
            "git -c user.name=a -c user.email=a@b.invalid commit -q -m first && cd .. && git clone "
            "-q --bare work repo.git",
            stage.root());
  INFO(made.err);
  REQUIRE(made.code == 0);
}

void check_git(const std::string& scheme) {
  const auto stage = Stage::make();
  if (!stage) return;
  make_repository(*stage);
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  // The pushed file does not compress and is over http.postBuffer: git sends it in chunks.
  const std::string script = fmt::format(
      "export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=http.proxy GIT_CONFIG_VALUE_0={} "
      "GIT_CONFIG_KEY_1=http.sslCAInfo GIT_CONFIG_VALUE_1={} "
      "GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b.invalid GIT_COMMITTER_NAME=a "
      "GIT_COMMITTER_EMAIL=a@b.invalid\n"
      "git clone -q {}://example.com/git/repo.git one\n"
      "git clone -q --depth 1 {}://example.com/git/repo.git two\n"
      "cd one && head -c 3000000 /dev/urandom > big && git add big && git commit -q -m second && "
      "git push -q\n"
      "cd ../two && git fetch -q && git merge -q origin/main && cmp big ../one/big && cat file",
      proxy.url(), stage->ca_file(), scheme, scheme);
  const Finished ended = shell(*stage, script, stage->project());
  INFO(ended.out << ended.err << proxy.process().err());
  CHECK(ended.code == 0);
  CHECK(ended.out == "content\n");
  bool pushed = false;
  for (const nlohmann::json& request : stage->requests()) {
    const bool pack =
        request["path"] == "/git/repo.git/git-receive-pack" && request["body_bytes"] > 3'000'000;
    pushed = pushed || (pack && request["headers"].value("transfer-encoding", "") == "chunked");
    CHECK(request["tls"] == (scheme == "https"));
  }
  CHECK(pushed);
  check_nothing_of_the_proxy_arrived(*stage, proxy);
  // Without its token, which git holds back until it is asked, and for no other reason.
  for (const nlohmann::json& line : stage->audit())
    CHECK((line["kind"] != "decision" || line["decision"] == "allow" ||
           line["reason"] == "no_token"));
}

TEST_CASE("git clones, pushes and fetches over smart HTTP through a standalone proxy") {
  check_git("http");
}

TEST_CASE("git clones, pushes and fetches over smart HTTPS through a standalone proxy") {
  check_git("https");
}

TEST_CASE("git is told why a repository is refused") {
  const auto stage = Stage::make();
  if (!stage) return;
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  const Finished refused =
      shell(*stage,
            fmt::format("git -c http.proxy={} clone -q https://evil.example/git/repo.git x || true",
                        proxy.url()),
            stage->project());
  CHECK_THAT(refused.err, Contains("403"));
  CHECK(stage->requests().empty());
  CHECK_FALSE(stage->asked_for("evil.example"));
}

}  // namespace
}  // namespace nono::testing
