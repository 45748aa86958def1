#pragma once
// What the command's system call filter has beyond the table of every sandbox (seccomp.cpp) where
// there are no namespaces, and handing the filter's listener to the supervisor.

#include <linux/filter.h>

#include <vector>

#include "sandbox/linux/bpf.hpp"
#include "sandbox/linux/failure.hpp"

namespace nono::sandbox {

enum class Connecting : std::uint8_t {
  asks,     // each connect() goes to the supervisor
  refused,  // Network::blocked
  free,     // Network::open
};

struct NotifyRules {
  Connecting connecting = Connecting::refused;
  bool listening_asks = false;  // bind() and listen() go to the supervisor, or are refused
};

void add_notify_rules(BpfAssembler& code, const NotifyRules& rules);

// Installs the filter on this thread with a listener and sends that through `supervisor`, which is
// a socket that the other process reads.
Done install_with_listener(const std::vector<sock_filter>& filter, int supervisor);

// The other end of that. An invalid one: the process that was to send it has ended.
int receive_listener(int socket);

}  // namespace nono::sandbox
