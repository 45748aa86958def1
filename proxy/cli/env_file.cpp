#include "proxy/cli/env_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "proxy/server.hpp"

namespace nono::cli {

namespace {

std::string shell_quoted(const std::string& value) {
  std::string quoted = "'";
  for (const char c : value) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

Result<void> write_all(const UniqueFd& fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(errno_error(errno, "writing " + path));
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

// A file beside `path` with `text` in it, readable by us alone.
Result<std::string> write_beside(const std::string& path, std::string_view text) {
  std::string beside = path + ".nono-" + make_token().substr(0, 16);
  const UniqueFd fd(
      ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail(errno_error(errno, "creating a file beside " + path));
  if (Result<void> written = write_all(fd, text, path); !written) {
    ::unlink(beside.c_str());
    return fail(written.error());
  }
  return beside;
}

}  // namespace

std::string format_env_file(const Variables& variables, EnvFileFormat format) {
  if (format == EnvFileFormat::json) return nlohmann::json(variables).dump(2) + "\n";
  std::string text;
  for (const auto& [name, value] : variables) {
    text += format == EnvFileFormat::shell ? "export " + name + "=" + shell_quoted(value) + "\n"
                                           : name + "=" + value + "\n";
  }
  return text;
}

std::string github_masks(const std::vector<std::string>& secrets) {
  std::string lines;
  for (const std::string& secret : secrets) lines += "::add-mask::" + secret + "\n";
  return lines;
}

Result<StagedEnvFile> StagedEnvFile::make(const std::string& path, EnvFileFormat format,
                                          const Variables& variables) {
  for (const auto& [name, value] : variables) {
    if (value.find('\n') != std::string::npos) {
      return fail(ErrorCode::bad_input, "the value of " + name + " has a line break");
    }
  }
  StagedEnvFile staged(path, format_env_file(variables, format));
  if (format == EnvFileFormat::github) {
    staged.append_to_ =
        UniqueFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (!staged.append_to_) return fail(errno_error(errno, "opening " + path));
    return staged;
  }
  Result<std::string> beside = write_beside(path, staged.text_);
  if (!beside) return fail(beside.error());
  staged.beside_ = std::move(*beside);
  return staged;
}

StagedEnvFile::StagedEnvFile(StagedEnvFile&& other) noexcept
    : path_(std::move(other.path_)),
      text_(std::move(other.text_)),
      append_to_(std::move(other.append_to_)),
      beside_(std::exchange(other.beside_, {})) {}

StagedEnvFile::~StagedEnvFile() {
  if (!beside_.empty()) ::unlink(beside_.c_str());
}

Result<void> StagedEnvFile::put_in_place() {
  if (append_to_) return write_all(append_to_, text_, path_);
  if (::rename(beside_.c_str(), path_.c_str()) != 0) {
    return fail(errno_error(errno, "replacing " + path_));
  }
  beside_.clear();
  return {};
}

Result<void> write_env_file(const std::string& path, EnvFileFormat format,
                            const Variables& variables) {
  Result<StagedEnvFile> staged = StagedEnvFile::make(path, format, variables);
  if (!staged) return fail(staged.error());
  return staged->put_in_place();
}

}  // namespace nono::cli
