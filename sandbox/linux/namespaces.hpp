#pragma once
// Leaving the host's namespaces: namespaces(7), user_namespaces(7).

#include <sys/types.h>

#include "sandbox/linux/failure.hpp"

namespace nono::sandbox {

struct NamespaceOptions {
  bool network = true;  // a network namespace of its own
  uid_t uid = 0;        // ids to keep inside, as they are outside
  gid_t gid = 0;
  bool for_children = true;  // a new pid namespace for its future children, and a cgroup namespace
};

// Moves this single-threaded process into new user, mount, ipc, uts (and network) namespaces. Ids
// inside are those outside: no fake root.
Done enter_namespaces(const NamespaceOptions& options);

// Moves this single-threaded process into those that another one, given by a pidfd, entered without
// `for_children`. False: it is where it was.
bool join_namespaces(int other);
// What that one left out.
Done enter_namespaces_of_children();

}  // namespace nono::sandbox
