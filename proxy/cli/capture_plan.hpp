#pragma once
// Which connections of a run are captured, for programs that know of no proxy.

#include <string>

#include "config/config.hpp"
#include "proxy/cli/options.hpp"
#include "sandbox/plan.hpp"

namespace nono::cli {

// For a filtered network. Rules name the ports; 80 and 443 are always among them.
sandbox::Capture plan_capture(const SessionConfig& config, sandbox::AllPorts all_ports);

// The proxy's port inside: `wanted`, or one that no capture needs. Error: bad_input where the
// wanted one is an open port.
Result<Port> choose_proxy_port(std::optional<std::uint16_t> wanted,
                               const sandbox::Capture& capture);

// What a user should know of how ports are captured, once that is known; empty mostly.
std::string capture_warning(const SessionConfig& config, const sandbox::Capture& capture,
                            bool all_ports);

}  // namespace nono::cli
