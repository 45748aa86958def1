// Makes namespaces before there is a plan; its other end is in the launcher.

#include "sandbox/ahead.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "sandbox/linux/channel.hpp"
#include "sandbox/linux/namespaces.hpp"
#include "sandbox/linux/other_core.hpp"
#include "sandbox/linux/rtnetlink.hpp"
#include "sandbox/linux/sockets.hpp"
#include "sandbox/linux/uapi.hpp"

namespace nono::sandbox {
namespace {

constexpr auto by_pidfd = static_cast<idtype_t>(3);  // P_PIDFD, which older headers lack

bool dies_with(pid_t parent) {
  return ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && ::getppid() == parent;
}

bool tell(int channel, const Failure& failure) {
  Report report;
  report.kind = Report::Kind::failed;
  report.failure = failure;
  return send_report(channel, report);
}

// Nothing of the host's may be held by what stays in the sandbox's namespaces.
bool hold_nothing_but(int channel) {
  const auto kept = static_cast<unsigned>(channel);
  return (kept == 0 || ::close_range(0, kept - 1, 0) == 0) && ::close_range(kept + 1, ~0U, 0) == 0;
}

// The sandbox can join after the first report; the second brings its network. False: it waits for a
// report that will not come, and is to see the end of the channel instead.
bool make(int channel, pid_t parent) {
  if (!dies_with(parent) || !hold_nothing_but(channel)) return false;
  // The sandbox could otherwise not join.
  if (::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return false;
  NamespaceOptions options;
  options.uid = ::geteuid();
  options.gid = ::getegid();
  options.for_children = false;  // those begin with the sandbox's own processes
  if (Done done = enter_namespaces(options); !done) return tell(channel, done.error());
  if (!dies_with(parent)) return false;  // new credentials have cleared it
  Report report;
  report.kind = Report::Kind::ready;
  if (!send_report(channel, report)) return false;
  if (Done done = set_up_loopback(); !done) return tell(channel, done.error());
  auto made = make_usual_sockets(true, true);
  if (!made) return tell(channel, made.error());
  report.kind = Report::Kind::sockets;
  if (made->not_redirected) report.failure = *made->not_redirected;
  report.status = made->not_redirected ? 1 : 0;
  std::vector<int> fds;
  for (const OfferedSocket& socket : made->sockets) {
    report.roles.at(fds.size()) = socket.role;
    fds.push_back(socket.fd.get());
  }
  return send_report(channel, report, fds);
}

}  // namespace

Ahead Ahead::begin() {
  Ahead ahead;
  fill_standard_descriptors();
  auto [ours, theirs] = make_channel();
  if (!ours) return ahead;
  const pid_t parent = ::getpid();
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  const pid_t child = fork_to_other_core();
  if (child == 0) {
    ours.reset();  // or the other end would be held for as long as this process waits for its end
    // The namespaces are to last until the sandbox is in them: then nobody holds the other end.
    if (make(theirs.get(), parent)) receive_report(theirs.get());
    ::_exit(0);
  }
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  if (child < 0) return ahead;
  // Not by its number: where SIGCHLD is ignored that is another's as soon as it has ended.
  ahead.process_ = UniqueFd(static_cast<int>(::syscall(uapi::sys_pidfd_open, child, 0)));
  if (ahead.process_) ahead.channel_ = std::move(ours);
  return ahead;
}

void Ahead::end() {
  channel_.reset();
  if (!process_) return;
  ::syscall(uapi::sys_pidfd_send_signal, process_.get(), SIGKILL, nullptr, 0);
  siginfo_t ended;
  while (::waitid(by_pidfd, static_cast<id_t>(process_.get()), &ended, WEXITED) < 0 &&
         errno == EINTR) {
  }
  process_.reset();
}

}  // namespace nono::sandbox
