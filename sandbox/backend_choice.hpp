#pragma once
// Which backend a run gets: found out by building a sandbox, not by looking at versions.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/base/error.hpp"
#include "sandbox/ahead.hpp"
#include "sandbox/backend.hpp"
#include "sandbox/plan.hpp"

namespace nono::sandbox {

// What works on this machine, found out by doing it. That something does not is never remembered,
// since the user may mend it, and finding out again is quick.
struct Findings {
  bool netns = false;
  bool every_port = false;  // connections to all of them can be redirected (Capture::all_ports)
};

// What earlier runs found out, for this boot, this program and this user.
struct Remembered {
  std::string file;  // empty: nothing is remembered
  std::string identity;
  Findings found;
};
Remembered recall(const std::string& file);

struct BackendWish {
  std::optional<Backend> forced;  // absent: netns, otherwise notify
  Remembered known;
};

struct BackendChoice {
  Backend backend = Backend::netns;
  std::optional<Error> instead;  // why it is not netns, where nobody asked for another
};

// Forks: call while the process has one thread.
BackendChoice choose_backend(const BackendWish& wish);

struct Started {
  BackendChoice choice;
  std::unique_ptr<SandboxChannel> channel;
};

// Chooses, notes it in the plan and starts that (plan.hpp says what that asks of the caller). An
// error where neither works names both reasons, and the remedy of the better one.
Result<Started> start_on_backend(SandboxPlan& plan, BackendWish wish, Ahead ahead = {});

// Those that the plan accepts and that are really missed in it, on this kernel.
std::vector<Weakness> weaknesses_in_effect(const SandboxPlan& plan);

}  // namespace nono::sandbox
