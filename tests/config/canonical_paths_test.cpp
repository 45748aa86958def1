// Canonical forms of many paths are those that each would have by itself.

#include "config/canonical_paths.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "config/expand.hpp"
#include "fixture.hpp"

using namespace nono;
using test::Home;

TEST_CASE("many paths have the canonical forms that each has by itself") {
  Home home;
  home.directory("real/deep/er");
  home.directory("plain");
  home.file("plain/file", "x");
  const std::string root = home.path("");
  std::filesystem::create_symlink("real/deep", root + "/link");
  std::filesystem::create_symlink(root + "/link/er", root + "/plain/second");
  std::filesystem::create_symlink("nowhere", root + "/dangling");
  std::filesystem::create_symlink("loop", root + "/loop");
  CanonicalPaths paths;
  for (int round = 0; round < 2; ++round) {
    for (const char* name : {"",
                             "real",
                             "real/deep/er",
                             "link",
                             "link/",
                             "link/er",
                             "link/er/none/at/all",
                             "plain/second",
                             "plain/second/none",
                             "plain/file",
                             "plain/file/below",
                             "plain//file",
                             "plain/./file",
                             "link/..",
                             "link/../none",
                             "none/../plain",
                             "dangling",
                             "dangling/below",
                             "loop",
                             "loop/below",
                             "none",
                             "none/one/two"}) {
      const std::string path = root + "/" + name;
      INFO(path);
      CHECK(paths.of(path) == canonical_path(path));
    }
  }
  CHECK(paths.of("/") == "/");
  CHECK(paths.of("/none-at-the-root") == "/none-at-the-root");
  CHECK(paths.of("relative") == canonical_path("relative"));
}

TEST_CASE("a look at a path says whether it is there, a directory, and by which name a link") {
  Home home;
  home.directory("real/deep");
  home.file("real/file", "x");
  const std::string root = home.path("");
  std::filesystem::create_symlink("real", root + "/link");
  std::filesystem::create_symlink("nowhere", root + "/real/dangling");
  CanonicalPaths paths;
  CHECK(paths.find(root + "/real/deep").directory);
  CHECK(paths.find(root + "/link/deep").link.empty());
  CHECK(paths.find(root + "/link").link == canonical_path(root) + "/link");
  CHECK(paths.find(root + "/link").directory);
  CHECK(paths.find(root + "/link/file").exists);
  CHECK_FALSE(paths.find(root + "/link/file").directory);
  CHECK(paths.find(root + "/link/dangling").link == home.path("real/dangling"));
  CHECK_FALSE(paths.find(root + "/link/dangling").exists);
  CHECK_FALSE(paths.find(root + "/none").exists);
  CHECK(paths.find(root + "/none").link.empty());
  CHECK(paths.find(root + "/real/../link").link == canonical_path(root) + "/link");
  CHECK(paths.find(root + "/real/deep/..").directory);
}
