#pragma once
// --user: root runs a command as somebody else. A root runner over another user's checkout could
// not write there, since the sandbox has no capabilities.

#include <optional>
#include <string>
#include <vector>

#include "config/base/error.hpp"
#include "config/profile.hpp"

namespace nono::cli {

struct RunAs {
  unsigned uid = 0;
  unsigned gid = 0;
  std::string home;  // absolute
  std::string name;  // empty where the system knows none
};

// `text`: a number, or "owner" for whom the current directory belongs to; empty: nobody else. None
// where it is the user that runs nono already. Errors: bad_input, and not root.
Result<std::optional<RunAs>> resolve_run_as(const std::string& text, const UserContext& user);

// The user's view, with nono's own places still those of whoever runs it.
UserContext context_of(const RunAs& as, const UserContext& user);

// Variables of the parent without those that are about its home and session, and the ones that say
// who runs.
std::vector<std::string> environment_of(const RunAs& as, std::vector<std::string> parent);

// What to say to root in a directory of somebody else's; empty where there is nothing to say.
std::string foreign_directory_hint(const UserContext& user);

}  // namespace nono::cli
