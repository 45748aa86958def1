// Real clients through a standalone proxy and inside the sandbox: git, pip, node.

#include <fmt/format.h>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "tests/support/stage.hpp"

namespace nono::testing {
namespace {

using Catch::Matchers::Contains;

Finished shell(const Stage& stage, const std::string& script, const std::string& folder) {
  return run({{"sh", "-euc", script}, plain_environment(stage.home()), folder, {}, ""});
}

void make_repository(const Stage& stage) {
  const Finished made =
      shell(stage,
            "git init -q -b main work && cd work && echo content > file && git add file && "
            "git -c user.name=a -c user.email=a@b.invalid commit -q -m first && cd .. && "
            "git clone -q --bare work repo.git && cd repo.git && git update-server-info",
            stage.root());
  INFO(made.err);
  REQUIRE(made.code == 0);
}

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

TEST_CASE("git clones over HTTP and HTTPS through a standalone proxy") {
  const auto stage = Stage::make();
  if (!stage) return;
  make_repository(*stage);
  Proxy proxy(*stage, {"--allow-domain", "example.com"});
  for (const char* scheme : {"http", "https"}) {
    const Finished cloned = shell(
        *stage,
        fmt::format(
            "git -c http.proxy={} -c http.sslCAInfo={} clone -q {}://example.com/files/repo.git {}"
            " && cat {}/file",
            proxy.url(), stage->ca_file(), scheme, scheme, scheme),
        stage->project());
    INFO(cloned.err);
    CHECK(cloned.out == "content\n");
  }
}

TEST_CASE("git clones inside the sandbox with no setting of its own") {
  const auto stage = Stage::make();
  if (!stage) return;
  make_repository(*stage);
  for (const char* backend : {"netns", "notify"}) {
    const Finished cloned = run(
        stage->nono_run({"--backend", backend, "--allow-domain", "example.com", "--", "sh", "-c",
                         "rm -rf here; git clone -q http://example.com/files/repo.git "
                         "here && cat here/file"}));
    INFO(backend << cloned.err);
    CHECK(cloned.out == "content\n");
  }
}

TEST_CASE("pip downloads through a standalone proxy from the index it is told") {
  const auto stage = Stage::make();
  if (!stage) return;
  make_index(*stage);
  Proxy proxy(*stage, {"--allow-domain", "index.test"});
  const Finished fetched = shell(
      *stage,
      fmt::format("python3 -m venv v && v/bin/pip --isolated --disable-pip-version-check download "
                  "-q --no-deps "
                  "--proxy {} --cert {} --index-url https://index.test/files/simple/ tinypkg && ls",
                  proxy.url(), stage->ca_file()),
      stage->project());
  INFO(fetched.err);
  CHECK_THAT(fetched.out, Contains("tinypkg-1.0-py3-none-any.whl"));
  CHECK(stage->asked_for("index.test"));
}

TEST_CASE("pip installs inside the sandbox and the package works") {
  const auto stage = Stage::make();
  if (!stage) return;
  make_index(*stage);
  const Finished installed =
      run(stage->nono_run({"--allow-domain", "index.test", "--", "sh", "-euc",
                           "python3 -m venv v && v/bin/pip --isolated --disable-pip-version-check "
                           "install -q --trusted-host index.test "
                           "--index-url http://index.test/files/simple/ tinypkg && "
                           "v/bin/python -c 'import tinypkg; print(tinypkg.answer)'"}),
          120s);
  INFO(installed.err);
  CHECK(installed.out == "42\n");
}

TEST_CASE("node opens a tunnel inside the sandbox and is refused another") {
  const auto stage = Stage::make();
  if (!stage) return;
  if (run({{"node", "--version"}, plain_environment("/"), "", {}, ""}).code != 0) {
    std::puts("skipped by name: node");
    return;
  }
  stage->project_data("node.js");
  const Finished ended =
      run(stage->nono_run({"--allow-domain", "example.com", "--", "sh", "-c",
                           "node node.js example.com:443; node node.js evil.example:443"}));
  INFO(ended.err);
  CHECK_THAT(ended.out, Contains("connect 200"));
  CHECK_THAT(ended.out, Contains("connect 403") && Contains("evil.example"));
}

TEST_CASE("whatever python3 the path gives runs with nothing said about where it lives") {
  const auto stage = Stage::make();
  if (!stage) return;
  const char* path = std::getenv("PATH");
  const char* home = std::getenv("HOME");
  if (path == nullptr || home == nullptr) return;
  Command command = stage->nono(
      {"run", "--allow-cwd", "--", "python3", "-c", "import ssl, sys; print(sys.prefix)"});
  command.env["PATH"] = path;
  command.env["HOME"] = home;
  command.env["XDG_STATE_HOME"] = stage->dir().make_folder("state");
  const Finished inside = run(command);
  command.argv = {"python3", "-c", "import ssl, sys; print(sys.prefix)"};
  const Finished bare = run(command);
  INFO(inside.err);
  CHECK(inside.code == 0);
  CHECK(inside.out == bare.out);
}

}  // namespace
}  // namespace nono::testing
