#include "proxy/cli/file_watch.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>

#include "tests/support/temp_dir.hpp"

using namespace nono;
using namespace nono::cli;
using namespace std::chrono_literals;

namespace {

struct Watched {
  testing::TempDir dir;
  std::string path = dir.write("nono.yaml", "one");
  net::io_context io{1};
  int changes = 0;
  FileWatch watch{io.get_executor(), path, [this] { ++changes; }};

  void pass(std::chrono::milliseconds time) {
    io.restart();
    io.run_for(time);
  }
  // Until one more change was noticed; false after ten seconds without.
  bool notices() {
    const int before = changes;
    for (int tries = 0; tries < 100 && changes == before; ++tries) pass(100ms);
    return changes == before + 1;
  }
};

}  // namespace

TEST_CASE("a file that stays as it is is not noticed") {
  Watched file;
  file.pass(2500ms);
  CHECK(file.changes == 0);
}

TEST_CASE("a file that was written, or replaced by another, is noticed once") {
  Watched file;
  file.dir.write("nono.yaml", "two two");
  CHECK(file.notices());
  file.pass(2200ms);
  CHECK(file.changes == 1);
  const std::string other = file.dir.write("other", "three three");
  REQUIRE(std::rename(other.c_str(), file.path.c_str()) == 0);
  CHECK(file.notices());
}

TEST_CASE("a link that points elsewhere is another file") {
  Watched file;
  const std::string other = file.dir.write("other", "elsewhere");
  REQUIRE(::unlink(file.path.c_str()) == 0);
  REQUIRE(::symlink(other.c_str(), file.path.c_str()) == 0);
  CHECK(file.notices());
}

TEST_CASE("a file that is gone is not noticed, but what comes in its place is") {
  Watched file;
  REQUIRE(::unlink(file.path.c_str()) == 0);
  file.pass(2500ms);
  CHECK(file.changes == 0);
  file.dir.write("nono.yaml", "back again");
  CHECK(file.notices());
}
