#pragma once
// What this machine can enforce, found out by doing it: a whole sandbox is built, and a program in
// it tries to escape.

#include <string>
#include <vector>

#include "config/base/error.hpp"
#include "sandbox/backend.hpp"

namespace nono::sandbox {

struct CheckResult {
  std::string name;  // what should hold, as a sentence
  bool ok = false;
  std::string detail;  // what was seen
  std::string remedy;  // for a check that failed
};

struct SelfCheck {
  std::string kernel;    // release, as uname(2) says
  int landlock_abi = 0;  // 0: no Landlock
  std::vector<CheckResult> checks;
  bool can_enforce = false;  // every check held
};

// Of one backend. Runs in forked processes, so the caller stays as it is (dumpable, its descriptors and signals
// untouched); uses loopback and a temporary directory of its own, takes some ten milliseconds and
// at most half a minute. Must be called while the process has one thread. A machine that cannot
// sandbox is no error but a failed check; an error is a failure to find out.
Result<SelfCheck> self_check(Backend backend = Backend::netns);

// Whether every port can be captured under the netns backend, by capturing one that nothing names.
// Where not, the ports that rules name are. In the way of self_check(), with its conditions.
Result<CheckResult> check_capture_of_every_port();

}  // namespace nono::sandbox
