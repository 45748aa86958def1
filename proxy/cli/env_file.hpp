#pragma once
// --env-file: the variables that a job needs to use a running proxy, in the form that it reads.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "config/base/error.hpp"
#include "config/base/fd.hpp"
#include "proxy/cli/options.hpp"

namespace nono::cli {

using Variables = std::map<std::string, std::string>;

// shell: `export NAME='value'` lines; github: the lines that $GITHUB_ENV takes; json: one object.
std::string format_env_file(const Variables& variables, EnvFileFormat format);

// Lines for stdout that keep a job's log from showing the phantoms and the token among `secrets`.
// Before the github file is written.
std::string github_masks(const std::vector<std::string>& secrets);

// A file that is ready but not there yet: what can go wrong has gone right. Without put_in_place()
// nothing of it stays.
class StagedEnvFile {
 public:
  static Result<StagedEnvFile> make(const std::string& path, EnvFileFormat format,
                                    const Variables& variables);
  StagedEnvFile(StagedEnvFile&& other) noexcept;
  StagedEnvFile& operator=(StagedEnvFile&& other) = delete;
  ~StagedEnvFile();
  Result<void> put_in_place();

 private:
  StagedEnvFile(std::string path, std::string text)
      : path_(std::move(path)), text_(std::move(text)) {}
  std::string path_;
  std::string text_;    // to append, of a github file
  UniqueFd append_to_;  // that file; empty: `beside_` takes its place
  std::string beside_;
};

// shell and json replace the file at once (written beside it with mode 0600, then renamed); github
// appends to the file that is there and leaves its mode alone. Errors name the file.
Result<void> write_env_file(const std::string& path, EnvFileFormat format,
                            const Variables& variables);

}  // namespace nono::cli
