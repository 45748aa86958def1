#include "proxy/cli/signals.hpp"

#include <sys/signalfd.h>

#include <cerrno>
#include <csignal>

namespace nono::cli {

void stop_as_by_terminal() {
  sigset_t stop;
  ::sigemptyset(&stop);
  ::sigaddset(&stop, SIGTSTP);
  ::raise(SIGTSTP);
  ::pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);
  ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
}

Result<Signals> Signals::take(const std::vector<int>& numbers) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : numbers) ::sigaddset(&set, number);
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return fail(errno_error(error, "blocking signals"));
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on the size of files is an error of write(2)
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail(errno_error(errno, "signalfd"));
  return Signals(std::move(fd));
}

std::optional<ReceivedSignal> Signals::next() const {
  signalfd_siginfo info = {};
  if (::read(fd_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info))
    return std::nullopt;
  return ReceivedSignal{static_cast<int>(info.ssi_signo), info.ssi_code <= 0,
                        static_cast<pid_t>(info.ssi_pid)};
}

}  // namespace nono::cli
