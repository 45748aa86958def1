#pragma once
// Paths as users write them: variables, `~`, relative ones, and their canonical form.

#include <string>
#include <string_view>
#include <vector>

#include "config/base/error.hpp"
#include "config/profile.hpp"

namespace nono {

// Replaces `~`, $HOME, $WORKDIR, $TMPDIR, $UID, $XDG_*, $NONO_CONFIG and any other $NAME or ${NAME}
// of the environment. Errors (bad_input): a variable that is not set, an XDG value that is
// relative, a
// `@token`.
Result<std::string> expand_variables(std::string_view text, const UserContext& user);

// expand_variables, then absolute (from user.cwd), without ".", ".." or doubled slashes.
Result<std::string> expand_path(std::string_view text, const UserContext& user);

// The path with symbolic links followed as far as it exists; what does not exist is appended as it
// is.
std::string canonical_path(const std::string& path);

// Every symbolic link on the way to `path` (absolute), each as the canonical path of its directory
// and its name. Whoever can replace one of them decides what `path` is.
std::vector<std::string> links_on_the_way(const std::string& path);

// Absolute and without ".", ".." and doubled slashes, by text alone.
std::string normal_path(std::string_view path, std::string_view base);

// True where `path` is `tree` or lies below it. Both absolute and normal.
bool lies_in(std::string_view path, std::string_view tree);

// The directory part ("/" for "/x") and the last segment.
std::string parent_path(std::string_view path);
std::string_view last_segment(std::string_view path);

}  // namespace nono
