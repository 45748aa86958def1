#pragma once
// Escapes that the self-check tries from inside a sandbox. Each must fail.

#include <cstdint>
#include <string>
#include <vector>

#include "sandbox/self_check.hpp"

namespace nono::sandbox {

// What the escapes aim at, all made by the checker outside.
struct EscapeTargets {
  std::uint16_t tcp_port = 0;  // a listener on the host's 127.0.0.1
  std::uint16_t udp_port = 0;
  std::string unix_socket;     // a listener's path
  std::string readable_file;   // granted for reading, owned by this user
  std::string ungranted_file;  // exists, and anybody may read it outside
  std::uint16_t proxy_port = 0;
  bool mounts = true;  // namespaces: permissions hold, temporary files are in /tmp
};

// Runs in the sandbox, changes nothing outside it even where an escape succeeds.
std::vector<CheckResult> try_escapes(const EscapeTargets& targets);

}  // namespace nono::sandbox
