#pragma once
// Listening sockets that systemd opened for us (sd_listen_fds(3), systemd.socket(5)), without its
// library.

#include <string>
#include <vector>

#include "config/base/fd.hpp"
#include "config/profile.hpp"

namespace nono::cli {

struct ActivatedSocket {
  UniqueFd socket;   // a listening stream socket
  std::string name;  // FileDescriptorName= of its unit; empty: none
};

// Those handed to this very process, each once: a second call finds none. Errors (bad_input): one
// of them is no listening stream socket.
Result<std::vector<ActivatedSocket>> take_activated_sockets(const EnvLookup& env);

}  // namespace nono::cli
