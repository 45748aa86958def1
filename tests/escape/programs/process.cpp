// Other processes of the same user: their memory, their files, their life.

#include <fcntl.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "tests/escape/programs/escape.hpp"
#include "tests/escape/programs/victim.hpp"

namespace escape {
namespace {

constexpr long sys_pidfd_send_signal = 424;
constexpr long sys_pidfd_open = 434;
constexpr long sys_pidfd_getfd = 438;

pid_t victim(const Attempt& attempt) {
  return attempt.where.number("victim");
}

std::string proc(const Attempt& attempt, const char* name) {
  return "/proc/" + attempt.where.text("victim") + "/" + name;
}

Outcome did(long result, const char* step) {
  return result < 0 ? blocked(step) : reached(step);
}

Outcome kills(const Attempt& attempt) {
  return did(::kill(victim(attempt), signal_of("kill")), "kill");
}

Outcome kills_thread(const Attempt& attempt) {
  const pid_t pid = victim(attempt);
  return did(::syscall(SYS_tgkill, pid, pid, signal_of("tgkill")), "tgkill");
}

Outcome queues(const Attempt& attempt) {
  return did(::sigqueue(victim(attempt), signal_of("sigqueue"), sigval{}), "sigqueue");
}

UniqueFd pidfd_of_victim(const Attempt& attempt) {
  return UniqueFd(static_cast<int>(::syscall(sys_pidfd_open, victim(attempt), 0)));
}

Outcome signals_by_descriptor(const Attempt& attempt) {
  const UniqueFd pidfd = pidfd_of_victim(attempt);
  if (!pidfd) return blocked("pidfd_open");
  return did(::syscall(sys_pidfd_send_signal, pidfd.get(), signal_of("pidfd-signal"), nullptr, 0),
             "pidfd_send_signal");
}

// The kernel signals whoever owns a descriptor that becomes readable.
Outcome signals_by_owner(const Attempt& attempt) {
  std::array<int, 2> ends = {-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return blocked("pipe");
  const UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  if (::fcntl(read_end.get(), F_SETOWN, victim(attempt)) != 0) return blocked("F_SETOWN");
  if (::fcntl(read_end.get(), F_SETSIG, signal_of("sigio")) != 0) return blocked("F_SETSIG");
  if (::fcntl(read_end.get(), F_SETFL, O_ASYNC | O_NONBLOCK) != 0) return blocked("O_ASYNC");
  return did(::write(write_end.get(), "x", 1), "write");
}

// The launcher of this sandbox stands in the same process group.
Outcome signals_own_group(const Attempt& /*attempt*/) {
  const int number = signal_of("kill-group");
  std::signal(number, SIG_IGN);
  return did(::kill(0, number), "kill");
}

Outcome signals_launchers_group(const Attempt& /*attempt*/) {
  const int number = signal_of("kill-process-group");
  std::signal(number, SIG_IGN);
  return did(::kill(-::getpgrp(), number), "kill");
}

// What stands at the address that the victim told.
std::string secret_at(const Attempt& attempt) {
  std::array<char, 128> block = {};
  iovec local = {block.data(), block.size() - 1};
  void* const address =
      reinterpret_cast<void*>(std::stoul(attempt.where.text("address"), nullptr, 16));
  iovec remote = {address, block.size() - 1};
  if (::process_vm_readv(victim(attempt), &local, 1, &remote, 1, 0) <= 0) return {};
  return block.data();
}

Outcome reads_memory(const Attempt& attempt) {
  const std::string text = secret_at(attempt);
  return text.empty() ? blocked("process_vm_readv") : reached(text);
}

Outcome traces(const Attempt& attempt) {
  const pid_t pid = victim(attempt);
  if (::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) != 0) return blocked("PTRACE_SEIZE");
  if (::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr) != 0) return blocked("PTRACE_INTERRUPT");
  ::waitpid(pid, nullptr, __WALL);
  std::string text;
  unsigned long address = std::stoul(attempt.where.text("address"), nullptr, 16);
  for (int words = 0; words < 12; ++words, address += sizeof(long)) {
    const long word = ::ptrace(PTRACE_PEEKDATA, pid, address, nullptr);
    std::array<char, sizeof word> bytes;
    std::memcpy(bytes.data(), &word, sizeof word);
    text.append(bytes.data(), bytes.size());
  }
  ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
  return reached(text.c_str());
}

Outcome read_at(const std::string& path) {
  std::string text = read_file(path);
  std::replace(text.begin(), text.end(), '\0', ' ');
  return text.empty() ? blocked("open") : reached(text);
}

Outcome environment(const Attempt& attempt) {
  return read_at(proc(attempt, "environ"));
}
Outcome command_line(const Attempt& attempt) {
  return read_at(proc(attempt, "cmdline"));
}
Outcome file_of_victim(const Attempt& attempt) {
  return read_at(proc(attempt, "fd/") + attempt.where.text("descriptor"));
}
Outcome root_of_victim(const Attempt& attempt) {
  return read_at(proc(attempt, "root") + attempt.where.text("outside") + "/secret");
}
Outcome folder_of_victim(const Attempt& attempt) {
  return read_at(proc(attempt, "cwd/secret"));
}

Outcome memory_file(const Attempt& attempt) {
  const UniqueFd file(::open(proc(attempt, "mem").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return blocked("open");
  std::array<char, 128> block = {};
  const off_t place = std::stol(attempt.where.text("address"), nullptr, 16);
  if (::pread(file.get(), block.data(), block.size() - 1, place) <= 0) return blocked("read");
  return reached(block.data());
}

// The machine's listening sockets, by somebody else's view of the network.
Outcome network_of_victim(const Attempt& attempt) {
  const std::string text = read_file(proc(attempt, "net/tcp"));
  if (text.empty()) return blocked("open");
  return reached("read");
}

Outcome takes_descriptor(const Attempt& attempt) {
  const UniqueFd pidfd = pidfd_of_victim(attempt);
  if (!pidfd) return blocked("pidfd_open");
  const UniqueFd file(static_cast<int>(
      ::syscall(sys_pidfd_getfd, pidfd.get(), attempt.where.number("descriptor"), 0)));
  if (!file) return blocked("pidfd_getfd");
  std::array<char, 128> block = {};
  if (::pread(file.get(), block.data(), block.size() - 1, 0) <= 0) return blocked("read");
  return reached(block.data());
}

Outcome limits(const Attempt& attempt) {
  const rlimit small = {16, 64};
  return did(::prlimit(victim(attempt), RLIMIT_NOFILE, &small, nullptr), "prlimit");
}

Outcome pins(const Attempt& attempt) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  return did(::sched_setaffinity(victim(attempt), sizeof one, &one), "sched_setaffinity");
}

Outcome slows(const Attempt& attempt) {
  return did(::setpriority(PRIO_PROCESS, static_cast<id_t>(victim(attempt)), 15), "setpriority");
}

Outcome slows_disk(const Attempt& attempt) {
  return did(::syscall(SYS_ioprio_set, ioprio_who_process, victim(attempt), ioprio_idle),
             "ioprio_set");
}

Outcome slows_own_group(const Attempt& /*attempt*/) {
  return did(::setpriority(PRIO_PGRP, 0, 7), "setpriority");
}

Outcome slows_disk_of_own_group(const Attempt& /*attempt*/) {
  return did(::syscall(SYS_ioprio_set, ioprio_who_group, 0, ioprio_idle), "ioprio_set");
}

Outcome reschedules(const Attempt& attempt) {
  const sched_param none = {};
  return did(::sched_setscheduler(victim(attempt), SCHED_BATCH, &none), "sched_setscheduler");
}

Outcome offers_to_die(const Attempt& attempt) {
  return write_file(proc(attempt, "oom_score_adj"), "999") ? reached("written") : blocked("write");
}

// Leaves a process behind that holds nothing of ours and wants to live.
Outcome leaves_orphan(const Attempt& attempt) {
  std::array<int, 2> executed = {-1, -1};  // closed by the orphan's execve
  if (::pipe2(executed.data(), O_CLOEXEC) != 0) return blocked("pipe");
  const UniqueFd read_end(executed[0]);
  UniqueFd write_end(executed[1]);
  const pid_t middle = ::fork();
  if (middle < 0) return blocked("fork");
  if (middle > 0) {
    write_end.reset();
    ::waitpid(middle, nullptr, 0);
    read_some(read_end.get());
    return reached("left");
  }
  ::setsid();
  if (::fork() != 0) ::_exit(0);
  const std::string mark = "mark=" + attempt.message;
  ::execl("/proc/self/exe", "orphan", "orphan", mark.c_str(), nullptr);
  ::_exit(1);
}

}  // namespace

Family process_family() {
  constexpr const char* trace = "the right to trace one's own processes";
  constexpr const char* pidfd = "pidfd_open";
  return {
      {"kill", Proof::hit, kills},
      {"tgkill", Proof::hit, kills_thread},
      {"sigqueue", Proof::hit, queues},
      {"pidfd-signal", Proof::hit, signals_by_descriptor, pidfd},
      {"sigio", Proof::hit, signals_by_owner},
      {"kill-group", Proof::hit, signals_own_group},
      {"kill-process-group", Proof::hit, signals_launchers_group},
      {"vm-read", Proof::read, reads_memory, trace},
      {"ptrace", Proof::read, traces, trace},
      {"proc-environ", Proof::read, environment, trace},
      {"proc-cmdline", Proof::read, command_line},
      {"proc-fd", Proof::read, file_of_victim, trace},
      {"proc-root", Proof::read, root_of_victim, trace},
      {"proc-cwd", Proof::read, folder_of_victim, trace},
      {"proc-mem", Proof::read, memory_file, trace},
      {"proc-net", Proof::word, network_of_victim},
      {"pidfd-getfd", Proof::read, takes_descriptor, trace},
      {"prlimit", Proof::state, limits},
      {"affinity", Proof::state, pins, "a second processor"},
      {"renice", Proof::state, slows},
      {"ionice", Proof::state, slows_disk},
      {"renice-group", Proof::hit, slows_own_group},
      {"ionice-group", Proof::hit, slows_disk_of_own_group},
      {"scheduler", Proof::state, reschedules},
      {"oom-score", Proof::state, offers_to_die},
      {"orphan", Proof::state, leaves_orphan},
  };
}

}  // namespace escape
