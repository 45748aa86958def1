#pragma once
// Which core a child begins on.

#include <sys/types.h>

namespace nono::sandbox {

// Moves a child that was just forked to a core where this process is not running, once: where it
// may run stays as it was. A scheduler that packs work onto few cores has it wait behind us
// otherwise, and what was to go on side by side goes one after the other.
void move_to_other_core(pid_t child);

}  // namespace nono::sandbox
