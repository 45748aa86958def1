#include "proxy/cli/activation.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>

namespace nono::cli {

namespace {

constexpr int first_fd = 3;   // SD_LISTEN_FDS_START
constexpr int fds_max = 256;  // more would be a mistake of the environment

int number_of(const std::optional<std::string>& text) {
  int number = 0;
  if (!text) return number;
  std::from_chars(text->data(), text->data() + text->size(), number);
  return number;
}

std::vector<std::string> split_names(const std::string& text) {
  std::vector<std::string> names;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find(':', start), text.size());
    names.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return names;
}

bool option_is(int fd, int option, int wanted) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

}  // namespace

Result<std::vector<ActivatedSocket>> take_activated_sockets(const EnvLookup& env) {
  std::vector<ActivatedSocket> sockets;
  const int count = number_of(env("LISTEN_FDS"));
  if (number_of(env("LISTEN_PID")) != ::getpid() || count <= 0 || count > fds_max) return sockets;
  const std::vector<std::string> names = split_names(env("LISTEN_FDNAMES").value_or(""));
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
  for (int index = 0; index < count; ++index) {
    const int fd = first_fd + index;
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    ActivatedSocket socket{UniqueFd(fd), {}};
    if (static_cast<std::size_t>(index) < names.size()) socket.name = names[index];
    if (!option_is(fd, SO_ACCEPTCONN, 1) || !option_is(fd, SO_TYPE, SOCK_STREAM)) {
      return fail(ErrorCode::bad_input,
                  fmt::format("descriptor {} of LISTEN_FDS is no listening stream socket", fd),
                  "the unit needs ListenStream= and Accept=no");
    }
    sockets.push_back(std::move(socket));
  }
  return sockets;
}

}  // namespace nono::cli
