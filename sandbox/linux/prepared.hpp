#pragma once
// Everything that the sandbox's processes need, made by the parent before the fork, so that they
// only have to act.

#include <csignal>
#include <optional>
#include <vector>

#include "config/base/fd.hpp"
#include "sandbox/linux/cgroup.hpp"
#include "sandbox/linux/failure.hpp"
#include "sandbox/linux/landlock.hpp"
#include "sandbox/linux/mounts.hpp"
#include "sandbox/linux/notify/notify.hpp"
#include "sandbox/linux/observer.hpp"
#include "sandbox/linux/seccomp.hpp"
#include "sandbox/plan.hpp"

namespace nono::sandbox {

struct Prepared {
  explicit Prepared(const SandboxPlan& wanted) : plan(wanted) {}

  const SandboxPlan& plan;  // the caller's, which a fork keeps alive, or AwaitedPlan's
  uid_t uid = 0;
  gid_t gid = 0;
  UniqueFd over;     // a pipe's end, held by L and I for as long as the parent has to wait for them
  pid_t parent = 0;  // P
  MountPlan mounts;
  std::vector<LandlockRule> rules;
  std::vector<sock_filter> filter;
  std::optional<NotifyPrepared> notify;  // Backend::notify; then `rules` and `mounts` are not used
  std::vector<sock_filter> supervisor_filter;
  ObserverLink observer;    // SandboxPlan::diagnose
  std::vector<char*> argv;  // null-terminated, into plan
  std::vector<char*> envp;
  sigset_t signal_mask = {};           // the caller's, for the command
  struct sigaction child_action = {};  // its disposition of SIGCHLD
  Cgroup group;                        // what limits there are; L moves into it
  std::optional<unsigned> processes;   // RLIMIT_NPROC, where no group limits them
  bool can_be_stopped = false;         // a shell would notice that P was stopped, and continue it
};

// For execve(2): with a null at the end, and valid for as long as the strings.
inline std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Ends this process after telling the parent why.
[[noreturn]] void report_and_exit(int channel, const Failure& failure);

// The processes below L (launcher.hpp); each runs in the one that was just forked.

class AwaitedPlan;
struct StdioPlan;
struct InnerTerminal;

// What I tells L about the command, a byte each. L's end closing tells I that L is dead, which
// PDEATHSIG misses when it happens before I has asked for it.
struct JobPipe {
  UniqueFd read;
  UniqueFd write;
};
// From P to C: the ruleset (channel.hpp); then this byte and names of variables to leave out, each
// with a NUL behind it, in one message.
constexpr char go_byte = 1;
constexpr std::size_t go_message_max = std::size_t{32} * 1024;

constexpr char job_stopped = 's';
constexpr char job_stopped_by_terminal = 't';
constexpr char job_continued = 'c';
constexpr char job_started = 'g';      // from C: it is about to execute the command
constexpr char job_wants_input = 'i';  // it waited for its terminal, and has it now

// I, pid 1 of the sandbox: builds the file tree, starts C, reaps, forwards signals, tells L when
// the command was stopped or continued. With a terminal it leads the session that has it, and what
// that terminal (or L, by a signal) sends goes to the command's process group.
[[noreturn]] void run_init(Prepared& prepared, StdioPlan& stdio, int channel, int go, JobPipe& jobs,
                           InnerTerminal* terminal, AwaitedPlan* awaited);

// C: confines itself, waits for the parent's GO, becomes the command. `supervisor`: where the
// filter's listener goes, with the notify backend.
[[noreturn]] void run_payload(const Prepared& prepared, const StdioPlan& stdio, int channel, int go,
                              int supervisor = -1, const InnerTerminal* terminal = nullptr);

}  // namespace nono::sandbox
