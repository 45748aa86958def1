#pragma once
// The notify backend: a sandbox without namespaces. See README.md beside this file.

#include <memory>
#include <string>
#include <vector>

#include "config/base/error.hpp"
#include "config/base/fd.hpp"
#include "sandbox/linux/landlock.hpp"
#include "sandbox/linux/notify/filter.hpp"
#include "sandbox/linux/notify/private_tmp.hpp"
#include "sandbox/linux/notify/route.hpp"
#include "sandbox/linux/stdio_relay.hpp"
#include "sandbox/plan.hpp"
#include "sandbox/registered_ports.hpp"

namespace nono::sandbox {

struct Prepared;
struct JobPipe;

// What this backend prepares before the fork, beside what every sandbox needs.
struct NotifyPrepared {
  std::vector<LandlockRule> rules;
  NotifyRules filter_rules;
  bool no_tcp = false;           // Landlock: no TCP port at all
  std::vector<std::string> env;  // the command's
  PrivateTmp private_tmp;
  SandboxSockets sockets;        // the parent's, on the host's loopback
  std::vector<std::string> warnings;
  RouteTable routes;
  std::vector<Port> listen_ports;
  std::shared_ptr<RegisteredPorts> ports;  // null: nothing is supervised

  bool supervised() const { return ports != nullptr; }
};

// What the notify backend misses on a kernel with that version of Landlock.
std::vector<Weakness> missing_for_notify(int landlock_abi);

// Error: not_supported where something is missed that the plan does not accept; bad_input.
Result<NotifyPrepared> prepare_notify(const SandboxPlan& plan);

// I: adopts and ends the command's processes, and connects in its place.
[[noreturn]] void run_supervisor(const Prepared& prepared, StdioPlan& stdio, int channel, int go,
                                 JobPipe& jobs);

}  // namespace nono::sandbox
