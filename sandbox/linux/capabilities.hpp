#pragma once
// Giving up every privilege, for good: capabilities(7), prctl(2).

#include "sandbox/linux/failure.hpp"

namespace nono::sandbox {

// Empties the bounding, ambient, inheritable, permitted and effective sets and locks the
// securebits, so that not even an exec as uid 0 brings capabilities back.
Done drop_capabilities();

// The same but for `capability`, which stays permitted and effective until drop_last_capability().
Done drop_capabilities_but(int capability);
Done drop_last_capability();

// The first part alone: what is left can still be used, and nothing gained by an exec.
Done empty_bounding_set();

// As drop_capabilities(), where this process may not do all of that: an ordinary user's, which
// holds nothing. With no_new_privs no exec brings anything either.
Done drop_held_capabilities();

Done forbid_new_privileges();

// True when no set holds a capability and none can come back.
bool has_no_capabilities();
// True when none is held; whether some could come back is no_new_privs' business.
bool holds_no_capability();

}  // namespace nono::sandbox
