// Namespaces, privileges, and what stands in the way of them: filters and mounts.

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>

#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

constexpr long sys_clone3 = 435;

Outcome did(long result, const char* step) {
  return result < 0 ? blocked(step) : reached(step);
}

Outcome unshares_user(const Attempt& /*attempt*/) {
  return did(::unshare(CLONE_NEWUSER), "unshare");
}

// As administrator the others need no user namespace.
Outcome unshares_others(const Attempt& /*attempt*/) {
  std::string made;
  for (const int flag : {CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWIPC, CLONE_NEWUTS,
                         CLONE_NEWCGROUP, CLONE_NEWTIME}) {
    if (::unshare(flag) == 0) made += " " + std::to_string(flag);
  }
  return made.empty() ? blocked("unshare") : reached("flags" + made);
}

// Ends the child of a clone, and tells whether there was one.
Outcome cloned(long child, const char* step) {
  if (child == 0) ::_exit(0);
  if (child < 0) return blocked(step);
  ::waitpid(static_cast<pid_t>(child), nullptr, 0);
  return reached(step);
}

Outcome clones(const Attempt& /*attempt*/) {
  return cloned(::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr),
                "clone");
}

Outcome clones_with_junk(const Attempt& /*attempt*/) {
  constexpr unsigned long high_bits = 0xdeadUL << 40;
  return cloned(
      ::syscall(SYS_clone, high_bits | CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr),
      "clone");
}

Outcome clones_by_struct(const Attempt& /*attempt*/) {
  clone_args arguments = {};
  arguments.flags = CLONE_NEWUSER;
  arguments.exit_signal = SIGCHLD;
  return cloned(::syscall(sys_clone3, &arguments, sizeof arguments), "clone3");
}

Outcome enters(const Attempt& attempt, const char* who, const char* name, int kind) {
  const std::string path = "/proc/" + attempt.where.text(who) + "/ns/" + name;
  const UniqueFd target(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!target) return blocked("open");
  return did(::setns(target.get(), kind), "setns");
}

Outcome enters_user(const Attempt& attempt) {
  return enters(attempt, "namespaced", "user", CLONE_NEWUSER);
}
Outcome enters_network(const Attempt& attempt) {
  return enters(attempt, "victim", "net", CLONE_NEWNET);
}
Outcome enters_mounts(const Attempt& attempt) {
  return enters(attempt, "victim", "mnt", CLONE_NEWNS);
}

// Lays bare what a mount of the sandbox covers; where there is none, the host's is there already.
Outcome uncovers(const Attempt& attempt, const std::string& mount, const std::string& path) {
  if (attempt.where.text("bare") != "yes" && ::umount2(mount.c_str(), MNT_DETACH) != 0) {
    return blocked("umount " + mount);
  }
  const std::string text = read_file(path);
  return text.empty() ? blocked("read") : reached(text);
}

Outcome uncovers_tmp(const Attempt& attempt) {
  return uncovers(attempt, "/tmp", attempt.where.text("tmp-file"));
}
Outcome uncovers_shm(const Attempt& attempt) {
  return uncovers(attempt, "/dev/shm", attempt.where.text("shm-file"));
}
Outcome uncovers_proc(const Attempt& attempt) {
  return uncovers(attempt, "/proc", "/proc/" + attempt.where.text("victim") + "/cmdline");
}

// Mounts the whole tree anew, without what the sandbox laid over it.
Outcome mounts_again(const Attempt& attempt) {
  if (::mount("/", "mounted", nullptr, MS_BIND | MS_REC, nullptr) != 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return blocked("unshare");
    ::mkdir("mounted", 0755);
    if (::mount("/", "mounted", nullptr, MS_BIND | MS_REC, nullptr) != 0) return blocked("mount");
  }
  const std::string text = read_file("mounted" + attempt.where.text("outside") + "/secret");
  return text.empty() ? blocked("read") : reached(text);
}

// A program that belongs to someone else and carries his rights.
Outcome set_uid(const Attempt& attempt) {
  int ends[2] = {-1, -1};
  if (::pipe(ends) != 0) return blocked("pipe");
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], 1);
    ::execl(attempt.where.text("set-uid").c_str(), "set-uid", "effective-user", nullptr);
    ::_exit(1);
  }
  ::close(ends[1]);
  const std::string user = read_some(ends[0]);
  ::waitpid(child, nullptr, 0);
  errno = ENOEXEC;
  if (user.empty()) return blocked("exec");
  if (user == std::to_string(::geteuid())) return {false, "the same user " + user};
  return reached("user " + user);
}

Outcome traces_grandparent(const Attempt& /*attempt*/) {
  const std::string status = read_file("/proc/" + std::to_string(::getppid()) + "/status");
  const std::size_t at = status.find("PPid:");
  if (at == std::string::npos) return blocked("status");
  const pid_t above = std::stoi(status.substr(at + 5));
  return did(::ptrace(PTRACE_SEIZE, above, nullptr, nullptr), "PTRACE_SEIZE");
}

// Installs a filter of one rule: the call `number` gets `action`. The result of seccomp(2).
long install(std::uint32_t number, std::uint32_t action, unsigned flags) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {4, code};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

// Answers every request of a listener with "go on", for ever.
[[noreturn]] void let_everything_pass(int listener) {
  for (;;) {
    seccomp_notif request = {};
    if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) ::_exit(0);
    seccomp_notif_resp answer = {};
    answer.id = request.id;
    answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
}

// An own filter whose supervisor allows connect(), in the hope that it counts for more than the
// sandbox's.
Outcome supervises_itself(const Attempt& attempt) {
  const int listener = static_cast<int>(
      install(SYS_connect, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER));
  if (listener < 0) return blocked("new listener");
  const pid_t supervisor = ::fork();
  if (supervisor == 0) let_everything_pass(listener);
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Outcome outcome = connect_and_tell(socket, attempt.where.v4("tcp4"), attempt.message);
  ::kill(supervisor, SIGKILL);
  ::waitpid(supervisor, nullptr, 0);
  return outcome;
}

Outcome allows_itself(const Attempt& attempt) {
  if (install(SYS_socket, SECCOMP_RET_ALLOW, 0) != 0) return blocked("filter");
  (void)attempt;
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return socket ? reached("a Unix socket") : blocked("socket");
}

#if defined(__x86_64__)

// A tracer that changes a harmless call of its child into one that the filter refuses.
Outcome swaps_call(const Attempt& /*attempt*/) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    const long made = ::syscall(SYS_getpgid, AF_UNIX, SOCK_STREAM, 0);
    struct stat info = {};
    ::_exit(made >= 0 && ::fstat(static_cast<int>(made), &info) == 0 && S_ISSOCK(info.st_mode) ? 0
                                                                                               : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  bool entered = false;
  while (::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) == 0 &&
         ::waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    user_regs_struct registers = {};
    ::ptrace(PTRACE_GETREGS, child, nullptr, &registers);
    entered = !entered;
    if (!entered || registers.orig_rax != SYS_getpgid) continue;
    registers.orig_rax = SYS_socket;
    ::ptrace(PTRACE_SETREGS, child, nullptr, &registers);
  }
  errno = EPERM;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? reached("a Unix socket")
                                                       : blocked("swapped call");
}

#else

Outcome swaps_call(const Attempt& /*attempt*/) {
  errno = ENOSYS;
  return blocked("not written for this architecture");
}

#endif

}  // namespace

Family namespace_family() {
  constexpr const char* user = "user namespaces";
  constexpr const char* administrator = "an administrator's rights";
  return {
      {"unshare-user", Proof::word, unshares_user, user},
      {"unshare-others", Proof::word, unshares_others, administrator},
      {"clone-user", Proof::word, clones, user},
      {"clone-user-junk", Proof::word, clones_with_junk, user},
      {"clone3-user", Proof::word, clones_by_struct, user},
      {"setns-user", Proof::word, enters_user, user},
      {"setns-network", Proof::word, enters_network, administrator},
      {"setns-mounts", Proof::word, enters_mounts, administrator},
      {"umount-tmp", Proof::read, uncovers_tmp},
      {"umount-shm", Proof::read, uncovers_shm},
      {"umount-proc", Proof::read, uncovers_proc},
      {"mount-again", Proof::read, mounts_again, user},
      {"set-uid", Proof::word, set_uid, "a set-uid program of somebody else"},
      {"trace-launcher", Proof::word, traces_grandparent, "a parent of the same user"},
      {"own-supervisor", Proof::hit, supervises_itself, "notification of system calls"},
      {"own-filter", Proof::word, allows_itself},
      {"swapped-call", Proof::word, swaps_call, "the right to trace one's own processes"},
  };
}

}  // namespace escape
