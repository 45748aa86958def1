#include "proxy/listen.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <thread>

#include "tests/support/temp_dir.hpp"

namespace nono {

namespace {

mode_t mode_of(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
}

// A socket file that nobody listens on any more.
void leave_socket(const std::string& path) {
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
}

}  // namespace

TEST_CASE("a Unix listener's file is its user's alone, whatever the umask") {
  const testing::TempDir dir;
  for (const mode_t mask : {0U, 022U, 077U}) {
    const std::string path = dir / std::to_string(mask);
    const mode_t before = ::umask(mask);
    const auto socket = listen_unix(path);
    ::umask(before);
    REQUIRE(socket);
    CHECK(mode_of(path) == 0600);
  }
}

TEST_CASE(
    "making a Unix listener leaves the umask alone, so other threads' files have their modes") {
  const testing::TempDir dir;
  const mode_t before = ::umask(0);
  std::atomic<bool> stop = false;
  std::atomic<std::size_t> wrong = 0, made = 0;
  std::thread other([&] {
    for (std::size_t i = 0; !stop; ++i) {
      const std::string folder = dir / ("d" + std::to_string(i));
      if (::mkdir(folder.c_str(), 0755) != 0 || mode_of(folder) != 0755) ++wrong;
      ::rmdir(folder.c_str());
      ++made;
    }
  });
  for (int i = 0; i < 300 || made < 300; ++i) {
    const auto socket = listen_unix(dir / "s");
    REQUIRE(socket);
  }
  stop = true;
  other.join();
  ::umask(before);
  CHECK(wrong == 0);
}

TEST_CASE("a socket file that is left over makes way for a listener, any other file stays") {
  const testing::TempDir dir;
  leave_socket(dir / "old");
  CHECK(listen_unix(dir / "old"));
  std::ofstream(dir / "file") << "precious";
  const auto refused = listen_unix(dir / "file");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().what.find("/file") != std::string::npos);
  std::string kept;
  std::ifstream(dir / "file") >> kept;
  CHECK(kept == "precious");
}

TEST_CASE("a listener that is alive keeps its path") {
  const testing::TempDir dir;
  const auto socket = listen_unix(dir / "s");
  REQUIRE(socket);
  CHECK_FALSE(listen_unix(dir / "s"));
}

}  // namespace nono
