#pragma once
// Which core a child begins on.

#include <sys/types.h>

namespace nono::sandbox {

// fork(2), but the child begins on a core where this process is not running: where both may run
// stays as it was. A scheduler that packs work onto few cores has one wait behind the other
// otherwise, and what was to go on side by side goes one after the other.
pid_t fork_to_other_core();

}  // namespace nono::sandbox
