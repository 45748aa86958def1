#pragma once
// Starting the sandbox of a run on the backend that it gets, and telling what that means.

#include <memory>
#include <string>
#include <vector>

#include "proxy/capture.hpp"
#include "proxy/cli/options.hpp"
#include "proxy/cli/run_plan.hpp"
#include "proxy/server.hpp"
#include "sandbox/backend_choice.hpp"

namespace nono::cli {

// As sandbox::start() asks: one thread, nothing secret. Appends to the plan's warnings, and says in
// its notes what is weaker than usual.
Result<std::unique_ptr<sandbox::SandboxChannel>> start_run_sandbox(const RunOptions& options,
                                                                   RunPlan& plan);

// The sandbox's sockets as the server's listeners. Only this sandbox can reach them, so each is the
// session's identity.
void listen_inside(sandbox::SandboxSockets sockets, const sandbox::SandboxChannel& channel,
                   ServerOptions& server);

}  // namespace nono::cli
