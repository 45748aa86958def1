#include "sandbox/linux/other_core.hpp"

#include <sched.h>

namespace nono::sandbox {

// More cores than the set has room for: the calls fail, and the scheduler decides alone.
void move_to_other_core(pid_t child) {
  const int here = ::sched_getcpu();
  cpu_set_t allowed;
  if (here < 0 || ::sched_getaffinity(child, sizeof allowed, &allowed) != 0) return;
  cpu_set_t others = allowed;
  CPU_CLR(static_cast<unsigned>(here), &others);
  if (CPU_COUNT(&others) == 0) return;
  if (::sched_setaffinity(child, sizeof others, &others) != 0) return;
  ::sched_setaffinity(child, sizeof allowed, &allowed);
}

}  // namespace nono::sandbox
