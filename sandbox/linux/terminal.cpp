#include "sandbox/linux/terminal.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "sandbox/linux/uapi.hpp"

namespace nono::sandbox {
namespace {

int first_terminal() {
  for (int fd = 0; fd < 3; ++fd) {
    if (::isatty(fd) == 1) return fd;
  }
  return -1;
}

// A description of its own, so that O_NONBLOCK does not reach the shell that shares ours. Where the
// user may not open the terminal (after su), ours has to do.
UniqueFd reopen(int fd, int mode) {
  std::string path = fmt::format("/proc/self/fd/{}", fd);
  UniqueFd own(::open(path.c_str(), mode | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (!own) own = UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  return own;
}

// A devpts that is mounted nowhere yet.
UniqueFd make_filesystem() {
  UniqueFd context(static_cast<int>(::syscall(uapi::sys_fsopen, "devpts", FSOPEN_CLOEXEC)));
  if (!context) return {};
  if (::syscall(uapi::sys_fsconfig, context.get(), FSCONFIG_SET_STRING, "ptmxmode", "0666", 0) !=
          0 ||
      ::syscall(uapi::sys_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return {};
  }
  return UniqueFd(static_cast<int>(::syscall(uapi::sys_fsmount, context.get(), FSMOUNT_CLOEXEC,
                                             MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)));
}

// As the user's terminal is now.
void take_over_settings(int from, int to) {
  termios settings = {};
  if (::tcgetattr(from, &settings) == 0) ::tcsetattr(to, TCSANOW, &settings);
  winsize size = {};
  if (::ioctl(from, TIOCGWINSZ, &size) == 0) ::ioctl(to, TIOCSWINSZ, &size);
}

}  // namespace

tl::expected<std::optional<OuterTerminal>, Failure> open_outer_terminal() {
  int any = first_terminal();
  if (any < 0) return std::optional<OuterTerminal>();
  OuterTerminal outer;
  outer.in = reopen(::isatty(0) == 1 ? 0 : any, O_RDONLY);
  outer.out = reopen(::isatty(1) == 1 ? 1 : ::isatty(2) == 1 ? 2 : any, O_WRONLY);
  if (!outer.in || !outer.out) return failed(Step::terminal, errno);
  return std::optional<OuterTerminal>(std::move(outer));
}

tl::expected<Terminal, Failure> make_terminal(OuterTerminal outer) {
  Terminal terminal;
  terminal.outer = std::move(outer);
  terminal.inner.foreground = ::isatty(0) == 1 && ::isatty(1) == 1;
  terminal.inner.filesystem = make_filesystem();
  if (!terminal.inner.filesystem) return failed(Step::terminal, errno, "devpts");
  constexpr int flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
  terminal.master = UniqueFd(::openat(terminal.inner.filesystem.get(), "ptmx", flags | O_NONBLOCK));
  int locked = 0;
  if (!terminal.master || ::ioctl(terminal.master.get(), TIOCSPTLCK, &locked) != 0) {
    return failed(Step::terminal, errno, "ptmx");
  }
  terminal.inner.slave = UniqueFd(::ioctl(terminal.master.get(), TIOCGPTPEER, flags));
  if (!terminal.inner.slave) return failed(Step::terminal, errno, "its other side");
  take_over_settings(terminal.outer.out.get(), terminal.inner.slave.get());
  return terminal;
}

Done put_on_stdio(const InnerTerminal& terminal, StdioPlan& stdio) {
  for (int fd = 0; fd < 3; ++fd) {
    if (::isatty(fd) != 1) continue;
    UniqueFd copy(::fcntl(terminal.slave.get(), F_DUPFD_CLOEXEC, 3));
    if (!copy) return failed(Step::terminal, errno);
    stdio.replacement[static_cast<std::size_t>(fd)] = std::move(copy);
  }
  return {};
}

Done lead_session(const InnerTerminal& terminal) {
  if (::setsid() < 0 || ::ioctl(terminal.slave.get(), TIOCSCTTY, 0) != 0) {
    return failed(Step::terminal, errno, "session");
  }
  return {};
}

Done join_terminal(const InnerTerminal& terminal) {
  if (::setpgid(0, 0) != 0) return failed(Step::terminal, errno, "process group");
  if (terminal.foreground && ::tcsetpgrp(terminal.slave.get(), ::getpid()) != 0) {
    return failed(Step::terminal, errno, "foreground");
  }
  return {};
}

void give_foreground(const InnerTerminal& terminal, pid_t group) {
  ::tcsetpgrp(terminal.slave.get(), group);
}

}  // namespace nono::sandbox
