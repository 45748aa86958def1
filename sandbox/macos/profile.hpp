#pragma once
// The text of the Seatbelt profile that confines a command on macOS: a pure function of the plan,
// tested on every platform.

#include <cstdint>
#include <string>
#include <vector>

#include "config/base/error.hpp"
#include "config/base/host.hpp"
#include "sandbox/plan.hpp"

namespace nono::sandbox {

// What start() knows beyond the plan.
struct SeatbeltFacts {
  std::string private_directory;       // stands for /tmp; may be empty
  std::vector<std::string> terminals;  // devices behind standard input, output and error
  std::vector<Port> open_ports;        // of this machine's loopback, to connect to
  std::vector<Port> listen_ports;      // to be reached on from this machine's loopback
};

// Paths appear as text in the profile, so one with a control character is refused (bad_input).
// Later rules win in Seatbelt: what the plan denies stands last.
Result<std::string> seatbelt_profile(const SandboxPlan& plan, const SeatbeltFacts& facts);

// The path as a string of the profile's language, quoted; control characters must not be in it.
std::string quoted(const std::string& path);

// The names that one file goes by: /var, /tmp and /etc are links into /private.
std::vector<std::string> forms_of(const std::string& path);

}  // namespace nono::sandbox
