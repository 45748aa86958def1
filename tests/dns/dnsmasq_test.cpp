// The resolver against dnsmasq, with dnsmasq's own log as the witness of what was asked.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iostream>

#include "tests/dns/fixture.hpp"

using namespace nono;
using namespace nono::test;

namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

std::uint16_t free_port() {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

class Dnsmasq {
 public:
  // Null where the machine has no dnsmasq.
  static std::unique_ptr<Dnsmasq> start() {
    for (int attempt = 0; attempt < 5; ++attempt) {
      std::unique_ptr<Dnsmasq> server(new Dnsmasq(free_port()));
      if (server->missing_) return nullptr;
      if (server->ready()) return server;
    }
    FAIL("dnsmasq does not start");
    return nullptr;
  }
  ~Dnsmasq() { stop(); }

  HostPort endpoint() const { return HostPort{IpAddress::v4({127, 0, 0, 1}), Port(port_)}; }

  // Ends the server and returns all that it logged.
  std::string stop() {
    if (pid_ > 0) {
      ::kill(pid_, SIGTERM);
      ::waitpid(pid_, nullptr, 0);
      pid_ = -1;
    }
    std::string text;
    char chunk[4096];
    for (ssize_t got = 1; got > 0;) {
      got = ::read(log_.get(), chunk, sizeof chunk);
      if (got > 0) text.append(chunk, static_cast<std::size_t>(got));
    }
    return text;
  }

 private:
  explicit Dnsmasq(std::uint16_t port) : port_(port) {
    int log[2];
    int failed[2];
    REQUIRE(::pipe2(log, O_CLOEXEC) == 0);
    REQUIRE(::pipe2(failed, O_CLOEXEC) == 0);
    std::string port_flag = "--port=" + std::to_string(port);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(log[1], STDERR_FILENO);
      ::dup2(log[1], STDOUT_FILENO);
      ::execlp("dnsmasq", "dnsmasq", "-k", port_flag.c_str(), "--conf-file=/dev/null",
               "--no-resolv", "--no-hosts", "--pid-file=", "--user=", "--listen-address=127.0.0.1",
               "--bind-interfaces", "--log-queries", "--log-facility=-",
               "--address=/api.openai.com/127.0.0.2", "--address=/evil.example/93.184.216.34",
               "--local=/nowhere.example/", static_cast<char*>(nullptr));
      [[maybe_unused]] ssize_t written = ::write(failed[1], "x", 1);
      ::_exit(127);
    }
    ::close(log[1]);
    ::close(failed[1]);
    log_ = UniqueFd(log[0]);
    UniqueFd told(failed[0]);
    char byte = 0;
    missing_ = ::read(told.get(), &byte, 1) == 1;  // end of file: exec worked
  }

  bool ready() const {
    for (int i = 0; i < 500; ++i) {
      UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in address = loopback(port_);
      if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0)
        return true;
      if (::waitpid(pid_, nullptr, WNOHANG) == pid_) return false;
      ::poll(nullptr, 0, 10);
    }
    return false;
  }

  std::uint16_t port_;
  pid_t pid_ = -1;
  UniqueFd log_;
  bool missing_ = false;
};

}  // namespace

TEST_CASE("dnsmasq answers for permitted names and hears of no other") {
  std::unique_ptr<Dnsmasq> server = Dnsmasq::start();
  if (!server) {
    std::cout << "skipped by name: dnsmasq (package dnsmasq-base) is not installed\n";
    return;
  }
  ResolverFixture fixture;
  fixture.options.servers = {server->endpoint()};
  fixture.options.query_timeout = 2s;

  CHECK(fixture.resolve("api.openai.com").error().code == ErrorCode::address_refused);
  CHECK(fixture.answer("api.openai.com", {"127.0.0.0/8"}) == "127.0.0.2");
  CHECK(fixture.answer("api.openai.com", {"127.0.0.0/8"}) == "127.0.0.2");
  CHECK(fixture.resolve("x.nowhere.example").error().code == ErrorCode::name_not_found);
  CHECK(fixture.resolve("other.example").error().code == ErrorCode::dns_failed);

  std::string log = server->stop();
  CHECK_THAT(log, Catch::Contains("query[A] api.openai.com"));
  CHECK_THAT(log, !Catch::Contains("evil.example from"));
  std::size_t first = log.find("query[A] api.openai.com");
  CHECK(log.find("query[A] api.openai.com", first + 1) == std::string::npos);  // cached after that
}
