#include "proxy/admin/admin_socket.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

namespace nono::admin {

namespace {

constexpr int backlog = 64;
constexpr mode_t own_mode = 0600;

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

Error other_name(std::string what) {
  return Error{Side::self, ErrorCode::io, std::move(what), "name another path with --admin-socket"};
}

// Makes what is missing of a folder, each part for this user alone.
Result<void> make_folder(const std::string& folder) {
  std::filesystem::path so_far;
  for (const auto& part : std::filesystem::path(folder)) {
    so_far /= part;
    if (::mkdir(so_far.c_str(), 0700) == 0 || errno == EEXIST) continue;
    const int saved = errno;
    struct stat status {};
    if (::stat(so_far.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) continue;
    return fail(errno_error(saved, "cannot make the folder " + so_far.string()));
  }
  return {};
}

// Held while a socket is looked at and replaced, so that two proxies that start at once do not take
// each other's for a dead one's. On the folder itself: nothing is left behind.
Result<UniqueFd> lock_folder(const std::string& folder) {
  UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail(errno_error(errno, "cannot open the folder " + folder));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(ErrorCode::io, "another process is making a socket in " + folder + " just now",
                "try again");
  }
  return fd;
}

// Makes way for a socket at `path`, which must be free or a dead proxy's.
Result<void> clear_the_way(const std::string& path, const sockaddr_un& address) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return fail(errno_error(errno, "cannot look at " + path));
  }
  if (!S_ISSOCK(status.st_mode)) {
    return fail(other_name(path + " is there already and is no socket"));
  }
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return fail(errno_error(errno, "cannot make a socket"));
  const auto* raw = reinterpret_cast<const sockaddr*>(&address);
  const bool answered = ::connect(probe.get(), raw, sizeof address) == 0 || errno == EAGAIN;
  if (answered) return fail(other_name("another proxy is using the admin socket " + path));
  if (errno != ECONNREFUSED) {
    return fail(other_name("the admin socket " + path +
                           " belongs to something else: " + std::strerror(errno)));
  }
  if (::unlink(path.c_str()) != 0) {
    return fail(errno_error(
        errno, "cannot replace the admin socket " + path + ", which a proxy left behind"));
  }
  return {};
}

}  // namespace

Result<AdminSocket> AdminSocket::open(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::bad_input, "the admin socket's path must have 1 to 107 bytes: " + path,
                "name a shorter one with --admin-socket");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const std::string folder = folder_of(path);
  if (auto made = make_folder(folder); !made) return fail(made.error());
  auto lock = lock_folder(folder);
  if (!lock) return fail(lock.error());
  if (auto free = clear_the_way(path, address); !free) return fail(free.error());

  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail(errno_error(errno, "cannot make a socket"));
  // The file is made with the mode of the socket's own inode: there is no moment at which it is
  // wider, and the process's umask need not be touched.
  ::fchmod(fd.get(), own_mode);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail(errno_error(errno, "cannot make the admin socket " + path));
  }
  struct stat status {};
  const bool own = ::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
  if (!own || (status.st_mode & 0777) != own_mode || ::listen(fd.get(), backlog) != 0) {
    ::unlink(path.c_str());
    return fail(other_name("the admin socket " + path + " cannot be kept to this user"));
  }
  return AdminSocket(std::move(fd), path, status.st_dev, status.st_ino);
}

AdminSocket::AdminSocket(AdminSocket&& other) noexcept
    : fd_(std::move(other.fd_)),
      path_(std::exchange(other.path_, {})),
      device_(other.device_),
      inode_(other.inode_) {}

AdminSocket::~AdminSocket() {
  if (path_.empty()) return;
  struct stat status {};
  const bool ours =
      ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
  if (ours) ::unlink(path_.c_str());
}

}  // namespace nono::admin
