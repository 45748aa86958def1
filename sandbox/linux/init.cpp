// I: pid 1 of the sandbox. When it ends, the kernel ends everything else in it.

#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "sandbox/linux/awaited_plan.hpp"
#include "sandbox/linux/capabilities.hpp"
#include "sandbox/linux/channel.hpp"
#include "sandbox/linux/other_core.hpp"
#include "sandbox/linux/prepared.hpp"
#include "sandbox/linux/stdio_relay.hpp"
#include "sandbox/linux/terminal.hpp"

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

// The command, and what it takes to control it.
struct Job {
  pid_t command;
  int events;               // to L
  int over;                 // the parent waits for us until it is closed
  InnerTerminal* terminal;  // null where the command has none of its own
  // A shell continues the parent and L alike, and both pass it on. The second of the two may come
  // when the next stop has already been asked for, so it is not heard.
  bool continued_by_launcher = false;
};

void forward(Job& job, int number) {
  if (number == SIGCONT && job.continued_by_launcher) {
    job.continued_by_launcher = false;
    return;
  }
  ::kill(job.command, number);
}

void tell(const Job& job, char event) {
  if (::write(job.events, &event, 1) < 0 && errno == EPIPE) ::_exit(125);  // L is gone
}

void report_stop(const Job& job, int signal) {
  bool by_terminal = signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
  if (job.terminal == nullptr || !by_terminal) return tell(job, job_stopped);
  if (signal == SIGTSTP || job.terminal->foreground) return tell(job, job_stopped_by_terminal);
  // It was in the background of its terminal only for as long as it did not ask.
  job.terminal->foreground = true;
  give_foreground(*job.terminal, job.command);
  tell(job, job_wants_input);
  ::kill(-job.command, SIGCONT);
}

// Collects every process that ended; returns when the command did, with its status.
bool reap(const Job& job, int& status) {
  for (;;) {
    int now = 0;
    pid_t pid = ::waitpid(-1, &now, WNOHANG | WUNTRACED | WCONTINUED);
    if (pid <= 0) return false;
    if (pid != job.command) continue;  // an orphan that we inherited
    if (WIFSTOPPED(now)) {
      report_stop(job, WSTOPSIG(now));
      continue;
    }
    if (WIFCONTINUED(now)) {
      tell(job, job_continued);
      continue;
    }
    status = now;
    return true;
  }
}

// The parent has no longer to wait for this process once nothing of the command is left. What a
// security module keeps our signal from ends with this process, which the kernel sees to.
void end_all_others() {
  ::kill(-1, SIGKILL);
  for (int times = 0; times < 1000;) {
    const pid_t ended = ::waitpid(-1, nullptr, WNOHANG);
    if (ended < 0 && errno != EINTR) return;
    if (ended != 0) continue;
    ::poll(nullptr, 0, 1);
    ++times;
  }
}

[[noreturn]] void end_with(const Job& job, int channel, int status) {
  end_all_others();
  Report report;
  report.kind = Report::Kind::exited;
  report.status = status;
  send_report(channel, report);
  ::close(job.over);  // now, rather than when this process has been taken down
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

[[noreturn]] void serve(Job job, int channel) {
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGCHLD);
  if (job.terminal != nullptr) {
    for (int number : terminal_signals) sigaddset(&awaited, number);
  }
  UniqueFd received(::signalfd(-1, &awaited, SFD_CLOEXEC | SFD_NONBLOCK));
  for (;;) {
    int status = 0;
    if (reap(job, status)) end_with(job, channel, status);
    pollfd polls[] = {{received.get(), POLLIN, 0}, {channel, POLLIN, 0}, {job.events, 0, 0}};
    if (::poll(polls, 3, -1) < 0) continue;
    if (polls[2].revents != 0) ::_exit(125);  // L is gone, and everything goes with it
    if (polls[0].revents != 0) {
      signalfd_siginfo info;
      while (::read(received.get(), &info, sizeof info) > 0) {
        int number = static_cast<int>(info.ssi_signo);
        if (number == SIGCONT) job.continued_by_launcher = true;
        if (number != SIGCHLD) ::kill(-job.command, number);
      }
    }
    if (polls[1].revents != 0) {
      const Request request = receive_request(channel);
      if (request.kind == Request::Kind::gone) ::_exit(125);  // and we go with it
      if (request.kind == Request::Kind::signal) forward(job, request.value);
      if (request.kind == Request::Kind::socket) hand_over_socket(channel, request.value);
    }
  }
}

}  // namespace

void run_init(Prepared& prepared, StdioPlan& stdio, int channel, int go, JobPipe& jobs,
              InnerTerminal* terminal, AwaitedPlan* awaited) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
    report_and_exit(channel, {Step::peer_gone, errno, {}});
  }
  stdio.copies.clear();
  jobs.read.reset();
  if (awaited != nullptr && !awaited->wait(prepared)) ::_exit(125);
  int terminals = terminal != nullptr ? terminal->filesystem.get() : -1;
  Done built = build_tree(prepared.mounts, terminals);
  if (built && terminal != nullptr) built = lead_session(*terminal);
  if (!built) report_and_exit(channel, built.error());
  if (terminal != nullptr) {
    terminal->filesystem.reset();
    terminal->events = jobs.write.get();
  }

  pid_t command = fork_to_other_core();
  if (command < 0) report_and_exit(channel, {Step::start, errno, {}});
  if (command == 0) run_payload(prepared, stdio, channel, go, -1, terminal);

  ::close(go);
  stdio.replacement = {};
  ::close_range(0, 2, 0);  // the command's end is the end of these
  if (Done done = confine_self(prepared); !done) report_and_exit(channel, done.error());
  serve({command, jobs.write.get(), prepared.over.get(), terminal}, channel);
}

}  // namespace nono::sandbox
