#pragma once
// L, as P has it: with or without a plan.

#include <sys/types.h>

#include <optional>

#include "config/base/fd.hpp"
#include "sandbox/ahead.hpp"
#include "sandbox/linux/awaited_plan.hpp"
#include "sandbox/linux/prepared.hpp"

namespace nono::sandbox {

// The sandbox's first process, a child of this one, and the ways to it and to those below it.
struct Launcher {
  pid_t pid = 0;
  UniqueFd channel;  // its reports, and requests to it
  UniqueFd go;       // to what becomes the command
  UniqueFd over;     // hangs up once none of them has anything left to do for us
};

// `awaited`: the plan is still to come, and `prepared` refers to what every such plan says. None:
// errno says why.
std::optional<Launcher> fork_launcher(Prepared& prepared, AwaitedPlan* awaited = nullptr);

// One that waits for its plan.
class Ahead::Begun {
 public:
  static std::unique_ptr<Begun> make();
  void know_every_port() const { line_.know_every_port(); }
  ~Begun();  // ends and reaps it, unless it was told
  pid_t pid() const { return launcher_.pid; }
  // Once. None where the plan is too long. It may have ended: its reports say why.
  std::optional<Launcher> tell(const Prepared& prepared);

 private:
  Begun(Launcher launcher, UniqueFd process, PlanLine line);
  Launcher launcher_;
  UniqueFd process_;  // not by its number: once reaped that may be another's
  PlanLine line_;
};

}  // namespace nono::sandbox
