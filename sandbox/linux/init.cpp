// I: pid 1 of the sandbox. When it ends, the kernel ends everything else in it.

#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "sandbox/linux/capabilities.hpp"
#include "sandbox/linux/channel.hpp"
#include "sandbox/linux/prepared.hpp"
#include "sandbox/linux/stdio_relay.hpp"

namespace nono::sandbox {
namespace {

// The only process that the command can name beside its own: nothing to gain from it.
Done confine_self(const Prepared& prepared) {
  if (Done done = drop_capabilities(); !done) return done;
  if (Done done = forbid_new_privileges(); !done) return done;
  if (Done done = install_filter(prepared.filter); !done) return done;
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return failed(Step::limits, errno);
  return {};
}

// Collects every process that ended; returns when the command did, with its status.
bool reap(pid_t command, int jobs, int& status) {
  for (;;) {
    int now = 0;
    pid_t pid = ::waitpid(-1, &now, WNOHANG | WUNTRACED | WCONTINUED);
    if (pid <= 0) return false;
    if (pid != command) continue;  // an orphan that we inherited
    if (WIFSTOPPED(now) || WIFCONTINUED(now)) {
      char event = WIFSTOPPED(now) ? job_stopped : job_continued;
      if (::write(jobs, &event, 1) < 0 && errno == EPIPE) ::_exit(125);  // L is gone
      continue;
    }
    status = now;
    return true;
  }
}

[[noreturn]] void end_with(int channel, int status) {
  Report report;
  report.kind = Report::Kind::exited;
  report.status = status;
  send_report(channel, report);
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

// The parent has none of this network namespace's sockets but those that it was given.
void hand_over_socket(int channel, int family) {
  UniqueFd socket;
  if (family == AF_INET || family == AF_INET6) {
    socket = UniqueFd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }
  Report report;
  report.kind = Report::Kind::inner_socket;
  if (!socket) report.failure.error = errno;
  int fd = socket.get();
  send_report(channel, report, std::span<const int>(&fd, socket ? 1 : 0));
}

[[noreturn]] void serve(pid_t command, int channel, int jobs) {
  sigset_t child_changed;
  sigemptyset(&child_changed);
  sigaddset(&child_changed, SIGCHLD);
  UniqueFd changed(::signalfd(-1, &child_changed, SFD_CLOEXEC | SFD_NONBLOCK));
  for (;;) {
    int status = 0;
    if (reap(command, jobs, status)) end_with(channel, status);
    pollfd polls[] = {{changed.get(), POLLIN, 0}, {channel, POLLIN, 0}, {jobs, 0, 0}};
    if (::poll(polls, 3, -1) < 0) continue;
    if (polls[2].revents != 0) ::_exit(125);  // L is gone, and everything goes with it
    if (polls[0].revents != 0) {
      signalfd_siginfo info;
      while (::read(changed.get(), &info, sizeof info) > 0) {
      }
    }
    if (polls[1].revents != 0) {
      const Request request = receive_request(channel);
      if (request.kind == Request::Kind::gone) ::_exit(125);  // and we go with it
      if (request.kind == Request::Kind::signal) ::kill(command, request.value);
      if (request.kind == Request::Kind::socket) hand_over_socket(channel, request.value);
    }
  }
}

}  // namespace

void run_init(const Prepared& prepared, StdioPlan& stdio, int channel, int go, JobPipe& jobs) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
    report_and_exit(channel, {Step::peer_gone, errno, {}});
  }
  stdio.copies.clear();
  jobs.read.reset();
  if (Done done = build_tree(prepared.mounts); !done) report_and_exit(channel, done.error());

  pid_t command = ::fork();
  if (command < 0) report_and_exit(channel, {Step::start, errno, {}});
  if (command == 0) run_payload(prepared, stdio, channel, go);

  ::close(go);
  stdio.replacement = {};
  if (Done done = confine_self(prepared); !done) report_and_exit(channel, done.error());
  serve(command, channel, jobs.write.get());
}

}  // namespace nono::sandbox
