// L: the one process of the sandbox that the host sees as the parent's child.

#include "sandbox/linux/launcher.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <span>

#include "sandbox/linux/capabilities.hpp"
#include "sandbox/linux/channel.hpp"
#include "sandbox/linux/namespaces.hpp"
#include "sandbox/linux/notify/descendants.hpp"
#include "sandbox/linux/other_core.hpp"
#include "sandbox/linux/prepared.hpp"
#include "sandbox/linux/rtnetlink.hpp"
#include "sandbox/linux/sockets.hpp"
#include "sandbox/linux/stdio_relay.hpp"
#include "sandbox/linux/terminal.hpp"
#include "sandbox/linux/terminal_relay.hpp"

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
    first = std::max(first, keep + 1);
  }
  if (::close_range(first, ~0U, 0) != 0) return failed(Step::limits, errno);
  return {};
}

Done leave_host(const Prepared& prepared) {
  // A caller that changed its uid is not dumpable, and could then not write its own uid_map.
  if (::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return failed(Step::start, errno);
  NamespaceOptions options;
  options.network = prepared.plan.network != Network::open;
  options.uid = prepared.uid;
  options.gid = prepared.gid;
  if (Done done = enter_namespaces(options); !done) return done;
  if (Done done = die_with_parent(prepared.parent); !done) return done;
  return empty_bounding_set();  // once, for I and C as well
}

using Sockets = std::vector<OfferedSocket>;

// There is no plan for these processes, and nobody who waits for a word from them.
[[noreturn]] void end_without_plan() {
  ::waitpid(-1, nullptr, 0);  // I hears the same, and nobody else would reap it
  ::_exit(125);
}

// In as few messages as they fit into, the last of them of this kind. `finishes`: after the
// command's end there is something to do here, for which the parent waits.
Done report_sockets(int channel, Report::Kind kind, const Sockets& sockets, bool finishes) {
  std::size_t sent = 0;
  do {
    Report report;
    std::vector<int> fds;
    for (; sent < sockets.size() && fds.size() < fds_max; ++sent) {
      report.roles.at(fds.size()) = sockets[sent].role;
      fds.push_back(sockets[sent].fd.get());
    }
    const bool last = sent == sockets.size();
    report.kind = last ? kind : Report::Kind::sockets;
    report.status = last && finishes ? 1 : 0;
    if (!send_report(channel, report, fds)) return failed(Step::peer_gone, errno);
  } while (sent < sockets.size());
  return {};
}

// The command waits for GO, which comes after the last of this. Where there is no plan yet, those
// sockets that most plans are content with are handed over before it is waited for.
Done make_network(Prepared& prepared, int channel, bool finishes, AwaitedPlan* awaited) {
  const SandboxPlan& plan = prepared.plan;
  Sockets all;
  bool handed_over = false;
  if (plan.network != Network::open) {
    if (Done done = set_up_loopback(); !done) return done;
  }
  if (plan.network == Network::proxied) {
    if (awaited != nullptr) awaited->look();
    auto usual = make_usual_sockets(plan);
    if (!usual) return tl::unexpected<Failure>(usual.error());
    if (awaited != nullptr && !usual->not_redirected) {
      if (Done done = drop_capabilities_but(CAP_NET_BIND_SERVICE); !done) return done;
      Done done = report_sockets(channel, Report::Kind::usual, usual->sockets, finishes);
      if (!done) return done;
      handed_over = true;
      usual->sockets.clear();
    }
    if (awaited != nullptr && !awaited->wait(prepared)) end_without_plan();
    if (handed_over && !wants_more(plan)) return drop_last_capability();
    auto more = make_more_sockets(plan, *usual);
    if (!more) return tl::unexpected<Failure>(more.error());
    all = std::move(usual->sockets);
    for (OfferedSocket& socket : *more) all.push_back(std::move(socket));
  }
  if (Done done = handed_over ? drop_last_capability() : drop_capabilities(); !done) return done;
  return report_sockets(channel, Report::Kind::ready, all, finishes);
}

void make_observer(const Prepared& prepared, std::optional<Observer>& observer) {
  // Of the host: the one that I mounts knows the processes by other numbers.
  UniqueFd proc(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  observer.emplace(prepared.plan, prepared.rules, prepared.observer, std::move(proc));
}

// The command was stopped by a signal that the parent did not get, or continued: the parent shares
// that, so that its shell sees what it would see of the command.
class JobFollower {
 public:
  JobFollower(const Prepared& prepared, int jobs, pid_t init, TerminalRelay* terminal)
      : prepared_(prepared), jobs_(jobs), init_(init), terminal_(terminal) {}

  // False once I holds the other end no more.
  bool follow() {
    char event = 0;
    ssize_t size = 0;
    while ((size = ::read(jobs_, &event, 1)) == 1) {
      switch (event) {
        case job_started:
          terminal_->start();
          break;
        case job_wants_input:
          terminal_->want_input();
          break;
        case job_continued:
          if (stopped_ && !woken_) tell_parent(SIGCONT);
          stopped_ = false;
          // Not before: a key pressed meanwhile could stop it in vain.
          if (terminal_ != nullptr) terminal_->resume();
          break;
        default:
          stop(event);
      }
    }
    return size != 0;
  }

  // What arrived on the user's terminal for the process group, where the command no longer is.
  void pass_on(const signalfd_siginfo& signal) {
    int number = static_cast<int>(signal.ssi_signo);
    if (number == SIGCHLD || terminal_ == nullptr) return;
    if (number == SIGWINCH || (number == SIGCONT && !stopped_)) return terminal_->resume();
    woken_ = woken_ || number == SIGCONT;
    // What another process sent to the parent, the parent forwards.
    if (number == SIGCONT || signal.ssi_code > 0) ::kill(init_, number);
  }

  // A command that was continued and ended at once was only seen to end.
  void finish() {
    follow();
    if (stopped_) tell_parent(SIGCONT);
  }

 private:
  void stop(char event) {
    if (terminal_ != nullptr) terminal_->give_back();
    bool whole_job = event == job_stopped_by_terminal;
    if (whole_job && !prepared_.can_be_stopped) {
      terminal_->resume();
      ::kill(init_, SIGCONT);  // nobody would
      return;
    }
    stopped_ = true;
    woken_ = false;
    // As the terminal would have done: everything in the job. This process has the signal blocked.
    if (whole_job) ::kill(0, SIGTSTP);
    if (!tell_parent(SIGSTOP)) ::kill(init_, SIGCONT);
  }

  bool tell_parent(int number) const {
    return ::getppid() == prepared_.parent && ::kill(prepared_.parent, number) == 0;
  }

  const Prepared& prepared_;
  int jobs_;
  pid_t init_;
  TerminalRelay* terminal_;
  bool stopped_ = false;
  bool woken_ = false;  // since it stopped, by whoever continued the whole job
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

std::vector<int> needed_descriptors(const Prepared& prepared, int channel, int go,
                                    const AwaitedPlan* awaited) {
  std::vector<int> needed = {channel, go, prepared.over.get()};
  const ObserverLink& observer = prepared.observer;
  if (observer.wanted()) {
    needed.insert(needed.end(), {observer.to_launcher.get(), observer.from_command.get(),
                                 observer.records.get()});
  }
  if (awaited != nullptr) needed.push_back(awaited->hears_fd());
  for (const UniqueFd& door : prepared.group.doors()) needed.push_back(door.get());
  return needed;
}

// For good: the user namespace will know no other user either.
Done become(const RunUser& user, pid_t parent) {
  if (::setgroups(0, nullptr) != 0 || ::setresgid(user.gid, user.gid, user.gid) != 0 ||
      ::setresuid(user.uid, user.uid, user.uid) != 0) {
    return failed(Step::id_map, errno, "another user");
  }
  return die_with_parent(parent);
}

// First of all, so that everything from here on counts; the parent stays outside.
Done enter_group(const Cgroup& group) {
  for (const UniqueFd& door : group.doors()) {
    if (::write(door.get(), "0", 1) != 1) return failed(Step::limits, errno, "control group");
  }
  return {};
}

UniqueFd receive_signals(bool terminal) {
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGCHLD);
  if (terminal) {
    sigaddset(&awaited, SIGWINCH);
    for (int number : terminal_signals) sigaddset(&awaited, number);
  }
  return UniqueFd(::signalfd(-1, &awaited, SFD_CLOEXEC | SFD_NONBLOCK));
}

constexpr int look_again_ms = 200;

// Until I has ended; returns its exit code.
int serve(const Prepared& prepared, pid_t init, int jobs, std::vector<StdioCopy>& copies,
          TerminalRelay* terminal, Observer* observer) {
  UniqueFd received = receive_signals(terminal != nullptr);
  JobFollower follower(prepared, jobs, init, terminal);
  for (;;) {
    int status = 0;
    pid_t pid = ::waitpid(init, &status, WNOHANG);
    if (pid == init) {
      if (terminal != nullptr) terminal->finish();
      follower.finish();
      finish_output(copies);
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    std::vector<pollfd> polls = {{received.get(), POLLIN, 0}, {jobs, POLLIN, 0}};
    for (const StdioCopy& copy : copies) {
      polls.push_back({copy.done() ? -1 : copy.waiting_on(), copy.waiting_for(), 0});
    }
    const std::size_t terminal_at = polls.size();
    if (terminal != nullptr) terminal->add_polls(polls);
    if (observer != nullptr) polls.push_back(observer->poll());
    bool looks = terminal != nullptr && terminal->waits_for_foreground();
    int ready = ::poll(polls.data(), polls.size(), looks ? look_again_ms : -1);
    if (ready == 0) terminal->resume();
    if (ready <= 0) continue;
    if (observer != nullptr && polls.back().revents != 0) observer->step(polls.back().revents);
    if (polls[0].revents != 0) {
      signalfd_siginfo info;
      while (::read(received.get(), &info, sizeof info) > 0) follower.pass_on(info);
    }
    // The end of I takes a while after that; its SIGCHLD says when it is over.
    if (polls[1].revents != 0 && !follower.follow()) jobs = -1;
    for (std::size_t i = 0; i < copies.size(); ++i) {
      if (polls[i + 2].revents != 0) copies[i].step();
    }
    if (terminal != nullptr) {
      terminal->step(std::span(polls).subspan(terminal_at, TerminalRelay::poll_count));
    }
  }
}

// L: leaves the host's namespaces, makes the listeners, starts I, copies for stdio, waits.
[[noreturn]] void run_launcher(Prepared& prepared, int channel, int go, AwaitedPlan* awaited) {
  if (Done done = die_with_parent(prepared.parent); !done) report_and_exit(channel, done.error());
  ::signal(SIGCHLD, SIG_DFL);  // ignoring it would lose the command's status
  if (Done done = close_all_but(needed_descriptors(prepared, channel, go, awaited)); !done) {
    report_and_exit(channel, done.error());
  }
  if (Done done = enter_group(prepared.group); !done) report_and_exit(channel, done.error());
  const bool notify = prepared.notify.has_value();
  // Opened anew while this process may still open what the user may.
  tl::expected<std::optional<OuterTerminal>, Failure> outer;
  if (!notify) outer = open_outer_terminal();
  if (!outer) report_and_exit(channel, outer.error());
  if (prepared.plan.user) {
    Done done = become(*prepared.plan.user, prepared.parent);
    if (!done) report_and_exit(channel, done.error());
  }
  if (Done done = notify ? adopt_orphans() : leave_host(prepared); !done) {
    report_and_exit(channel, done.error());
  }

  tl::expected<StdioPlan, Failure> stdio = plan_stdio();
  if (!stdio) report_and_exit(channel, stdio.error());
  Terminal terminal;
  if (*outer) {
    tl::expected<Terminal, Failure> made = make_terminal(std::move(**outer));
    if (!made) report_and_exit(channel, made.error());
    terminal = std::move(*made);
    if (Done done = put_on_stdio(terminal.inner, *stdio); !done) {
      report_and_exit(channel, done.error());
    }
  }
  auto [events, tells] = make_pipe(O_NONBLOCK);
  if (!events) report_and_exit(channel, {Step::start, errno, {}});
  JobPipe jobs{std::move(events), std::move(tells)};
  std::optional<Observer> observer;
  if (prepared.observer.wanted()) make_observer(prepared, observer);
  pid_t init = ::fork();
  if (init < 0) report_and_exit(channel, {Step::start, errno, {}});
  if (init == 0) {
    terminal.master.reset();
    terminal.outer = {};
    if (notify) run_supervisor(prepared, *stdio, channel, go, jobs);
    run_init(prepared, *stdio, channel, go, jobs, *outer ? &terminal.inner : nullptr, awaited);
  }

  jobs.write.reset();
  ::close(go);
  stdio->replacement = {};
  const bool relays = *outer || !stdio->copies.empty();
  const bool finishes = relays || observer || !prepared.group.doors().empty();
  if (!relays && !notify) ::close_range(0, 2, 0);  // nobody else is to wait for the end of these
  if (notify) {
    if (!drop_held_capabilities()) ::_exit(125);  // I dies with us
  } else {
    Done done = make_network(prepared, channel, finishes, awaited);  // while I mounts
    if (!done) report_and_exit(channel, done.error());               // I dies with us
  }
  ::close(channel);  // so that the parent sees the end of I
  if (!finishes && !notify) ::close(prepared.over.get());
  std::optional<TerminalRelay> relay;
  if (*outer) {
    relay.emplace(std::move(terminal.outer), std::move(terminal.master), terminal.inner.foreground);
    terminal.inner = {};
  }
  const int code = serve(prepared, init, jobs.read.get(), stdio->copies, relay ? &*relay : nullptr,
                         observer ? &*observer : nullptr);
  if (notify) end_descendants({});  // none, unless I was killed
  ::_exit(code);
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

// With every signal blocked, so that none can run a handler of the parent's in the child.
std::optional<Launcher> fork_launcher(Prepared& prepared, AwaitedPlan* awaited) {
  auto [channel, its_channel] = make_channel();
  auto [go, its_go] = make_channel();  // of its own, since another process listens there
  auto [over, its_over] = make_pipe();
  if (!channel || !go || !over) return std::nullopt;
  Launcher launcher{0, std::move(channel), std::move(go), std::move(over)};
  prepared.over = std::move(its_over);
  prepared.parent = ::getpid();
  ::sigaction(SIGCHLD, nullptr, &prepared.child_action);
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &prepared.signal_mask);
  launcher.pid = fork_to_other_core();
  if (launcher.pid == 0) run_launcher(prepared, its_channel.get(), its_go.get(), awaited);
  const int saved_errno = errno;
  ::sigprocmask(SIG_SETMASK, &prepared.signal_mask, nullptr);
  prepared.over.reset();
  errno = saved_errno;
  if (launcher.pid < 0) return std::nullopt;
  return launcher;
}

}  // namespace nono::sandbox
