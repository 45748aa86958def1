#include "proxy/cli/env_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "config/base/fd.hpp"
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

Result<void> append(const std::string& path, std::string_view text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!fd) return fail(errno_error(errno, "opening " + path));
  return write_all(fd, text, path);
}

Result<void> replace(const std::string& path, std::string_view text) {
  const std::string beside = path + ".nono-" + make_token().substr(0, 16);
  {
    const UniqueFd fd(
        ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return fail(errno_error(errno, "creating a file beside " + path));
    Result<void> written = write_all(fd, text, path);
    if (!written) {
      ::unlink(beside.c_str());
      return written;
    }
  }
  if (::rename(beside.c_str(), path.c_str()) != 0) {
    const int saved_errno = errno;
    ::unlink(beside.c_str());
    return fail(errno_error(saved_errno, "replacing " + path));
  }
  return {};
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

Result<void> write_env_file(const std::string& path, EnvFileFormat format,
                            const Variables& variables) {
  for (const auto& [name, value] : variables) {
    if (value.find('\n') != std::string::npos) {
      return fail(ErrorCode::bad_input, "the value of " + name + " has a line break");
    }
  }
  const std::string text = format_env_file(variables, format);
  return format == EnvFileFormat::github ? append(path, text) : replace(path, text);
}

}  // namespace nono::cli
