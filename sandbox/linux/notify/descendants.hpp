#pragma once
// Without a pid namespace nothing ends the command's processes together with the command: they are
// adopted by one of ours, which does.

#include <sys/types.h>

#include <optional>

#include "sandbox/linux/failure.hpp"

namespace nono::sandbox {

// Orphans below this process become its children from now on.
Done adopt_orphans();

// Proof that Landlock keeps this process's signals to itself and to what it forks from now on.
class SignalScope {
 public:
  // Enters the scope, for good, and finds out by doing whether it holds: `outsider` is another
  // process that this one could signal before. Empty where the kernel has none. Needs no_new_privs.
  static std::optional<SignalScope> enter(pid_t outsider);

 private:
  SignalScope() = default;
};

// Kills all that is below this process, whatever it forks meanwhile, and collects it. Gives up
// after some seconds: what sleeps in the kernel cannot be waited for.
void end_descendants(const std::optional<SignalScope>& scope);

}  // namespace nono::sandbox
