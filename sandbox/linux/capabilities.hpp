#pragma once
// Giving up every privilege, for good: capabilities(7), prctl(2).

#include "sandbox/linux/failure.hpp"

namespace nono::sandbox {

// Empties the bounding, ambient, inheritable, permitted and effective sets and locks the
// securebits, so that not even an exec as uid 0 brings capabilities back.
Done drop_capabilities();

Done forbid_new_privileges();

// True when no set holds a capability and none can come back.
bool has_no_capabilities();

}  // namespace nono::sandbox
