// start() on macOS: the command is confined by a Seatbelt profile, which its children inherit.

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/event.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "sandbox/macos/profile.hpp"
#include "sandbox/plan.hpp"

// Of libsystem_sandbox. Apple's header declares only the older call, which takes no profile text.
extern "C" int sandbox_init_with_parameters(const char* profile, std::uint64_t flags,
                                            const char* const parameters[], char** error);
// <sys/ptrace.h> is not in every copy of the SDK's headers.
extern "C" int ptrace(int request, pid_t pid, char* address, int data);

namespace nono::sandbox {
namespace {

constexpr int pt_deny_attach = 31;

// What L tells P, in one write to a pipe. Small enough to arrive whole.
struct Report {
  enum class Kind : int { set_up_failed, exec_failed, exited };
  Kind kind = Kind::exited;
  int error = 0;
  int status = 0;  // as waitpid(2)
  std::array<char, 256> detail = {};
};
static_assert(sizeof(Report) <= 512, "a pipe keeps no more than this in one piece");

struct Pipe {
  UniqueFd read, write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends = {-1, -1};
  if (::pipe(ends.data()) != 0) return fail(errno_error(errno, "making a pipe"));
  for (const int fd : ends) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::fcntl(ends[1], F_SETNOSIGPIPE, 1);  // who writes is told by EPIPE
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// The private temporary directory; gone with this.
class PrivateDirectory {
 public:
  Result<void> make() {
    std::error_code error;
    const std::string base = std::filesystem::temp_directory_path(error).string();
    std::string pattern = (error ? std::string("/tmp") : base) + "/nono-tmp-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) {
      return fail(errno_error(errno, "making a private temporary directory"));
    }
    path_ = std::filesystem::canonical(pattern, error).string();
    return {};
  }
  ~PrivateDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  PrivateDirectory() = default;
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Everything that the processes need, made before the fork.
struct Prepared {
  const SandboxPlan* plan = nullptr;
  std::string profile;
  std::vector<std::string> env;
  std::vector<char*> argv, envp;
  pid_t parent = 0;
  sigset_t signal_mask = {};
};

class MacChannel final : public SandboxChannel {
 public:
  ~MacChannel() override {
    if (launcher_ <= 0) return;
    go_.reset();  // before GO, this ends the command
    alive_.reset();
    reap();
  }

  SandboxSockets take_sockets() override { return {.proxy = std::move(listener_)}; }
  bool listeners_are_private() const override { return false; }  // loopback is the machine's
  // The command's servers listen on the machine's own loopback: nothing has to be made inside.
  bool ask_for_inner_socket(bool /*v6*/) override { return false; }
  InnerSocket take_inner_socket() override { return {InnerSocket::State::over, {}}; }
  int inner_sockets_fd() const override { return ended_.get(); }
  int ended_fd() const override { return ended_.get(); }
  Result<void> go() override;
  Result<void> signal(int number) override;
  bool is_ours(pid_t sender) const override { return sender > 0 && sender == launcher_; }
  Result<ExitStatus> wait() override;

 private:
  friend Result<std::unique_ptr<SandboxChannel>> sandbox::start(const SandboxPlan& plan,
                                                                Ahead ahead);
  Result<void> watch();
  void reap() {
    while (::waitpid(launcher_, nullptr, 0) < 0 && errno == EINTR) {
    }
    launcher_ = 0;
  }

  PrivateDirectory temporary_;
  UniqueFd listener_;
  pid_t launcher_ = 0;
  UniqueFd go_, alive_, reports_, ended_;
};

// Before GO a byte through the pipe; afterwards each byte is a signal for the command.
Result<void> MacChannel::go() {
  const char byte = 0;
  if (::write(go_.get(), &byte, 1) == 1 || errno == EPIPE) return {};
  return fail(errno_error(errno, "cannot start the sandboxed command"));
}

Result<void> MacChannel::signal(int number) {
  if (number <= 0 || number >= NSIG) return fail(ErrorCode::bad_input, "no such signal");
  const char byte = static_cast<char>(number);
  if (::write(alive_.get(), &byte, 1) == 1 || errno == EPIPE) return {};
  return fail(errno_error(errno, "cannot forward a signal"));
}

// A kqueue is readable once it has an event, as a pidfd is once its process has ended.
Result<void> MacChannel::watch() {
  ended_ = UniqueFd(::kqueue());
  struct kevent exit = {};
  EV_SET(&exit, launcher_, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, nullptr);
  if (ended_ && ::kevent(ended_.get(), &exit, 1, nullptr, 0, nullptr) == 0) return {};
  return fail(errno_error(errno, "watching the launcher"));
}

Result<ExitStatus> MacChannel::wait() {
  if (launcher_ <= 0) return fail(ErrorCode::internal, "the sandbox was waited for already");
  Report report;
  ssize_t size = -1;
  do {
    size = ::read(reports_.get(), &report, sizeof report);
  } while (size < 0 && errno == EINTR);
  reap();
  if (size != static_cast<ssize_t>(sizeof report)) {
    return fail(ErrorCode::io, "the sandbox was killed before the command ended");
  }
  report.detail.back() = '\0';
  const std::string what = report.detail.data();
  if (report.kind == Report::Kind::set_up_failed) {
    return fail(ErrorCode::not_supported, "the sandbox could not be set up: " + what,
                "run nono setup --check-only, which says what this machine can enforce");
  }
  ExitStatus status;
  if (report.kind == Report::Kind::exec_failed) {
    status.code = report.error == ENOENT ? 127 : 126;
    status.problem = what + ": " + std::strerror(report.error);
    return status;
  }
  status.signalled = WIFSIGNALED(report.status);
  status.code = status.signalled ? 128 + WTERMSIG(report.status) : WEXITSTATUS(report.status);
  return status;
}

[[noreturn]] void tell_and_exit(int reports, Report::Kind kind, int error, const char* detail) {
  Report report;
  report.kind = kind;
  report.error = error;
  std::strncpy(report.detail.data(), detail, report.detail.size() - 1);
  (void)!::write(reports, &report, sizeof report);
  ::_exit(125);
}

void close_on_exec_from(int first) {
  const int last = ::getdtablesize();
  for (int fd = first; fd < last; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

// C: confined before GO, so that nothing of the command runs otherwise.
[[noreturn]] void run_command(const Prepared& prepared, int go, int reports) {
  const SandboxPlan& plan = *prepared.plan;
  if (!plan.cwd.empty() && ::chdir(plan.cwd.c_str()) != 0) {
    tell_and_exit(reports, Report::Kind::set_up_failed, errno, plan.cwd.c_str());
  }
  const rlimit no_core = {0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  close_on_exec_from(3);
  const char* const no_parameters[] = {nullptr};
  char* problem = nullptr;
  if (::sandbox_init_with_parameters(prepared.profile.c_str(), 0, no_parameters, &problem) != 0) {
    tell_and_exit(reports, Report::Kind::set_up_failed, errno,
                  problem != nullptr ? problem : "sandbox_init");
  }
  char byte = 0;
  ssize_t size = -1;
  do {
    size = ::read(go, &byte, 1);
  } while (size < 0 && errno == EINTR);
  if (size != 1) ::_exit(125);
  ::sigprocmask(SIG_SETMASK, &prepared.signal_mask, nullptr);
  if (plan.probe) ::_exit(plan.probe());
  ::execve(plan.executable.c_str(), prepared.argv.data(), prepared.envp.data());
  tell_and_exit(reports, Report::Kind::exec_failed, errno, plan.executable.c_str());
}

// L waits for the command, passes signals on, and ends it when P is gone: macOS has no signal for a
// parent's death. What the command left running in other process groups is not found.
[[noreturn]] void serve(pid_t command, int alive, int reports) {
  const UniqueFd events(::kqueue());
  std::array<struct kevent, 2> wanted = {};
  EV_SET(&wanted[0], command, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, nullptr);
  EV_SET(&wanted[1], alive, EVFILT_READ, EV_ADD, 0, 0, nullptr);
  ::kevent(events.get(), wanted.data(), 2, nullptr, 0, nullptr);
  for (;;) {
    int status = 0;
    if (::waitpid(command, &status, WNOHANG) == command) {
      Report report;
      report.status = status;
      // Where the command could not be executed, its own report came first.
      (void)!::write(reports, &report, sizeof report);
      ::_exit(0);
    }
    struct kevent event = {};
    if (::kevent(events.get(), nullptr, 0, &event, 1, nullptr) != 1) continue;
    if (event.filter != EVFILT_READ) continue;
    char number = 0;
    if (::read(alive, &number, 1) == 1) {
      ::kill(command, number);
    } else {
      ::kill(command, SIGKILL);  // P is gone
      ::_exit(125);
    }
  }
}

Result<UniqueFd> listen_on(Port port) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port.value());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::fcntl(listener.get(), F_SETFD, FD_CLOEXEC);
  const auto* generic = static_cast<const sockaddr*>(static_cast<const void*>(&address));
  if (!listener || ::bind(listener.get(), generic, sizeof address) != 0 ||
      ::listen(listener.get(), SOMAXCONN) != 0) {
    Error error = errno_error(errno, "listening on 127.0.0.1:" + std::to_string(port.value()));
    error.fix = "another program may hold the port; name a free one with --proxy-port";
    return fail(std::move(error));
  }
  return listener;
}

std::vector<std::string> terminals() {
  std::vector<std::string> names;
  for (int fd = 0; fd < 3; ++fd) {
    const char* name = ::isatty(fd) == 1 ? ::ttyname(fd) : nullptr;
    if (name != nullptr && std::find(names.begin(), names.end(), name) == names.end()) {
      names.emplace_back(name);
    }
  }
  return names;
}

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

Result<void> check_plan(const SandboxPlan& plan) {
  for (const FsDeny& deny : plan.denies) {
    for (const FsGrant& grant : plan.grants) {
      if (grant.path != deny.path && !grant.path.starts_with(deny.path + "/")) continue;
      return fail(ErrorCode::bad_input, "'" + grant.path + "' is granted, but '" + deny.path +
                                            "' is denied by " + deny.origin);
    }
  }
  if (plan.probe || (!plan.argv.empty() && !plan.executable.empty())) return {};
  return fail(ErrorCode::bad_input, "there is no command to run");
}

Result<Prepared> prepare(const SandboxPlan& plan, const std::string& temporary) {
  Prepared prepared;
  prepared.plan = &plan;
  SeatbeltFacts facts;
  facts.private_directory = temporary;
  facts.terminals = terminals();
  Result<std::string> profile = seatbelt_profile(plan, facts);
  if (!profile) return fail(profile.error());
  prepared.profile = std::move(*profile);
  for (const std::string& entry : plan.env) {
    if (temporary.empty() || !entry.starts_with("TMPDIR=")) prepared.env.push_back(entry);
  }
  if (!temporary.empty()) prepared.env.push_back("TMPDIR=" + temporary);
  prepared.parent = ::getpid();
  return prepared;
}

}  // namespace

// There is nothing that takes long.
class Ahead::Begun {};
Ahead::Ahead() = default;
Ahead::Ahead(Ahead&& other) noexcept = default;
Ahead& Ahead::operator=(Ahead&& other) noexcept = default;
Ahead::~Ahead() = default;

Ahead Ahead::begin() {
  return {};
}

void Ahead::know_every_port() const {}

Result<std::unique_ptr<SandboxChannel>> start(const SandboxPlan& plan, Ahead /*ahead*/) {
  if (Result<void> checked = check_plan(plan); !checked) return fail(checked.error());
  auto channel = std::make_unique<MacChannel>();
  if (plan.private_tmp) {
    if (Result<void> made = channel->temporary_.make(); !made) return fail(made.error());
  }
  Result<Prepared> prepared = prepare(plan, channel->temporary_.path());
  if (!prepared) return fail(prepared.error());
  prepared->argv = pointers_to(plan.argv);
  prepared->envp = pointers_to(prepared->env);
  if (plan.network == Network::proxied) {
    Result<UniqueFd> listener = listen_on(plan.proxy.http);
    if (!listener) return fail(listener.error());
    channel->listener_ = std::move(*listener);
  }
  Result<Pipe> go = make_pipe();
  Result<Pipe> alive = make_pipe();
  Result<Pipe> reports = make_pipe();
  for (const Result<Pipe>* pipe : {&go, &alive, &reports}) {
    if (!*pipe) return fail(pipe->error());
  }
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &prepared->signal_mask);
  channel->launcher_ = ::fork();
  if (channel->launcher_ == 0) {
    // Held by P alone: their end is how its death shows.
    go->write.reset();
    alive->write.reset();
    channel->listener_.reset();
    const pid_t command = ::fork();
    if (command == 0) run_command(*prepared, go->read.get(), reports->write.get());
    if (command < 0) {
      tell_and_exit(reports->write.get(), Report::Kind::set_up_failed, errno, "fork");
    }
    go->read.reset();
    serve(command, alive->read.get(), reports->write.get());
  }
  const int saved_errno = errno;
  ::sigprocmask(SIG_SETMASK, &prepared->signal_mask, nullptr);
  if (channel->launcher_ < 0) return fail(errno_error(saved_errno, "fork"));
  channel->go_ = std::move(go->write);
  channel->alive_ = std::move(alive->write);
  channel->reports_ = std::move(reports->read);
  // Nobody traces us, or reads our memory, from here on.
  if (::ptrace(pt_deny_attach, 0, nullptr, 0) != 0) {
    return fail(errno_error(errno, "this process can be traced"));
  }
  if (Result<void> watched = channel->watch(); !watched) return fail(watched.error());
  return channel;
}

}  // namespace nono::sandbox
