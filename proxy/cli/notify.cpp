#include "proxy/cli/notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "config/base/fd.hpp"

namespace nono::cli {

void notify_systemd(std::string_view state, const EnvLookup& env) {
  const std::string path = env("NOTIFY_SOCKET").value_or("");
  sockaddr_un address = {};
  const bool usable = (path.starts_with('/') || path.starts_with('@')) && path.size() > 1 &&
                      path.size() < sizeof address.sun_path;
  if (!usable) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // the abstract namespace
  const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  // Who waits for it has a timeout of its own; there is nobody to tell.
  (void)::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address), size);
}

}  // namespace nono::cli
