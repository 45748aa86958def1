// C: confines itself step by step, each step forbidding what the later ones do not need, and
// becomes the command.

#include <fcntl.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>

#include "sandbox/linux/capabilities.hpp"
#include "sandbox/linux/channel.hpp"
#include "sandbox/linux/prepared.hpp"
#include "sandbox/linux/stdio_relay.hpp"
#include "sandbox/linux/terminal.hpp"

namespace nono::sandbox {
namespace {

// One byte, not none: a limit of 0 stops core files, but a core_pattern that pipes to a helper of
// root's ignores it. See core(5).
Done limit_core() {
  rlimit one = {1, 1};
  rlimit none = {0, 0};
  if (::setrlimit(RLIMIT_CORE, &one) != 0 && ::setrlimit(RLIMIT_CORE, &none) != 0) {
    return failed(Step::limits, errno, "core size");
  }
  return {};
}

// Counted in this user namespace, where L and I are as well.
Done limit_processes(const Prepared& prepared) {
  if (!prepared.processes) return {};
  rlim_t most = *prepared.processes + own_processes;
  rlimit limit = {most, most};
  if (::setrlimit(RLIMIT_NPROC, &limit) != 0) return failed(Step::limits, errno, "processes");
  return {};
}

// Not closed but close-on-exec: GO is still to come through one of them.
Done close_descriptors_on_exec() {
  if (::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
    return failed(Step::limits, errno, "descriptors");
  return {};
}

// Asks the kernel rather than trusting the calls above.
Done check_self(bool without_namespaces) {
  if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) {
    return failed(Step::self_check, 0, "new privileges are possible");
  }
  constexpr int filtered = 2;
  if (::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != filtered) {
    return failed(Step::self_check, 0, "the system call filter is not active");
  }
  bool powerless = without_namespaces ? holds_no_capability() : has_no_capabilities();
  if (!powerless) return failed(Step::self_check, 0, "capabilities are left");
  UniqueFd way_out(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (way_out) return failed(Step::self_check, 0, "a VSOCK socket could be made");
  return {};
}

// Asks the supervisor for what it must refuse, and can only after it has read the address here.
Done check_supervisor() {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr nowhere = {};
  if (socket && ::connect(socket.get(), &nowhere, sizeof(sockaddr_in)) != 0 &&
      errno == EAFNOSUPPORT) {
    return {};
  }
  return failed(Step::self_check, errno,
                "the supervisor may not read the command's memory: kernel.yama.ptrace_scope is "
                "above 1, or a filter around nono refuses process_vm_readv");
}

// The parts that differ where there are no namespaces.
Done confine_without_namespaces(const Prepared& prepared, int supervisor) {
  if (Done done = drop_held_capabilities(); !done) return done;
  if (Done done = forbid_new_privileges(); !done) return done;
  tl::expected<UniqueFd, Failure> ruleset = make_ruleset(prepared.notify->no_tcp);
  if (!ruleset) return tl::unexpected<Failure>(ruleset.error());
  for (const bool inside : {false, true}) {  // nothing is mounted here
    if (Done done = add_rules(ruleset->get(), prepared.notify->rules, inside); !done) return done;
  }
  if (Done done = apply_landlock(ruleset->get()); !done) return done;
  Done installed = prepared.notify->supervised()
                       ? install_with_listener(prepared.filter, supervisor)
                       : install_filter(prepared.filter);
  if (!installed) return installed;
  if (Done done = check_self(true); !done) return done;
  return prepared.notify->supervised() ? check_supervisor() : Done();
}

// The parent has made the ruleset meanwhile, but for what was mounted here since.
Done restrict_files(const Prepared& prepared, int go) {
  const std::optional<Report> report = receive_report(go);
  if (!report || report->kind != Report::Kind::ruleset || report->fds.size() != 1) {
    return failed(Step::peer_gone, 0);
  }
  const int ruleset = report->fds[0].get();
  if (Done done = add_rules(ruleset, prepared.rules, true); !done) return done;
  return apply_landlock(ruleset);
}

Done confine(const Prepared& prepared, const StdioPlan& stdio, int go, int supervisor) {
  if (!prepared.plan.cwd.empty() && ::chdir(prepared.plan.cwd.c_str()) != 0) {
    return failed(Step::directory, errno, prepared.plan.cwd);
  }
  if (Done done = install_stdio(stdio); !done) return done;
  if (Done done = limit_core(); !done) return done;
  if (Done done = limit_processes(prepared); !done) return done;
  if (Done done = close_descriptors_on_exec(); !done) return done;
  if (prepared.notify) return confine_without_namespaces(prepared, supervisor);
  if (Done done = drop_capabilities(); !done) return done;
  if (Done done = forbid_new_privileges(); !done) return done;
  if (Done done = restrict_files(prepared, go); !done) return done;
  if (Done done = install_observer(prepared.observer); !done) return done;
  if (Done done = install_filter(prepared.filter); !done) return done;
  return check_self(false);
}

bool wait_for_go(int go, std::string& message) {
  message.resize(go_message_max);
  ssize_t size = -1;
  do {
    size = ::read(go, message.data(), message.size());
  } while (size < 0 && errno == EINTR);
  message.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return size >= 1 && message.front() == go_byte;
}

// The environment without the variables that the message names.
std::vector<char*> left_environment(const Prepared& prepared, std::string_view message) {
  std::vector<char*> left;
  for (char* entry : prepared.envp) {
    bool withheld = false;
    for (std::string_view rest = message.substr(1); entry != nullptr && !rest.empty();) {
      std::string_view name = rest.substr(0, rest.find('\0'));
      rest.remove_prefix(std::min(name.size() + 1, rest.size()));
      std::string_view variable = entry;
      withheld = withheld || variable.substr(0, variable.find('=')) == name;
    }
    if (!withheld) left.push_back(entry);
  }
  return left;
}

// A script without a #! line is run by the shell, as every shell does.
void execute(const Prepared& prepared, const std::vector<char*>& envp) {
  const char* path = prepared.plan.executable.c_str();
  ::execve(path, prepared.argv.data(), envp.data());
  if (errno != ENOEXEC) return;
  std::vector<char*> argv = {const_cast<char*>("/bin/sh"), const_cast<char*>(path)};
  if (prepared.argv.size() > 1)
    argv.insert(argv.end(), prepared.argv.begin() + 1, prepared.argv.end());
  ::execve("/bin/sh", argv.data(), envp.data());
  errno = ENOEXEC;
}

}  // namespace

void run_payload(const Prepared& prepared, const StdioPlan& stdio, int channel, int go,
                 int supervisor, const InnerTerminal* terminal) {
  Done confined = terminal != nullptr ? join_terminal(*terminal) : Done();
  if (confined) confined = confine(prepared, stdio, go, supervisor);
  if (!confined) report_and_exit(channel, confined.error());
  if (supervisor >= 0) ::close(supervisor);
  std::string message;
  if (!wait_for_go(go, message)) ::_exit(125);
  if (terminal != nullptr && ::write(terminal->events, &job_started, 1) != 1) ::_exit(125);

  ::sigaction(SIGCHLD, &prepared.child_action, nullptr);
  ::sigprocmask(SIG_SETMASK, &prepared.signal_mask, nullptr);
  if (prepared.plan.probe) ::_exit(prepared.plan.probe());
  execute(prepared, left_environment(prepared, message));
  report_and_exit(channel, {Step::exec, errno, prepared.plan.executable});
}

}  // namespace nono::sandbox
