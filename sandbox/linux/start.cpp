// The parent's side: prepares everything, forks the launcher, keeps the handle to it.

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <span>

#include "sandbox/linux/channel.hpp"
#include "sandbox/linux/launcher.hpp"
#include "sandbox/linux/paths.hpp"
#include "sandbox/linux/prepared.hpp"
#include "sandbox/linux/socket_survey.hpp"
#include "sandbox/linux/sockets.hpp"
#include "sandbox/linux/uapi.hpp"
#include "sandbox/linux/user_terminal.hpp"
#include "sandbox/plan.hpp"

namespace nono::sandbox {
namespace {

// Generous: other namespaces being taken down delay the making of new ones.
constexpr std::chrono::milliseconds ready_deadline = std::chrono::seconds(20);

class LinuxChannel final : public SandboxChannel {
 public:
  explicit LinuxChannel(Launcher launcher)
      : launcher_(launcher.pid),
        over_(std::move(launcher.over)),
        channel_(std::move(launcher.channel)),
        go_(std::move(launcher.go)) {}

  ~LinuxChannel() override {
    // Last of all, and most of the time it has ended by now: what the run has cost is told to
    // whoever waits for us, and no zombie is left to them.
    while (ending_ > 0 && ::waitpid(ending_, nullptr, 0) < 0 && errno == EINTR) {
    }
    if (launcher_ <= 0) return;
    ::kill(launcher_, SIGKILL);  // takes everything below it along
    reap();
    channel_.reset();  // before the temporary files go: it ends what may still use them
    foreground_.restore();
  }

  bool captures_every_port() const override { return sockets_.all_ports; }
  SandboxSockets take_sockets() override { return std::move(sockets_); }
  std::shared_ptr<RegisteredPorts> registered_ports() const override { return ports_; }
  bool shares_terminal() const override { return shares_terminal_; }
  std::vector<std::string> warnings() const override { return warnings_; }
  // What the notify backend made in our own namespace.
  void hold(NotifyPrepared& notify) {
    sockets_ = std::move(notify.sockets);
    ports_ = notify.ports;
    private_tmp_ = std::move(notify.private_tmp);
    warnings_ = notify.warnings;
    shares_terminal_ = true;
  }
  void hold(Cgroup group) {
    group_ = std::move(group);
    group_.close_doors();
  }
  int ended_fd() const override { return over_.get(); }
  Result<void> await_ready(const SandboxPlan& plan);
  Result<void> withhold(const std::vector<std::string>& names) override;
  Result<void> send_ruleset(const std::vector<LandlockRule>& rules);
  Result<void> go() override;
  Result<void> signal(int number) override;
  bool is_ours(pid_t sender) const override { return sender > 0 && sender == launcher_; }
  int inner_sockets_fd() const override { return channel_.get(); }
  bool ask_for_inner_socket(bool v6) override;
  InnerSocket take_inner_socket() override;
  Result<ExitStatus> wait() override;
  std::vector<DeniedPath> denied_paths() const override {
    return read_records(denying_plan_, records_.get());
  }
  void keep_records(const SandboxPlan& plan, UniqueFd records) {
    denying_plan_.denies = plan.denies;
    denying_plan_.read_only_paths = plan.read_only_paths;
    records_ = std::move(records);
  }

 private:
  Result<void> adopt(Report report);
  bool is_of_another_namespace(int listener) const;
  Error ended_early() const;
  // The first report of a failure is the cause of those that follow.
  void keep(Report report) {
    all_gone_ = all_gone_ || report.kind == Report::Kind::exited;
    bool decided = last_ && last_->kind != Report::Kind::exited;
    if (!decided) last_ = std::move(report);
  }
  void reap() {
    int status = 0;
    while (::waitpid(launcher_, &status, 0) < 0 && errno == EINTR) {
    }
    launcher_ = 0;
    if (WIFSIGNALED(status)) terminal_.restore();
  }

  pid_t launcher_;
  pid_t ending_ = 0;             // the launcher, once nothing of the command is left
  std::uint64_t namespace_ = 0;  // our own, of the network; 0: not known, so nothing is taken
  UniqueFd over_;                // hangs up when L and I have nothing left to do for us
  UniqueFd channel_;
  UniqueFd go_;
  std::string go_message_ = {go_byte};  // with the names of variables to leave out behind it
  SandboxSockets sockets_;
  std::optional<Report> last_;     // of how it ended
  bool all_gone_ = false;          // I has said so: L and I alone are left
  bool launcher_finishes_ = true;  // L has to do something after that
  std::shared_ptr<RegisteredPorts> ports_;
  bool shares_terminal_ = false;
  PrivateTmp private_tmp_;
  std::vector<std::string> warnings_;
  SandboxPlan denying_plan_;  // of the plan, what tells denied from not granted
  UniqueFd records_;
  Cgroup group_;
  Foreground foreground_;
  SavedTerminal terminal_;
};

std::uint64_t namespace_cookie(int socket) {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (::getsockopt(socket, SOL_SOCKET, uapi::so_netns_cookie, &cookie, &size) != 0) return 0;
  return cookie;
}

std::uint64_t own_namespace_cookie() {
  UniqueFd own(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return own ? namespace_cookie(own.get()) : 0;
}

// A listener in our own namespace would be one that the whole host can reach, and a sandbox that
// can reach the whole host.
bool LinuxChannel::is_of_another_namespace(int listener) const {
  std::uint64_t theirs = namespace_cookie(listener);
  return namespace_ != 0 && theirs != 0 && namespace_ != theirs;
}

// Before the command was to start: L, I or C, without a word of why.
Error LinuxChannel::ended_early() const {
  if (!group_.ran_out_of_memory()) {
    return explain({Step::peer_gone, 0, "a process of it ended early"});
  }
  return {Side::self, ErrorCode::not_supported,
          "cannot sandbox: the limit of memory was reached before the command could start",
          "allow more with --memory"};
}

Result<void> LinuxChannel::await_ready(const SandboxPlan& plan) {
  namespace_ = own_namespace_cookie();
  for (bool ready = false; !ready;) {
    pollfd poll = {channel_.get(), POLLIN, 0};
    int count = ::poll(&poll, 1, static_cast<int>(ready_deadline.count()));
    if (count == 0) return fail(explain({Step::start, ETIMEDOUT, "no answer from the launcher"}));
    std::optional<Report> report = receive_report(channel_.get());
    if (!report || report->kind == Report::Kind::exited) return fail(ended_early());
    const bool usual = report->kind == Report::Kind::usual;
    ready = report->kind == Report::Kind::ready || (usual && !wants_more(plan));
    if (!ready && !usual && report->kind != Report::Kind::sockets) {
      return fail(explain(report->failure));
    }
    if (ready) launcher_finishes_ = plan.backend == Backend::notify || report->status != 0;
    if (Result<void> adopted = adopt(std::move(*report)); !adopted) return adopted;
  }
  if (plan.backend == Backend::notify) return {};  // its sockets are made here
  const bool proxied = plan.network == Network::proxied;
  const bool dns = proxied && plan.capture.dns;
  if (sockets_.proxy.valid() != proxied || sockets_.dns_udp.valid() != dns ||
      sockets_.dns_tcp.valid() != dns) {
    return fail(explain({Step::listener, EPROTO, {}}));
  }
  return {};
}

// Takes over what one message brought.
Result<void> LinuxChannel::adopt(Report report) {
  for (std::size_t i = 0; i < report.fds.size(); ++i) {
    UniqueFd& socket = report.fds[i];
    if (!is_of_another_namespace(socket.get())) {
      return fail(
          explain({Step::self_check, 0, "a socket is not in a network namespace of its own"}));
    }
    switch (report.roles.at(i)) {
      case SocketRole::proxy:
        sockets_.proxy = std::move(socket);
        break;
      case SocketRole::captured_all:
        sockets_.all_ports = true;
        sockets_.captured.push_back(std::move(socket));
        break;
      case SocketRole::captured:
        sockets_.captured.push_back(std::move(socket));
        break;
      case SocketRole::dns_udp:
        sockets_.dns_udp = std::move(socket);
        break;
      case SocketRole::dns_tcp:
        sockets_.dns_tcp = std::move(socket);
        break;
      default:
        return fail(explain({Step::listener, EPROTO, {}}));
    }
  }
  return {};
}

Result<void> LinuxChannel::withhold(const std::vector<std::string>& names) {
  for (const std::string& name : names) go_message_.append(name).push_back('\0');
  if (go_message_.size() <= go_message_max) return {};
  return fail(ErrorCode::bad_input, "too many variables hold a key", "unset them");
}

// While L makes the namespaces, rather than by C when everybody waits for it.
Result<void> LinuxChannel::send_ruleset(const std::vector<LandlockRule>& rules) {
  const tl::expected<UniqueFd, Failure> ruleset = make_ruleset();
  if (!ruleset) return fail(explain(ruleset.error()));
  if (Done added = add_rules(ruleset->get(), rules, false); !added) {
    return fail(explain(added.error()));
  }
  Report report;
  report.kind = Report::Kind::ruleset;
  const int fd = ruleset->get();
  // EPIPE: set-up has failed meanwhile; await_ready() hears why.
  if (send_report(go_.get(), report, std::span(&fd, 1)) || errno == EPIPE) return {};
  return fail(errno_error(errno, "cannot send the file rules"));
}

Result<void> LinuxChannel::go() {
  ssize_t size = -1;
  if (go_) size = ::send(go_.get(), go_message_.data(), go_message_.size(), MSG_NOSIGNAL);
  int saved_errno = errno;
  go_.reset();
  // Set-up has failed meanwhile, with the ruleset taken or not; wait() knows why.
  if (size > 0 || saved_errno == EPIPE || saved_errno == ECONNRESET) return {};
  return fail(errno_error(saved_errno, "cannot start the sandboxed command"));
}

Result<void> LinuxChannel::signal(int number) {
  if (number <= 0 || number > SIGRTMAX) return fail(ErrorCode::bad_input, "no such signal");
  if (send_request(channel_.get(), Request::Kind::signal, number)) return {};
  if (errno == EPIPE || errno == ECONNRESET) return {};  // it has just ended
  return fail(errno_error(errno, "cannot forward a signal"));
}

bool LinuxChannel::ask_for_inner_socket(bool v6) {
  return send_request(channel_.get(), Request::Kind::socket, v6 ? AF_INET6 : AF_INET);
}

SandboxChannel::InnerSocket LinuxChannel::take_inner_socket() {
  using State = InnerSocket::State;
  for (;;) {
    std::optional<Report> report = receive_report(channel_.get(), MSG_DONTWAIT);
    if (!report) return {errno == EAGAIN ? State::none_yet : State::over, {}};
    if (report->kind != Report::Kind::inner_socket) {
      keep(std::move(*report));
      continue;
    }
    if (report->fds.size() != 1 || !is_of_another_namespace(report->fds[0].get())) {
      return {State::none, {}};
    }
    return {State::one, std::move(report->fds[0])};
  }
}

Result<ExitStatus> LinuxChannel::wait() {
  if (launcher_ <= 0) return fail(ErrorCode::internal, "the sandbox was waited for already");
  pollfd over = {over_.get(), 0, 0};  // for its end alone, which poll(2) reports in any case
  while (::poll(&over, 1, -1) < 0 && errno == EINTR) {
  }
  while (std::optional<Report> report = receive_report(channel_.get(), MSG_DONTWAIT)) {
    if (report->kind != Report::Kind::inner_socket) keep(std::move(*report));
  }
  const std::optional<Report>& last = last_;
  if (all_gone_ && !launcher_finishes_) {
    ending_ = std::exchange(launcher_, 0);
  } else {
    reap();
  }
  foreground_.restore();
  private_tmp_.remove();  // where the process that does it was killed

  ExitStatus status;
  status.out_of_memory = group_.ran_out_of_memory();
  group_.remove();
  if (!last && status.out_of_memory) {  // the whole group was killed, the launcher in it
    status.code = 128 + SIGKILL;
    status.signalled = true;
    return status;
  }
  if (!last) {
    return fail(ErrorCode::io, "the sandbox was killed before the command ended");
  }
  if (last->kind == Report::Kind::failed) return fail(explain(last->failure));
  if (last->kind == Report::Kind::exec_failed) {
    status.code = last->failure.error == ENOENT ? 127 : 126;
    status.problem =
        fmt::format("{}: {}", last->failure.detail, std::strerror(last->failure.error));
    return status;
  }
  status.signalled = WIFSIGNALED(last->status);
  status.code = status.signalled ? 128 + WTERMSIG(last->status) : WEXITSTATUS(last->status);
  return status;
}

Result<void> check_plan(const SandboxPlan& plan) {
  for (const FsDeny& deny : plan.denies) {
    for (const FsGrant& grant : plan.grants) {
      if (grant.despite_deny || !is_at_or_below(grant.path, deny.path)) continue;
      return fail(ErrorCode::bad_input, fmt::format("'{}' is granted, but '{}' is denied by {}",
                                                    grant.path, deny.path, deny.origin));
    }
  }
  if (!plan.probe && (plan.argv.empty() || plan.executable.empty())) {
    return fail(ErrorCode::bad_input, "there is no command to run");
  }
  // One filter of a process may ask a supervisor, and there it asks about connections.
  if (plan.diagnose && plan.backend == Backend::notify) {
    return fail(ErrorCode::not_supported, "files cannot be watched under the notify backend",
                "leave --diagnose out, or use --backend netns where the machine allows it");
  }
  if (plan.user && ::geteuid() != 0) {
    return fail(ErrorCode::bad_input, "only root can run a command as another user");
  }
  if (plan.user && plan.backend == Backend::notify) {
    return fail(ErrorCode::not_supported, "the notify backend cannot run a command as another user",
                "leave --user out, or use --backend netns where the machine allows it");
  }
  if (plan.unix_sockets == UnixSockets::inside && plan.backend == Backend::notify) {
    return fail(
        ErrorCode::not_supported, "Unix sockets cannot be kept inside by the notify backend",
        "leave --unix-sockets and --allow-unix-socket out, or use --backend netns where the "
        "machine allows it");
  }
  struct stat tasks = {};
  constexpr nlink_t links_of_one_thread = 3;  // `.`, `..` and the thread's own directory
  if (::stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > links_of_one_thread) {
    return fail(ErrorCode::internal, "the sandbox must be started before any thread");
  }
  return {};
}

Result<Prepared> prepare(const SandboxPlan& plan, const SocketSurvey& sockets) {
  Prepared prepared(plan);
  FilterOptions options;
  options.free_internet_sockets = plan.network == Network::open;
  options.unix_sockets = plan.unix_sockets == UnixSockets::inside;
  if (plan.backend == Backend::notify) {
    prepared.supervisor_filter = build_filter(options);
    Result<NotifyPrepared> notify = prepare_notify(plan);
    if (!notify) return fail(notify.error());
    prepared.notify = std::move(*notify);
    options.notify = prepared.notify->filter_rules;
  }
  prepared.uid = plan.user ? plan.user->uid : ::geteuid();
  prepared.gid = plan.user ? plan.user->gid : ::getegid();
  const bool terminal = ::isatty(0) == 1 || ::isatty(1) == 1 || ::isatty(2) == 1;
  prepared.can_be_stopped = terminal && can_be_stopped();
  prepared.mounts = plan_mounts(plan, prepared.uid, sockets);
  prepared.rules = landlock_rules(plan, prepared.mounts.private_directories);
  prepared.filter = build_filter(options);
  prepared.argv = pointers_to(plan.argv);
  prepared.envp = pointers_to(prepared.notify ? prepared.notify->env : plan.env);
  return prepared;
}

// Before anything else is made: whoever cannot be limited does not run.
Result<void> limit(const SandboxPlan& plan, Prepared& prepared) {
  ResourceLimits limits = plan.limits;
  Result<Cgroup> group = Cgroup::make(limits);
  bool counted = !prepared.notify && can_limit_processes_without_cgroup(prepared.uid);
  if (!group && limits.processes && counted) {
    prepared.processes = limits.processes;
    limits.processes.reset();
    group = Cgroup::make(limits);
  }
  if (!group) return fail(group.error());
  prepared.group = std::move(*group);
  return {};
}

}  // namespace

Result<std::unique_ptr<SandboxChannel>> start(const SandboxPlan& plan, Ahead ahead) {
  if (Result<void> checked = check_plan(plan); !checked) return fail(checked.error());
  Result<SocketSurvey> sockets = survey_sockets(plan, landlock_abi());
  if (!sockets) return fail(sockets.error());
  fill_standard_descriptors();
  Result<Prepared> made = prepare(plan, *sockets);
  if (!made) return fail(made.error());
  Prepared& prepared = *made;
  if (Result<void> limited = limit(plan, prepared); !limited) return fail(limited.error());
  tl::expected<ObserverLink, Failure> observer = prepare_observer(plan);
  if (!observer) return fail(explain(observer.error()));
  prepared.observer = std::move(*observer);
  std::optional<Launcher> launcher;
  if (const auto begun = ahead.take(); begun && is_usual(prepared)) {
    launcher = begun->tell(prepared);
  }
  if (!launcher) launcher = fork_launcher(prepared);
  if (!launcher) return fail(explain({Step::start, errno, {}}));
  auto channel = std::make_unique<LinuxChannel>(std::move(*launcher));
  if (prepared.notify) channel->hold(*prepared.notify);
  channel->hold(std::move(prepared.group));
  channel->keep_records(plan, std::move(prepared.observer.records));
  // After the fork, since the launcher must write its own uid_map: nobody reads our memory from
  // here on.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return fail(explain({Step::self_check, errno, "this process stays dumpable"}));
  }
  Result<void> sent;
  if (!prepared.notify) sent = channel->send_ruleset(prepared.rules);
  // Where L failed as well, its reason goes deeper: another sandbox around this one, for instance.
  if (Result<void> ready = channel->await_ready(plan); !ready) return fail(ready.error());
  if (!sent) return fail(sent.error());
  return channel;
}

}  // namespace nono::sandbox
