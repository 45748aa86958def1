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

TEST_CASE("a directory that was read whole says the same of what is in it") {
  Home home;
  home.directory("all/lib");
  home.directory("all/lib64");
  home.directory("all/other/deep");
  home.file("all/file", "x");
  home.file("all/liberty", "x");
  const std::string root = home.path("all");
  std::filesystem::create_symlink("lib64", root + "/lib32");
  std::filesystem::create_symlink("../all/other", root + "/up");
  std::filesystem::create_symlink("up/../file", root + "/climbs");
  std::filesystem::create_symlink(root + "/file", root + "/absolute");
  std::filesystem::create_symlink("/proc/self/exe", root + "/magic");
  std::filesystem::create_symlink("lib_loop", root + "/lib_loop");
  std::filesystem::create_symlink("none", root + "/lib_none");
  CanonicalPaths paths;
  const std::vector<std::string> found = paths.with_ending(root + "/lib*");
  std::vector<std::string> expected;
  for (const char* name : {"lib", "lib32", "lib64", "lib_loop", "lib_none", "liberty"}) {
    expected.push_back(root + "/" + name);
  }
  CHECK(found == expected);
  CHECK(paths.with_ending(root + "/nothing*").empty());
  CHECK(paths.with_ending(root + "/file") == std::vector<std::string>{root + "/file"});
  for (const char* name : {"lib", "lib32", "lib64", "liberty", "lib_loop", "lib_none", "other",
                           "other/deep", "up", "up/deep", "up/none", "climbs", "absolute", "magic",
                           "file", "file/below", "none", "none/below"}) {
    const std::string path = root + "/" + name;
    INFO(path);
    CanonicalPaths alone;
    const CanonicalPaths::Found& by_itself = alone.find(path);
    const CanonicalPaths::Found& together = paths.find(path);
    CHECK(together.path == canonical_path(path));
    CHECK(together.path == by_itself.path);
    CHECK(together.exists == by_itself.exists);
    std::error_code looped;
    CHECK(together.exists == std::filesystem::exists(path, looped));
    CHECK(together.directory == std::filesystem::is_directory(path, looped));
    CHECK(together.link == by_itself.link);
  }
}

TEST_CASE("a link leads where the kernel says, however it is written") {
  Home home;
  home.directory("a/b/c");
  home.directory("srv/gh");
  home.file("a/file", "x");
  home.file("srv/gh/token", "x");
  const std::string root = canonical_path(home.path(""));
  const std::string here = root + "/a/b";
  // Some would be found in the wrong place where a slash too many made them absolute.
  const std::vector<std::string> texts = {"..//file",
                                          "../..//srv",
                                          "../..///srv",
                                          "../../srv",
                                          "../.././srv",
                                          ".././file",
                                          "../file/",
                                          "../file/.",
                                          "c/",
                                          "c/.",
                                          "./c",
                                          "c//",
                                          ".",
                                          "..",
                                          "../",
                                          "../..",
                                          "c/..",
                                          "c/../c",
                                          "..//etc",
                                          "../..//etc",
                                          root + "//srv",
                                          root + "/srv/",
                                          root + "/./srv",
                                          root + "/srv/../a",
                                          "/",
                                          "//",
                                          "//etc",
                                          "/../etc",
                                          "/..//etc",
                                          "/./etc",
                                          "../../srv/gh/token",
                                          "../../none",
                                          "c/none"};
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string link = here + "/link" + std::to_string(i);
    std::filesystem::create_symlink(texts[i], link);
    CanonicalPaths whole;
    whole.with_ending(here + "/link*");
    CanonicalPaths alone;
    for (CanonicalPaths* paths : {&alone, &whole}) {
      for (const std::string& path : {link, link + "/gh/token", link + "/none"}) {
        INFO(path << " -> " << texts[i]);
        std::error_code ignored;
        const CanonicalPaths::Found& found = paths->find(path);
        CHECK(found.path == canonical_path(path));
        CHECK(found.exists == std::filesystem::exists(path, ignored));
        CHECK(found.directory == std::filesystem::is_directory(path, ignored));
      }
    }
  }
}

TEST_CASE("no more links are followed than the kernel follows") {
  Home home;
  home.directory("end");
  const std::string root = canonical_path(home.path(""));
  std::filesystem::create_symlink("end", root + "/l0");
  CanonicalPaths paths;
  for (int i = 1; i < 60; ++i) {
    std::filesystem::create_symlink("l" + std::to_string(i - 1), root + "/l" + std::to_string(i));
    const std::string link = root + "/l" + std::to_string(i);
    INFO(link);
    std::error_code looped;
    CHECK(paths.find(link).exists == std::filesystem::exists(link, looped));
    CHECK(paths.of(link) == canonical_path(link));
  }
}

TEST_CASE("a directory that cannot be read is looked at name by name") {
  if (::geteuid() == 0) {
    WARN("root reads every directory: tried with one that is none");
    Home home;
    home.file("plain", "x");
    CanonicalPaths paths;
    CHECK(paths.with_ending(home.path("plain/a*")).empty());
    CHECK(paths.find(home.path("plain")).exists);
    CHECK_FALSE(paths.find(home.path("plain/a")).exists);
    return;
  }
  Home home;
  home.file("closed/known", "x");
  std::filesystem::permissions(home.path("closed"), std::filesystem::perms::owner_exec);
  CanonicalPaths paths;
  CHECK(paths.with_ending(home.path("closed/k*")).empty());
  CHECK(paths.find(home.path("closed/known")).exists);
  CHECK_FALSE(paths.find(home.path("closed/none")).exists);
}
