#pragma once
// --env-file: the variables that a job needs to use a running proxy, in the form that it reads.

#include <map>
#include <string>

#include "config/base/error.hpp"
#include "proxy/cli/options.hpp"

namespace nono::cli {

using Variables = std::map<std::string, std::string>;

// shell: `export NAME='value'` lines; github: the lines that $GITHUB_ENV takes; json: one object.
std::string format_env_file(const Variables& variables, EnvFileFormat format);

// shell and json replace the file at once (written beside it with mode 0600, then renamed); github
// appends to the file that is there and leaves its mode alone. Errors name the file.
Result<void> write_env_file(const std::string& path, EnvFileFormat format,
                            const Variables& variables);

}  // namespace nono::cli
