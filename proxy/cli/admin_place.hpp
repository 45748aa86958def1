#pragma once
// Where the admin socket of this user's proxy is, when nobody says.

#include <optional>
#include <string>

#include "config/profile.hpp"

namespace nono::cli {

// `asked` from the working directory, or nono/admin.sock in $XDG_RUNTIME_DIR, or admin.sock in the
// state directory.
std::string admin_socket_path(const std::optional<std::string>& asked, const UserContext& user);

}  // namespace nono::cli
