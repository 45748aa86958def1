#include "sandbox/linux/user_terminal.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <sstream>
#include <string>

namespace nono::sandbox {
namespace {

// A process in the background is stopped when it changes the terminal, unless this is blocked.
class WithoutOutputStop {
 public:
  WithoutOutputStop() {
    sigset_t output_stop;
    sigemptyset(&output_stop);
    sigaddset(&output_stop, SIGTTOU);
    ::pthread_sigmask(SIG_BLOCK, &output_stop, &before_);
  }
  ~WithoutOutputStop() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  WithoutOutputStop(const WithoutOutputStop&) = delete;
  WithoutOutputStop& operator=(const WithoutOutputStop&) = delete;

 private:
  sigset_t before_ = {};
};

}  // namespace

SavedTerminal::SavedTerminal() {
  for (int fd = 0; fd < 3 && fd_ < 0; ++fd) {
    if (::tcgetattr(fd, &settings_) == 0) fd_ = fd;
  }
}

void SavedTerminal::restore() const {
  if (fd_ < 0) return;
  pid_t holder = ::tcgetpgrp(fd_);
  if (holder >= 0 && holder != ::getpgrp()) return;
  WithoutOutputStop guard;
  ::tcsetattr(fd_, TCSANOW, &settings_);
}

Foreground::Foreground() {
  for (int fd = 0; fd < 3 && terminal_ < 0; ++fd) {
    if (::tcgetpgrp(fd) == ::getpgrp()) terminal_ = fd;
  }
}

void Foreground::restore() const {
  if (terminal_ < 0) return;
  pid_t holder = ::tcgetpgrp(terminal_);
  if (holder <= 0 || holder == ::getpgrp()) return;
  if (::kill(-holder, 0) == 0 || errno != ESRCH) return;
  WithoutOutputStop guard;
  ::tcsetpgrp(terminal_, ::getpgrp());
}

bool can_be_stopped() {
  constexpr int depth_max = 64;
  pid_t member = ::getpid();
  for (int depth = 0; depth < depth_max; ++depth) {
    std::ifstream file(fmt::format("/proc/{}/stat", member));
    std::string text;
    std::getline(file, text);
    std::istringstream after_name(text.substr(std::min(text.rfind(')') + 1, text.size())));
    char state = 0;
    pid_t parent = 0;
    if (!(after_name >> state >> parent) || parent <= 0) return false;
    if (::getpgid(parent) != ::getpgrp()) return ::getsid(parent) == ::getsid(0);
    member = parent;
  }
  return false;
}

}  // namespace nono::sandbox
