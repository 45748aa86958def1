#pragma once
// The system call filter of the command: a deny list with tests on arguments, default allow. It
// closes what namespaces and Landlock leave open: foreign call tables (i386, x32), io_uring, socket
// families, keyrings, mounting, terminals' input queues. See seccomp(2).

#include <linux/filter.h>

#include <optional>
#include <vector>

#include "sandbox/linux/failure.hpp"
#include "sandbox/linux/notify/filter.hpp"

namespace nono::sandbox {

struct FilterOptions {
  bool free_internet_sockets = false;  // Network::open: AF_INET and AF_INET6 are not looked at
  std::optional<NotifyRules> notify = std::nullopt;  // without namespaces
  bool unix_sockets = false;                         // UnixSockets::inside
};

// Throws nothing that a valid table can cause; pure, tested over vectors of (arch, number,
// arguments).
std::vector<sock_filter> build_filter(const FilterOptions& options);

// Installs it on this thread, for good. Needs no_new_privs.
Done install_filter(const std::vector<sock_filter>& filter);

}  // namespace nono::sandbox
