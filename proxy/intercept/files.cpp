#include "proxy/intercept/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "config/base/fd.hpp"

namespace nono::intercept {

namespace {

tl::unexpected<Error> unreadable(const std::string& path, const char* why) {
  return fail(ErrorCode::bad_input, "cannot read " + path + ": " + why);
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  // Non-blocking, so that a FIFO given by mistake does not hang us.
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return unreadable(path, std::strerror(errno));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return unreadable(path, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return unreadable(path, "not a regular file");
  if (static_cast<std::size_t>(status.st_size) > bytes_max) return unreadable(path, "too large");
  std::string content(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t filled = 0;
  while (filled < content.size()) {
    const ssize_t count = ::read(file.get(), content.data() + filled, content.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return unreadable(path, std::strerror(errno));
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  content.resize(filled);
  return content;
}

}  // namespace nono::intercept
