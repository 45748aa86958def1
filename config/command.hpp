#pragma once
// Which program a command means, and what runtime it belongs to.

#include <string>
#include <vector>

#include "config/base/error.hpp"
#include "config/config.hpp"
#include "config/profile.hpp"

namespace nono {

struct ResolvedCommand {
  std::string path;               // absolute; what execve gets
  std::string real_path;          // the same with every symbolic link followed
  std::vector<std::string> argv;  // as given
};

// Finds argv[0] as a shell would: through PATH, or as a path from user.cwd where it holds a '/'.
// Errors: name_not_found (exit 127; names the nearest command that exists), refused (exit 126;
// there but not executable, or a directory), bad_input (no command at all).
Result<ResolvedCommand> find_command(const std::vector<std::string>& argv, const UserContext& user);

// What the command's own runtime needs, read only: the pyenv, venv, uv, conda, nvm, fnm, volta,
// asdf, mise, rustup, sdkman, Go or Homebrew tree that its real path, the interpreter of its #!
// line, or the program behind its shim lies in. Recognised by place under known roots, never by a
// file there: a project cannot declare itself a runtime. PathGrant::origin names it ("runtime
// pyenv 3.11.4"). What lies in a built-in group's directory of `granted` is not looked for.
std::vector<PathGrant> runtime_grants(const ResolvedCommand& command, const UserContext& user,
                                      const std::vector<PathGrant>& granted = {});

}  // namespace nono
