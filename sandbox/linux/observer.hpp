#pragma once
// --diagnose: learns which files the command wanted and was not granted. A second filter reports
// the calls that take a path to L, which notes those that no grant covers and lets every one of
// them go on: Landlock and the mounts decide, as without it. See seccomp_unotify(2).

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "config/base/fd.hpp"
#include "sandbox/linux/failure.hpp"
#include "sandbox/linux/landlock.hpp"
#include "sandbox/plan.hpp"

namespace nono::sandbox {

struct PathCall;

// What P prepares and L and C use; all closed where the plan does not ask for it.
struct ObserverLink {
  std::vector<sock_filter> filter;
  UniqueFd to_launcher, from_command;  // a socket pair: the listener's way from C to L
  UniqueFd records;                    // memory that L writes and P reads
  bool wanted() const { return records.valid(); }
};

// Not wanted unless the plan says so; fails with errno.
tl::expected<ObserverLink, Failure> prepare_observer(const SandboxPlan& plan);

// C: from here on its calls are reported, and wait until L has looked at them. Before the filter
// that forbids things, after no_new_privs.
Done install_observer(const ObserverLink& link);

// What the rules, which are of the plan, make of a wish for a path that is canonical and absolute.
enum class Verdict { granted, not_granted, denied };
Verdict judge(const SandboxPlan& plan, const std::vector<LandlockRule>& rules,
              const std::string& path, DeniedPath::Access access);

// L: answers the reports.
class Observer {
 public:
  // `proc` is the host's /proc, opened before the sandbox's own covers it.
  Observer(const SandboxPlan& plan, const std::vector<LandlockRule>& rules,
           const ObserverLink& link, UniqueFd proc);
  pollfd poll() const;  // fd -1 where nothing is to come
  void step(short events);

 private:
  void take_listener();
  void answer();
  void note(const std::string& path, DeniedPath::Access access);
  std::string path_of(const PathCall& call, const seccomp_notif& request) const;
  void consider(const std::string& path, const PathCall& call, unsigned flags);
  std::string folder_of(pid_t thread, int descriptor) const;

  const SandboxPlan& plan_;
  const std::vector<LandlockRule>& rules_;
  UniqueFd proc_, listener_;
  int socket_ = -1, records_ = -1;
  std::set<std::pair<std::string, DeniedPath::Access>> seen_;
};

// P: what was noted, each once, in the order of first wish.
std::vector<DeniedPath> read_records(const SandboxPlan& plan, int records);

}  // namespace nono::sandbox
