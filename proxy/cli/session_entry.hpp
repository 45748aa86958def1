#pragma once
// The flags of `nono session create` as the JSON that the admin socket takes.

#include <string>

#include "config/base/error.hpp"
#include "config/profile.hpp"
#include "proxy/cli/options.hpp"

namespace nono::cli {

// Profiles and files that are paths are made absolute. The variables that env:// sources name are
// sent with it where this process has them, so the body is a secret: wipe it. Errors (bad_input):
// flags that mean nothing to a session.
Result<std::string> session_request_body(const SessionOptions& options, const UserContext& user);

}  // namespace nono::cli
