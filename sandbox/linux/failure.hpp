#pragma once
// The steps of building a sandbox, and what failed at which of them.

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "config/base/error.hpp"

namespace nono::sandbox {

enum class Step : std::uint8_t {
  start,            // fork, socketpair and the like, before anything special
  user_namespace,   // unshare(2)
  id_map,           // /proc/self/{setgroups,uid_map,gid_map}
  loopback,         // lo up and the routes to it
  listener,         // the proxy's listening socket
  capture,          // redirecting every port to the proxy
  stdio,            // pipes in place of sockets on descriptors 0 to 2
  mount_tree,       // detach from the host's mount propagation
  mount_grant,      // a writable grant, or one that shows through a private directory
  mount_read_only,  // everything else
  mount_proc,
  mount_private,  // /tmp and its like, /dev/pts
  mount_policy,   // read-only files within writable grants
  mount_deny,
  terminal,   // a pseudo-terminal of the command's own
  directory,  // chdir
  limits,     // core limit, descriptors
  capabilities,
  no_new_privs,
  landlock,
  seccomp,
  self_check,  // the confinement is not what it should be
  exec,
  peer_gone,  // the proxy or the launcher ended
};
// What the step does, as the middle of a sentence: "could not NAME".
std::string_view to_string(Step step);

// Travels from the sandbox's processes to the parent, so it is small and flat.
struct Failure {
  Step step = Step::start;
  int error = 0;       // errno
  std::string detail;  // a path or a fact, may be empty
};

using Done = tl::expected<void, Failure>;

inline tl::unexpected<Failure> failed(Step step, int error, std::string detail = {}) {
  return tl::unexpected<Failure>(Failure{step, error, std::move(detail)});
}

// The user's view of a failure: which step, why, and the remedy on this machine. Reads a few files
// of /proc/sys to tell the usual reasons apart.
Error explain(const Failure& failure);

}  // namespace nono::sandbox
