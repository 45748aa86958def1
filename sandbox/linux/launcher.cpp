// L: the one process of the sandbox that the host sees as the parent's child.

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "sandbox/linux/capabilities.hpp"
#include "sandbox/linux/channel.hpp"
#include "sandbox/linux/namespaces.hpp"
#include "sandbox/linux/notify/descendants.hpp"
#include "sandbox/linux/prepared.hpp"
#include "sandbox/linux/rtnetlink.hpp"
#include "sandbox/linux/sockets.hpp"
#include "sandbox/linux/stdio_relay.hpp"

namespace nono::sandbox {
namespace {

// Dies with the parent. Asked for again after every change of credentials, which clears it.
Done die_with_parent(pid_t parent) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || ::getppid() != parent) {
    return failed(Step::peer_gone, errno);
  }
  return {};
}

// What else the parent had open is none of the sandbox's business.
Done close_all_but(std::vector<int> fds) {
  std::sort(fds.begin(), fds.end());
  unsigned first = 3;
  for (int fd : fds) {
    auto keep = static_cast<unsigned>(fd);
    if (keep > first && ::close_range(first, keep - 1, 0) != 0) return failed(Step::limits, errno);
    first = keep + 1;
  }
  if (::close_range(first, ~0U, 0) != 0) return failed(Step::limits, errno);
  return {};
}

Done leave_host(const Prepared& prepared, int channel) {
  // A caller that changed its uid is not dumpable, and could then not write its own uid_map.
  if (::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return failed(Step::start, errno);
  NamespaceOptions options;
  options.network = prepared.plan.network != Network::open;
  options.uid = prepared.uid;
  options.gid = prepared.gid;
  if (Done done = enter_namespaces(options); !done) return done;
  if (Done done = die_with_parent(prepared.parent); !done) return done;
  if (options.network) {
    if (Done done = set_up_loopback(); !done) return done;
  }

  if (prepared.plan.network == Network::proxied) {
    if (Done done = hand_over_sockets(prepared.plan, channel); !done) return done;
  }
  Report ready;
  ready.kind = Report::Kind::ready;
  if (!send_report(channel, ready)) return failed(Step::peer_gone, errno);
  return {};
}

// The command was stopped by a signal that the parent did not get, or continued: the parent shares
// that, so that its shell sees what it would see of the command.
class JobFollower {
 public:
  JobFollower(pid_t parent, int jobs) : parent_(parent), jobs_(jobs) {}

  void follow() {
    char event = 0;
    while (::read(jobs_, &event, 1) == 1) {
      stopped_ = event == job_stopped;
      tell(stopped_ ? SIGSTOP : SIGCONT);
    }
  }

  // A command that was continued and ended at once was only seen to end.
  void finish() {
    follow();
    if (stopped_) tell(SIGCONT);
  }

 private:
  void tell(int number) const {
    if (::getppid() == parent_) ::kill(parent_, number);
  }

  pid_t parent_;
  int jobs_;
  bool stopped_ = false;
};

// What the command wrote last is still in the pipes when it has ended.
void finish_output(std::vector<StdioCopy>& copies) {
  for (StdioCopy& copy : copies) {
    if (copy.into_pipe()) copy.stop();
    while (!copy.done()) {
      pollfd poll = {copy.waiting_on(), copy.waiting_for(), 0};
      if (::poll(&poll, 1, -1) > 0) copy.step();
    }
  }
}

bool make_job_pipe(JobPipe& jobs) {
  std::array<int, 2> ends = {-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return false;
  jobs.read = UniqueFd(ends[0]);
  jobs.write = UniqueFd(ends[1]);
  return true;
}

std::vector<int> needed_descriptors(const Prepared& prepared, int channel, int go) {
  std::vector<int> needed = {channel, go};
  const ObserverLink& observer = prepared.observer;
  if (observer.wanted()) {
    needed.insert(needed.end(), {observer.to_launcher.get(), observer.from_command.get(),
                                 observer.records.get()});
  }
  return needed;
}

// Until I has ended; returns its exit code.
int serve(const Prepared& prepared, pid_t init, int jobs, std::vector<StdioCopy>& copies,
          Observer* observer) {
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  UniqueFd ended(::signalfd(-1, &child_ended, SFD_CLOEXEC | SFD_NONBLOCK));
  JobFollower follower(prepared.parent, jobs);
  for (;;) {
    int status = 0;
    pid_t pid = ::waitpid(init, &status, WNOHANG);
    if (pid == init) {
      follower.finish();
      finish_output(copies);
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    std::vector<pollfd> polls = {{ended.get(), POLLIN, 0}, {jobs, POLLIN, 0}};
    for (const StdioCopy& copy : copies) {
      polls.push_back({copy.done() ? -1 : copy.waiting_on(), copy.waiting_for(), 0});
    }
    if (observer != nullptr) polls.push_back(observer->poll());
    if (::poll(polls.data(), polls.size(), -1) < 0) continue;
    if (observer != nullptr && polls.back().revents != 0) observer->step(polls.back().revents);
    if (polls[0].revents != 0) {
      signalfd_siginfo info;
      while (::read(ended.get(), &info, sizeof info) > 0) {
      }
    }
    if (polls[1].revents != 0) follower.follow();
    for (std::size_t i = 0; i < copies.size(); ++i) {
      if (polls[i + 2].revents != 0) copies[i].step();
    }
  }
}

}  // namespace

void report_and_exit(int channel, const Failure& failure) {
  Report report;
  report.kind = failure.step == Step::exec ? Report::Kind::exec_failed : Report::Kind::failed;
  report.failure = failure;
  send_report(channel, report);
  if (failure.step != Step::exec) ::_exit(125);
  ::_exit(failure.error == ENOENT ? 127 : 126);
}

void run_launcher(const Prepared& prepared, int channel, int go) {
  if (Done done = die_with_parent(prepared.parent); !done) report_and_exit(channel, done.error());
  ::signal(SIGCHLD, SIG_DFL);  // ignoring it would lose the command's status
  if (Done done = close_all_but(needed_descriptors(prepared, channel, go)); !done)
    report_and_exit(channel, done.error());
  const bool notify = prepared.notify.has_value();
  if (Done done = notify ? adopt_orphans() : leave_host(prepared, channel); !done) {
    report_and_exit(channel, done.error());
  }

  tl::expected<StdioPlan, Failure> stdio = plan_stdio();
  if (!stdio) report_and_exit(channel, stdio.error());
  JobPipe jobs;
  if (!make_job_pipe(jobs)) report_and_exit(channel, {Step::start, errno, {}});
  std::optional<Observer> observer;
  if (prepared.observer.wanted()) {
    // Of the host: the one that I mounts knows the processes by other numbers.
    UniqueFd proc(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    observer.emplace(prepared.plan, prepared.rules, prepared.observer, std::move(proc));
  }
  pid_t init = ::fork();
  if (init < 0) report_and_exit(channel, {Step::start, errno, {}});
  if (init == 0 && notify) run_supervisor(prepared, *stdio, channel, go, jobs);
  if (init == 0) run_init(prepared, *stdio, channel, go, jobs);

  jobs.write.reset();
  ::close(go);
  ::close(channel);  // so that the parent sees the end of I
  stdio->replacement = {};
  if (!(notify ? drop_held_capabilities() : drop_capabilities())) ::_exit(125);  // I dies with us
  const int code =
      serve(prepared, init, jobs.read.get(), stdio->copies, observer ? &*observer : nullptr);
  if (notify) end_descendants({});  // none, unless I was killed
  ::_exit(code);
}

}  // namespace nono::sandbox
