// I: the one process between the launcher and the command. It is the reaper of all that the command
// leaves, and makes the connections that the command asks for. It ends when the command, the
// launcher or the parent does, and ends everything below it first.

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "sandbox/linux/capabilities.hpp"
#include "sandbox/linux/channel.hpp"
#include "sandbox/linux/notify/connector.hpp"
#include "sandbox/linux/notify/descendants.hpp"
#include "sandbox/linux/notify/listening.hpp"
#include "sandbox/linux/notify/notify.hpp"
#include "sandbox/linux/notify/private_tmp.hpp"
#include "sandbox/linux/prepared.hpp"
#include "sandbox/linux/uapi.hpp"

namespace nono::sandbox {
namespace {

struct Supervision {
  const NotifyPrepared& notify;
  std::optional<SignalScope> scope;
  pid_t command;
  int channel;
  int jobs;
  UniqueFd listener;  // of the command's filter; closed when no process has that filter any more
  bool stopped = false;
  // A shell continues the parent and the command alike, and the parent passes it on. That may come
  // when the next stop has been asked for, so it is not heard.
  bool continued_by_itself = false;
};

[[noreturn]] void end(const Supervision& work, int code) {
  end_descendants(work.scope);
  const std::string& temporary = work.notify.private_tmp.path();
  if (!temporary.empty()) remove_private_tmp(temporary);
  ::_exit(code);
}

[[noreturn]] void end_with(const Supervision& work, int status) {
  Report report;
  report.kind = Report::Kind::exited;
  report.status = status;
  send_report(work.channel, report);
  end(work, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

// Collects what has ended; returns when the command did, with its status.
bool reap(Supervision& work, int& status) {
  for (;;) {
    int now = 0;
    pid_t pid = ::waitpid(-1, &now, WNOHANG | WUNTRACED | WCONTINUED);
    if (pid <= 0) return false;
    if (pid != work.command) continue;  // an orphan that we adopted
    if (WIFSTOPPED(now) || WIFCONTINUED(now)) {
      // What stopped again went on in between, unseen.
      if (work.stopped || WIFCONTINUED(now)) work.continued_by_itself = true;
      work.stopped = WIFSTOPPED(now);
      char event = work.stopped ? job_stopped : job_continued;
      if (::write(work.jobs, &event, 1) < 0 && errno == EPIPE) end(work, 125);
      continue;
    }
    status = now;
    return true;
  }
}

void serve_request(Supervision& work) {
  const Request request = receive_request(work.channel);
  switch (request.kind) {
    case Request::Kind::none:
      return;
    case Request::Kind::gone:
      end(work, 125);
    case Request::Kind::signal:
      if (request.value == SIGCONT && std::exchange(work.continued_by_itself, false)) return;
      ::kill(work.command, request.value);
      return;
    case Request::Kind::socket: {  // there is no network of the command's own to make it in
      Report none;
      none.kind = Report::Kind::inner_socket;
      none.failure.error = EOPNOTSUPP;
      send_report(work.channel, none);
      return;
    }
  }
}

void serve_call(const Supervision& work, Connector& connector) {
  std::optional<TrappedCall> call = TrappedCall::receive(work.listener.get());
  if (!call) return;
  switch (call->number()) {
    case SYS_connect:
      return connector.connect(*call);
    case SYS_bind:
      return bind_for(*call, work.notify.listen_ports);
    case SYS_listen:
      return listen_for(*call, work.notify.listen_ports);
    default:
      call->answer(EPERM);  // the filter sends us nothing else
  }
}

// One thread, and nothing in it waits: a connection that takes its time is polled for.
[[noreturn]] void serve(Supervision& work) {
  sigset_t child_changed;
  sigemptyset(&child_changed);
  sigaddset(&child_changed, SIGCHLD);
  UniqueFd changed(::signalfd(-1, &child_changed, SFD_CLOEXEC | SFD_NONBLOCK));
  std::optional<Connector> connector;
  if (work.notify.supervised()) connector.emplace(work.notify.routes, *work.notify.ports);
  constexpr std::size_t fixed = 4;
  for (;;) {
    int status = 0;
    if (reap(work, status)) end_with(work, status);
    std::vector<pollfd> polls = {{changed.get(), POLLIN, 0},
                                 {work.channel, POLLIN, 0},
                                 {work.jobs, 0, 0},
                                 {work.listener.get(), POLLIN, 0}};
    if (connector) connector->add_polls(polls);
    if (::poll(polls.data(), polls.size(), -1) < 0) continue;
    if (polls[2].revents != 0) end(work, 125);  // the launcher is gone
    if (polls[0].revents != 0) {
      signalfd_siginfo info;
      while (::read(changed.get(), &info, sizeof info) > 0) {
      }
    }
    if (polls[1].revents != 0) {
      if (reap(work, status)) end_with(work, status);  // what came before the request
      serve_request(work);
    }
    if (!connector) continue;
    connector->serve(std::span(polls).subspan(fixed));
    if ((polls[3].revents & POLLIN) != 0) {
      serve_call(work, *connector);
    } else if (polls[3].revents != 0) {
      work.listener.reset();
    }
  }
}

// After the command was forked: what it may inherit of ours is settled by then. The command stays
// in the parent's process group, where its terminal and its shell look for it; whoever kills that
// whole group at once must not kill the reaper of what has left it. In a session of our own, since
// a parent in the same one counts as somebody who could continue a stopped command.
Done confine_self(const Prepared& prepared) {
  if (::setsid() < 0) return failed(Step::start, errno, "session");
  if (Done done = drop_held_capabilities(); !done) return done;
  if (Done done = install_filter(prepared.supervisor_filter); !done) return done;
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return failed(Step::limits, errno);
  return {};
}

// In time order: the scope before the fork, so that it is around the command's own.
Done prepare_self(const NotifyPrepared& notify, Supervision& work) {
  if (Done done = forbid_new_privileges(); !done) return done;
  if (Done done = adopt_orphans(); !done) return done;
  work.scope = SignalScope::enter(::getppid());
  if (notify.supervised()) notify.ports->withhold_from_children();
  return {};
}

}  // namespace

void run_supervisor(const Prepared& prepared, StdioPlan& stdio, int channel, int go,
                    JobPipe& jobs) {
  const NotifyPrepared& notify = *prepared.notify;
  stdio.copies.clear();
  jobs.read.reset();
  Supervision work{notify, {}, 0, channel, jobs.write.get(), {}};
  if (Done done = prepare_self(notify, work); !done) report_and_exit(channel, done.error());
  auto [ours, theirs] = make_channel();
  if (!ours) report_and_exit(channel, {Step::start, errno, {}});

  const pid_t self = ::getpid();
  work.command = ::fork();
  if (work.command < 0) report_and_exit(channel, {Step::start, errno, {}});
  if (work.command == 0) {
    ours.reset();
    // We must be able to read its memory; a caller that was started on another backend before, or
    // changed its uid, forbids that.
    ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || ::getppid() != self) ::_exit(125);
    run_payload(prepared, stdio, channel, go, theirs.release());
  }
  theirs.reset();
  ::close(go);
  stdio.replacement = {};
  if (Done done = confine_self(prepared); !done) report_and_exit(channel, done.error());
  if (notify.supervised()) {
    work.listener = UniqueFd(receive_listener(ours.get()));
    if (!work.listener) end(work, 125);  // the command has said why it could not send it
    std::uint64_t flags = uapi::seccomp_fd_sync_wake_up;  // where the kernel can
    (void)::ioctl(work.listener.get(), uapi::seccomp_notif_set_flags, flags);
  }
  ours.reset();
  Report ready;
  ready.kind = Report::Kind::ready;
  if (!send_report(channel, ready)) end(work, 125);
  serve(work);
}

}  // namespace nono::sandbox
