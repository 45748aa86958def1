// Listening sockets, bound before anything else starts so that a taken port is a start-up error.

#include "proxy/listen.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "proxy/net/tcp_stream.hpp"

namespace nono {

namespace {

constexpr int backlog = 4096;
constexpr mode_t own_mode = 0600;  // of a Unix socket's file

// The permission bits of a Unix socket's file; none where there is no such socket.
std::optional<mode_t> mode_of(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return std::nullopt;
  return status.st_mode & 07777;
}

Error bind_error(int saved_errno, const std::string& where) {
  Error error = errno_error(saved_errno, "cannot listen on " + where);
  if (saved_errno == EADDRINUSE) {
    error.what = where + " is in use by another process";
    error.fix = "choose another port, or 0 for any free one";
    if (where.starts_with("unix:")) error.fix = "name another path, or remove the file";
  } else if (saved_errno == EACCES) {
    error.fix = "ports below 1024 need root; choose a higher one";
  } else if (saved_errno == EADDRNOTAVAIL) {
    error.fix = "the address must be one of this machine's";
  }
  return error;
}

socklen_t to_sockaddr(const IpAddress& address, std::uint16_t port, sockaddr_storage& storage) {
  std::memset(&storage, 0, sizeof storage);
  if (address.is_v4()) {
    auto* in = reinterpret_cast<sockaddr_in*>(&storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    const auto bytes = address.v4_bytes();
    std::memcpy(&in->sin_addr, bytes.data(), bytes.size());
    return sizeof(sockaddr_in);
  }
  auto* in6 = reinterpret_cast<sockaddr_in6*>(&storage);
  in6->sin6_family = AF_INET6;
  in6->sin6_port = htons(port);
  std::memcpy(&in6->sin6_addr, address.bytes().data(), address.bytes().size());
  return sizeof(sockaddr_in6);
}

}  // namespace

Result<UniqueFd> listen_tcp(const IpAddress& address, std::uint16_t port, bool reuse_port) {
  const std::string bracketed =
      address.is_v4() ? address.to_string() : "[" + address.to_string() + "]";
  const std::string where = bracketed + ":" + std::to_string(port);
  const int family = address.is_v4() ? AF_INET : AF_INET6;
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail(errno_error(errno, "cannot make a socket for " + where));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (reuse_port) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (classify(address) == AddressClass::loopback) use_cubic(fd.get());
  sockaddr_storage storage;
  const socklen_t size = to_sockaddr(address, port, storage);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&storage), size) != 0 ||
      ::listen(fd.get(), backlog) != 0) {
    return fail(bind_error(errno, where));
  }
  return fd;
}

Result<UniqueFd> listen_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::bad_input, "unix:" + path + " is no usable socket path",
                "a path of 1 to 107 bytes");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail(errno_error(errno, "cannot make a socket for unix:" + path));
  const auto* raw = reinterpret_cast<const sockaddr*>(&address);
  // A socket file that nobody answers on is left from an earlier run. (Nobody answers on a file
  // that is no socket either: that one stays.)
  if (::connect(fd.get(), raw, sizeof address) != 0 && errno == ECONNREFUSED && mode_of(path)) {
    ::unlink(path.c_str());
  }
  UniqueFd fresh(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fresh) return fail(errno_error(errno, "cannot make a socket for unix:" + path));
  // The file is made with the mode of the socket's own inode: there is no moment at which it is
  // wider, and the umask, which is the whole process's, need not be touched.
  ::fchmod(fresh.get(), own_mode);
  if (::bind(fresh.get(), raw, sizeof address) != 0) return fail(bind_error(errno, "unix:" + path));
  if (mode_of(path) != own_mode) {
    ::unlink(path.c_str());
    return fail(ErrorCode::io, "unix:" + path + " cannot be kept to this user",
                "name a path in a file system that keeps modes, and a umask that leaves 0600");
  }
  if (::listen(fresh.get(), backlog) != 0) return fail(bind_error(errno, "unix:" + path));
  return fresh;
}

void remove_socket_file(const std::string& place) {
  constexpr std::string_view scheme = "unix:";
  if (place.starts_with(scheme)) ::unlink(place.c_str() + scheme.size());
}

Result<HostPort> local_address(const UniqueFd& socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return fail(errno_error(errno, "getsockname"));
  }
  if (storage.ss_family == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(&storage);
    std::array<std::uint8_t, 4> bytes;
    std::memcpy(bytes.data(), &in->sin_addr, bytes.size());
    return HostPort{IpAddress::v4(bytes), Port(ntohs(in->sin_port))};
  }
  if (storage.ss_family == AF_INET6) {
    const auto* in6 = reinterpret_cast<const sockaddr_in6*>(&storage);
    std::array<std::uint8_t, 16> bytes;
    std::memcpy(bytes.data(), &in6->sin6_addr, bytes.size());
    return HostPort{IpAddress::v6(bytes), Port(ntohs(in6->sin6_port))};
  }
  return fail(ErrorCode::bad_input, "a Unix socket has no port");
}

Result<std::vector<UniqueFd>> listen_for_threads(UniqueFd socket, std::size_t threads) {
  std::vector<UniqueFd> all;
  all.push_back(std::move(socket));
  int reuse = 0;
  socklen_t size = sizeof reuse;
  const bool spreads =
      ::getsockopt(all.front().get(), SOL_SOCKET, SO_REUSEPORT, &reuse, &size) == 0 && reuse != 0;
  const auto address =
      spreads ? local_address(all.front()) : Result<HostPort>(fail(ErrorCode::io, {}));
  while (all.size() < threads) {
    if (address) {
      auto another = listen_tcp(address->host.address(), address->port.value(), true);
      if (!another) return fail(another.error());
      all.push_back(std::move(*another));
      continue;
    }
    UniqueFd copy(::dup(all.front().get()));
    if (!copy) return fail(errno_error(errno, "cannot share a listening socket"));
    all.push_back(std::move(copy));
  }
  return all;
}

}  // namespace nono
