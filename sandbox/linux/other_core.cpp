#include "sandbox/linux/other_core.hpp"

#include <sched.h>
#include <unistd.h>

#include <cerrno>

namespace nono::sandbox {
namespace {

bool use_policy(int policy) {
  const sched_param none{};
  return ::sched_setscheduler(0, policy, &none) == 0;
}

// More cores than the set has room for: the calls fail, and the scheduler decides alone.
void move(pid_t child) {
  const int here = ::sched_getcpu();
  cpu_set_t allowed;
  if (here < 0 || ::sched_getaffinity(child, sizeof allowed, &allowed) != 0) return;
  cpu_set_t others = allowed;
  CPU_CLR(static_cast<unsigned>(here), &others);
  if (CPU_COUNT(&others) == 0) return;
  if (::sched_setaffinity(child, sizeof others, &others) != 0) return;
  ::sched_setaffinity(child, sizeof allowed, &allowed);
}

}  // namespace

// An ordinary child may preempt us at once, and would be done before we could move it. One of
// SCHED_BATCH preempts nobody (sched(7)); each takes its own policy back itself.
pid_t fork_to_other_core() {
  const bool batch = ::sched_getscheduler(0) == SCHED_OTHER && use_policy(SCHED_BATCH);
  const pid_t child = ::fork();
  const int saved_errno = errno;
  if (child > 0) move(child);
  if (batch) use_policy(SCHED_OTHER);
  errno = saved_errno;
  return child;
}

}  // namespace nono::sandbox
