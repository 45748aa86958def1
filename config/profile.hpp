#pragma once
// Profiles: finding, reading and inheriting them. A profile is JSON (comments and trailing commas
// allowed) or YAML; both go through one schema (schema.hpp), so both get the same errors.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/error.hpp"
#include "config/config.hpp"

namespace nono {

// Looks up a variable of nono's own environment.
using EnvLookup = std::function<std::optional<std::string>(std::string_view name)>;

// Who runs nono, and from where: all that configuration needs to know of the process.
struct UserContext {
  std::string home;  // absolute
  std::string cwd;   // absolute, canonical
  unsigned uid = 0;
  unsigned gid = 0;
  std::string config_dir;  // $XDG_CONFIG_HOME/nono
  std::string state_dir;   // $XDG_STATE_HOME/nono
  EnvLookup env;
};

// Of the real process. Errors (bad_input): HOME or an XDG variable that is relative, no HOME at
// all.
Result<UserContext> current_user_context();

// A profile by name (user directory, then built in) or by path: a value with a '/' in it or one
// that ends in .json, .jsonc, .yaml or .yml is a path. `extends` is followed, at most ten deep. All
// that is wrong with a file is in one Error (bad_input), a line for each as "FILE:LINE:COLUMN:
// what".
Result<Settings> load_profile(std::string_view name_or_path, const UserContext& user);

// The same for a profile text, as it would be read from `file`; `extends` works as in a file.
Result<Settings> parse_profile(std::string_view text, const std::string& file,
                               const UserContext& user);

// Built-in names and those in the user's directory, sorted, each once.
std::vector<std::string> profile_names(const UserContext& user);

}  // namespace nono
