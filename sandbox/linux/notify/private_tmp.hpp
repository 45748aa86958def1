#pragma once
// A directory for the command's temporary files, named by TMPDIR, gone after the run: what a
// private /tmp is where there is a mount namespace.

#include <string>

#include "config/base/error.hpp"

namespace nono::sandbox {

// Only this user may enter it. The canonical path.
Result<std::string> make_private_tmp();

// With all that is in it, whatever its permissions; follows no link. Only once nothing runs there.
void remove_private_tmp(const std::string& path);

}  // namespace nono::sandbox
