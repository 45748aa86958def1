// Every family of escapes, bare and confined, as root and as an ordinary user.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <fstream>
#include <sstream>

#include "tests/escape/scene.hpp"

namespace nono::testing {
namespace {

TEST_CASE("no TCP connection gets past the proxy") {
  try_family("tcp", Network::blocked);
}
TEST_CASE("no datagram gets out") {
  try_family("udp", Network::blocked);
}
TEST_CASE("no other kind of socket can be made") {
  try_family("sockets", Network::blocked);
}
TEST_CASE("the kernel's configuration can be neither read nor changed over netlink") {
  try_family("netlink", Network::blocked);
}
TEST_CASE("io_uring leads nowhere") {
  try_family("uring", Network::open);
}
TEST_CASE("the tables of other architectures lead nowhere") {
  try_family("foreign-abi", Network::open);
}
TEST_CASE("no Unix socket of the host's can be reached") {
  try_family("unix", Network::open);
}
TEST_CASE("shared memory, queues and keys of the host's cannot be reached") {
  try_family("memory", Network::open, "key");
}
TEST_CASE("no process outside can be signalled, read, slowed or survive as an orphan") {
  try_family("process", Network::open, "group");
}
TEST_CASE("no namespace can be made or entered, and no privilege gained") {
  try_family("namespaces", Network::open);
}
TEST_CASE("nothing can be typed into the caller's terminal") {
  try_family("terminal", Network::open, "terminal");
}
TEST_CASE("files outside the grants can be neither read nor changed") {
  try_family("files", Network::open);
}
TEST_CASE("no descriptor is inherited and no device opened") {
  try_family("descriptors", Network::open, "leak");
}
TEST_CASE("two threads that race gain nothing") {
  try_family("races", Network::blocked);
}

// What a caller from outside gets from `port` of this machine.
std::string ask(int family, int type, std::uint16_t port) {
  const UniqueFd socket(::socket(family, type | SOCK_CLOEXEC, 0));
  sockaddr_in6 address = {};
  auto* v4 = static_cast<sockaddr_in*>(static_cast<void*>(&address));
  address.sin6_family = static_cast<sa_family_t>(family);
  address.sin6_port = htons(port);
  if (family == AF_INET6) {
    address.sin6_addr = in6addr_loopback;
  } else {
    v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
  const socklen_t size = family == AF_INET6 ? sizeof address : sizeof *v4;
  const auto* generic = static_cast<const sockaddr*>(static_cast<const void*>(&address));
  if (::connect(socket.get(), generic, size) != 0) return {};
  if (type == SOCK_DGRAM && ::send(socket.get(), "?", 1, 0) != 1) return {};
  pollfd ready = {socket.get(), POLLIN, 0};
  constexpr int at_most_ms = 3000;
  if (::poll(&ready, 1, at_most_ms) != 1) return {};
  std::array<char, 256> block;
  const ssize_t got = ::recv(socket.get(), block.data(), block.size(), 0);
  return got <= 0 ? std::string() : std::string(block.data(), static_cast<std::size_t>(got));
}

// Calls each listener as soon as it is announced.
void call_listeners(Scene& scene, Process& process) {
  std::set<std::string> called;
  eventually(
      [&] {
        const bool over = !process.running();
        std::istringstream lines(process.out());
        for (std::string line; std::getline(lines, line);) {
          std::istringstream words(line);
          std::string mark;
          std::string name;
          std::uint16_t port = 0;
          words >> mark >> name >> port;
          if (mark != "LISTENING" || port == 0 || !called.insert(name).second) continue;
          const int family = name == "listen-v6" ? AF_INET6 : AF_INET;
          const int type = name == "udp-inbound" ? SOCK_DGRAM : SOCK_STREAM;
          const std::string answer = ask(family, type, port);
          if (answer == name + " " + scene.token()) scene.note_hit(name);
          std::ofstream(scene.project() + "/tried-" + name).put('x');
        }
        return over;
      },
      60s);
}

TEST_CASE("nobody outside can come in by a port that is listened on inside") {
  try_family("inbound", Network::blocked, "nothing", call_listeners);
}

}  // namespace
}  // namespace nono::testing
