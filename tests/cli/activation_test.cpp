#include "proxy/cli/activation.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <functional>
#include <map>

#include "proxy/listen.hpp"

using namespace nono;
using namespace nono::cli;

namespace {

using Variables = std::map<std::string, std::string>;

EnvLookup lookup(const Variables& variables) {
  return [variables](std::string_view name) -> std::optional<std::string> {
    const auto found = variables.find(std::string(name));
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

Variables given(const std::string& count, const std::string& names = {}) {
  Variables variables = {{"LISTEN_PID", std::to_string(::getpid())}, {"LISTEN_FDS", count}};
  if (!names.empty()) variables["LISTEN_FDNAMES"] = names;
  return variables;
}

// What `check` says, in a child whose descriptors from 3 on are its own to give away: 0 is yes.
int in_child(const std::function<bool()>& check) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(check() ? 0 : 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

// Puts a listening TCP socket, or with `datagram` one that does not listen, on `fd`.
bool put_socket(int fd, bool datagram = false) {
  const int kind = datagram ? SOCK_DGRAM : SOCK_STREAM;
  const int made = ::socket(AF_INET, kind | SOCK_CLOEXEC, 0);
  if (made < 0 || (!datagram && ::listen(made, 1) != 0)) return false;
  return made == fd || ::dup2(made, fd) == fd;
}

}  // namespace

TEST_CASE("sockets for this process are taken with their names and closed on exec") {
  CHECK(in_child([] {
          if (!put_socket(4) || !put_socket(3)) return false;
          const auto taken = take_activated_sockets(lookup(given("2", "web:admin")));
          if (!taken || taken->size() != 2) return false;
          const bool closed_on_exec =
              (::fcntl(3, F_GETFD) & FD_CLOEXEC) != 0 && (::fcntl(4, F_GETFD) & FD_CLOEXEC) != 0;
          return closed_on_exec && (*taken)[0].socket.get() == 3 && (*taken)[0].name == "web" &&
                 (*taken)[1].socket.get() == 4 && (*taken)[1].name == "admin";
        }) == 0);
}

TEST_CASE("fewer names than sockets leave the rest without one") {
  CHECK(in_child([] {
          if (!put_socket(4) || !put_socket(3)) return false;
          const auto taken = take_activated_sockets(lookup(given("2", "web")));
          return taken && taken->size() == 2 && (*taken)[1].name.empty();
        }) == 0);
}

TEST_CASE("what is for another process, or no number, gives none and touches nothing") {
  for (const Variables& variables :
       {Variables{}, Variables{{"LISTEN_FDS", "1"}},
        Variables{{"LISTEN_FDS", "1"}, {"LISTEN_PID", "1"}}, given("0"), given("-1"), given("many"),
        given(""), given("257"), given("99999999999999999999")}) {
    CHECK(in_child([&] {
            if (!put_socket(3)) return false;
            const auto taken = take_activated_sockets(lookup(variables));
            return taken && taken->empty() && ::fcntl(3, F_GETFD) >= 0;
          }) == 0);
  }
}

TEST_CASE("the variables do not reach programs that are started later") {
  CHECK(in_child([] {
          ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
          ::setenv("LISTEN_FDS", "1", 1);
          if (!put_socket(3)) return false;
          const auto taken = take_activated_sockets(lookup(given("1")));
          return taken && std::getenv("LISTEN_PID") == nullptr &&
                 std::getenv("LISTEN_FDS") == nullptr;
        }) == 0);
}

TEST_CASE("a descriptor that is no listening stream socket is an error that names it") {
  CHECK(in_child([] {
          if (!put_socket(3, true)) return false;
          const auto taken = take_activated_sockets(lookup(given("1")));
          return !taken && taken.error().what.find("descriptor 3") != std::string::npos;
        }) == 0);
  CHECK(in_child([] {
          const int file = ::open("/dev/null", O_RDONLY);
          ::dup2(file, 3);
          return !take_activated_sockets(lookup(given("1"))).has_value();
        }) == 0);
  CHECK(in_child([] {
          ::close(3);
          return !take_activated_sockets(lookup(given("1"))).has_value();
        }) == 0);
}
