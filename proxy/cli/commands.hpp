#pragma once
// One function per command. Each returns the exit code and has said what there was to say.

#include "config/profile.hpp"
#include "proxy/cli/options.hpp"
#include "sandbox/ahead.hpp"

namespace nono::cli {

// `ahead`: what was begun before the options were known; ended where it is not for them.
int run_command(const RunOptions& options, const UserContext& user, sandbox::Ahead ahead);
int proxy_command(const ProxyOptions& options, const UserContext& user);
int key_command(const KeyOptions& options, const UserContext& user);
int setup_command(const SetupOptions& options, const UserContext& user);
int session_command(const SessionOptions& options, const UserContext& user);
int audit_command(const AuditOptions& options, const UserContext& user);

}  // namespace nono::cli
