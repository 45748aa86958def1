#pragma once
// Everything about a run that is decided before the fork: policy, command, environment, files.
// Nothing in it is a vendor's key.

#include <optional>
#include <string>
#include <vector>

#include "config/base/fd.hpp"
#include "config/command.hpp"
#include "config/environment.hpp"
#include "proxy/cli/child_environment.hpp"
#include "proxy/cli/options.hpp"
#include "proxy/cli/private_directory.hpp"
#include "proxy/cli/run_as.hpp"
#include "proxy/server.hpp"
#include "sandbox/backend_choice.hpp"
#include "sandbox/plan.hpp"

namespace nono::cli {

struct RunPlan {
  SessionConfig config;
  sandbox::SandboxPlan sandbox;
  std::vector<PlannedCredential> credentials;
  std::string token;
  std::vector<std::string> withheld;  // names of variables kept back
  std::vector<std::string> warnings;
  std::vector<std::string> sandbox_notes;  // what is weaker than usual; known once it was started
  std::optional<PrivateDirectory> directory;  // holds the CA bundle where something is intercepted
  UniqueFd bundle;                            // open for writing, to be filled after the fork
  std::vector<InboundSetup> inbound;          // bound before the fork
  std::string audit_log;                      // path; empty: none
  sandbox::Remembered known;                  // of this machine, by earlier runs
  sandbox::Ahead ahead;                       // begun where the network will be filtered
};

// What goes wrong here, with the exit code that says so.
struct RunFailure {
  Error error;
  int exit_code = 1;
};

// Reads profiles, may ask about the current directory, finds the command. With --dry-run nothing is
// created.
tl::expected<RunPlan, RunFailure> make_run_plan(const RunOptions& options, const UserContext& user,
                                                sandbox::Ahead ahead);

}  // namespace nono::cli
