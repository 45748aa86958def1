// What becomes of standard descriptors: sockets are relayed, closed ones and directories harmless.

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <thread>

#include "tests/sandbox/harness.hpp"

using namespace nono;
using namespace nono::sandbox;
using namespace nono::sandbox::test;

TEST_CASE("stdio that is a socket is replaced by pipes and relayed whole") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    for (int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
      std::array<int, 2> in = {};
      std::array<int, 2> out = {};
      REQUIRE(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, in.data()) == 0);
      REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out.data()) == 0);
      SandboxPlan plan = shell(
          "for n in 0 1 2; do test -S /proc/self/fd/$n && echo socket; done; cat | wc -c; "
          "head -c 300000 /dev/zero | tr '\\0' y; echo end; exit 3");
      Pipe result;
      pid_t parent = ::fork();
      if (parent == 0) {
        ::dup2(in[1], 0);
        ::dup2(out[1], 1);
        ::dup2(out[1], 2);
        for (int fd : {in[0], in[1], out[0], out[1]}) ::close(fd);
        be_parent(plan, user, go_and_wait, result.write.get());
      }
      ::close(in[1]);
      ::close(out[1]);
      result.write.reset();
      for (int i = 0; i < 10; ++i) write_all(in[0], std::string(1000, 'x'));
      ::close(in[0]);
      std::string text = read_all(out[0]);
      ::close(out[0]);
      Outcome outcome;
      parse(read_all(result.read.get()), outcome);
      ::waitpid(parent, nullptr, 0);
      INFO(describe(outcome));
      CHECK(outcome.code == 3);
      CHECK(text.starts_with("10000\n"));
      CHECK(text.size() == 6 + 300000 + 4);
      CHECK(text.ends_with("yend\n"));
      CHECK(text.find("socket") == std::string::npos);
    }
  }
}

TEST_CASE("a relayed output whose reader went away gives the command SIGPIPE") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    std::array<int, 2> out = {};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out.data()) == 0);
    Pipe result;
    pid_t parent = ::fork();
    if (parent == 0) {
      ::dup2(out[1], 1);
      ::close(out[0]);
      ::close(out[1]);
      be_parent(shell("exec cat /dev/zero"), user, go_and_wait, result.write.get());
    }
    ::close(out[1]);
    result.write.reset();
    std::array<char, 100> some;
    CHECK(::read(out[0], some.data(), some.size()) > 0);
    ::close(out[0]);
    Outcome outcome;
    parse(read_all(result.read.get()), outcome);
    ::waitpid(parent, nullptr, 0);
    INFO(describe(outcome));
    CHECK(outcome.code == 128 + SIGPIPE);
  }
}

TEST_CASE("closed standard descriptors are harmless") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Pipe result;
    pid_t parent = ::fork();
    if (parent == 0) {
      int kept = ::fcntl(result.write.get(), F_DUPFD_CLOEXEC, 10);
      result = {};
      for (int fd = 0; fd < 3; ++fd) ::close(fd);
      be_parent(shell("cat; echo x; test -c /proc/self/fd/0 && test -c /proc/self/fd/2 && exit 8"),
                user, go_and_wait, kept);
    }
    result.write.reset();
    Outcome outcome;
    parse(read_all(result.read.get()), outcome);
    ::waitpid(parent, nullptr, 0);
    INFO(describe(outcome));
    CHECK(outcome.code == 8);
  }
}

TEST_CASE("a directory on standard input becomes /dev/null") {
  for (User user : users()) {
    if (!can_sandbox(user)) return;
    Directory place(user, public_place());
    write_text(place / "secret", "the secret", user);
    Pipe result;
    pid_t parent = ::fork();
    if (parent == 0) {
      UniqueFd directory(::open(place.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      ::dup2(directory.get(), 0);
      SandboxPlan plan = probe([] {
        struct stat info = {};
        return ::fstat(0, &info) == 0 && S_ISCHR(info.st_mode) &&
                       ::fchmodat(0, "secret", 0777, 0) != 0
                   ? 0
                   : 1;
      });
      be_parent(plan, user, go_and_wait, result.write.get());
    }
    result.write.reset();
    Outcome outcome;
    parse(read_all(result.read.get()), outcome);
    ::waitpid(parent, nullptr, 0);
    INFO(describe(outcome));
    CHECK(outcome.code == 0);
  }
}
