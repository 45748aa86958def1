// Package managers install through a standalone proxy, from mirrors that the test makes itself.

#include <fmt/format.h>

#include "tests/e2e/clients.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

// The smallest package index: one project, one wheel.
void make_index(const Stage& stage) {
  const std::string script = R"(
import os, sys, zipfile
root = sys.argv[1]
os.makedirs(root + '/simple/tinypkg')
name = 'tinypkg-1.0-py3-none-any.whl'
info = 'tinypkg-1.0.dist-info/'
with zipfile.ZipFile(root + '/simple/tinypkg/' + name, 'w') as wheel:
    wheel.writestr('tinypkg.py', 'answer = 42\n')
    wheel.writestr('blob.bin', os.urandom(2000000))
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\nName: tinypkg\nVersion: 1.0\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    wheel.writestr(info + 'RECORD', '')
open(root + '/simple/tinypkg/index.html', 'w').write('<a href="%s">%s</a>' % (name, name))
)";
  const Finished made =
      run({{"/usr/bin/python3", "-c", script, stage.root()}, plain_environment("/"), "", {}, ""});
  INFO(made.err);
  REQUIRE(made.code == 0);
}

TEST_CASE(
    "pip installs over HTTP and HTTPS through a standalone proxy, told by the variables alone") {
  const auto stage = Stage::make();
  if (!stage) return;
  make_index(*stage);
  Proxy proxy(*stage, {"--allow-domain", "index.test"});
  const std::string script = fmt::format(
      "export http_proxy={0} https_proxy={0} PIP_CERT={1}\n"
      "/usr/bin/python3 -m venv v\n"
      "for scheme in http https; do\n"
      "  v/bin/pip --isolated --disable-pip-version-check --no-cache-dir install -q "
      "--force-reinstall --cert {1} "
      "--proxy {0} --trusted-host index.test --index-url $scheme://index.test/files/simple/ "
      "tinypkg\n"
      "  v/bin/python -c 'import tinypkg; print(tinypkg.answer)'\n"
      "done",
      proxy.url(), stage->ca_file());
  const Finished installed = shell(*stage, script, stage->project());
  INFO(installed.err);
  CHECK(installed.out == "42\n42\n");
  int wheels = 0;
  for (const nlohmann::json& request : stage->requests())
    wheels += request["path"].get<std::string>().ends_with(".whl") ? 1 : 0;
  CHECK(wheels == 2);
  check_nothing_of_the_proxy_arrived(*stage, proxy);
  CHECK(stage->asked_for("index.test"));
}

TEST_CASE("pip fails where its index is in no rule, and nothing is looked up") {
  const auto stage = Stage::make();
  if (!stage) return;
  make_index(*stage);
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  const Finished refused = shell(*stage,
                                 fmt::format("/usr/bin/python3 -m venv v; v/bin/pip --isolated "
                                             "--disable-pip-version-check download --retries 0 "
                                             "-q --no-deps --proxy {} --cert {} --index-url "
                                             "https://index.test/files/simple/ tinypkg || true",
                                             proxy.url(), stage->ca_file()),
                                 stage->project());
  CHECK_THAT(refused.err, Contains("tinypkg"));
  CHECK(stage->requests().empty());
  CHECK_FALSE(stage->asked_for("index.test"));
}

void check_npm(const std::string& scheme) {
  const auto stage = Stage::make();
  if (!stage || !have("npm")) return;
  const std::string registry = scheme + "://index.test/files/npm";
  const Finished made = python(*stage, "npm_registry.py", {stage->root(), registry});
  INFO(made.err);
  REQUIRE(made.code == 0);
  Proxy proxy(*stage, {"--allow-domain", "index.test"});
  const std::string script = fmt::format(
      "export npm_config_registry={}/ npm_config_proxy={} npm_config_https_proxy={} "
      "npm_config_cafile={} "
      "npm_config_update_notifier=false npm_config_audit=false npm_config_fund=false "
      "npm_config_fetch_retries=0\n"
      "npm init -y > /dev/null && npm install --loglevel=error tinynode > /dev/null && "
      "node -e 'console.log(require(\"tinynode\"))'",
      registry, proxy.url(), proxy.url(), stage->ca_file());
  const Finished installed = shell(*stage, script, stage->project());
  INFO(installed.out << installed.err << stage->audit_text());
  CHECK(installed.out == "42\n");
  CHECK(stage->requests().size() >= 2);
  for (const nlohmann::json& request : stage->requests())
    CHECK(request["tls"] == (scheme == "https"));
  check_nothing_of_the_proxy_arrived(*stage, proxy);
  CHECK_THAT(stage->audit_text(), !Contains("\"decision\":\"refuse\""));
}

TEST_CASE("npm installs over HTTP through a standalone proxy") {
  check_npm("http");
}

TEST_CASE("npm installs over HTTPS through a standalone proxy") {
  check_npm("https");
}

}  // namespace
}  // namespace nono::testing
