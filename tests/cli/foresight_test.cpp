#include "proxy/cli/foresight.hpp"

#include <catch2/catch.hpp>

using nono::cli::looks_like_proxied_run;

TEST_CASE("a run that names hosts, keys or a network profile looks like one that is filtered") {
  CHECK(looks_like_proxied_run({"run", "--allow-domain", "example.com", "--", "true"}));
  CHECK(looks_like_proxied_run({"run", "--allow-cwd", "--allow-domain=example.com", "true"}));
  CHECK(looks_like_proxied_run({"-s", "run", "--network-profile", "minimal", "--", "true"}));
  CHECK(looks_like_proxied_run({"run", "--proxy-credential", "openai", "--", "true"}));
  CHECK(looks_like_proxied_run({"run", "--credential", "openai", "--", "true", "--memory", "1"}));
}

TEST_CASE("everything else does not") {
  CHECK_FALSE(looks_like_proxied_run({}));
  CHECK_FALSE(looks_like_proxied_run({"--version"}));
  CHECK_FALSE(looks_like_proxied_run({"run"}));
  CHECK_FALSE(looks_like_proxied_run({"run", "--", "true", "--allow-domain", "example.com"}));
  CHECK_FALSE(looks_like_proxied_run({"run", "--allow-domains", "example.com", "--", "true"}));
  CHECK_FALSE(looks_like_proxied_run({"proxy", "--allow-domain", "run"}));
  CHECK_FALSE(looks_like_proxied_run({"run", "--allow-cwd", "--", "true"}));
  for (const char* flag : {"--dry-run", "--block-net", "--memory=1G", "--pids", "--user", "--help",
                           "--backend", "--diagnose", "--capture-all-ports=off", "--proxy-port"}) {
    INFO(flag);
    CHECK_FALSE(looks_like_proxied_run({"run", "--allow-domain", "example.com", flag, "--", "x"}));
  }
  CHECK(looks_like_proxied_run({"run", "--diagnostics-json", "--allow-domain", "example.com"}));
}
