#pragma once
// Leaving the host's namespaces: namespaces(7), user_namespaces(7).

#include <sys/types.h>

#include "sandbox/linux/failure.hpp"

namespace nono::sandbox {

struct NamespaceOptions {
  bool network = true;  // a network namespace of its own
  uid_t uid = 0;        // ids to keep inside, as they are outside
  gid_t gid = 0;
};

// Moves this single-threaded process into new user, mount, ipc, uts, cgroup (and network)
// namespaces, and its children into a new pid namespace. Ids inside are those outside: no fake
// root.
Done enter_namespaces(const NamespaceOptions& options);

}  // namespace nono::sandbox
