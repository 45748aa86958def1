#include "sandbox/linux/namespaces.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "config/base/fd.hpp"

namespace nono::sandbox {
namespace {

constexpr int all_namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS |
                               CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWCGROUP;

Done write_file(const char* path, std::string_view text) {
  UniqueFd file(::open(path, O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return failed(Step::id_map, errno, path);
  }
  return {};
}

}  // namespace

Done enter_namespaces(const NamespaceOptions& options) {
  const int flags = options.network ? all_namespaces : all_namespaces & ~CLONE_NEWNET;
  if (::unshare(flags) != 0) return failed(Step::user_namespace, errno);

  // Without `deny` an unprivileged process may not map its group: user_namespaces(7).
  if (Done done = write_file("/proc/self/setgroups", "deny"); !done) return done;
  std::string uid_map = fmt::format("{0} {0} 1", options.uid);
  if (Done done = write_file("/proc/self/uid_map", uid_map); !done) return done;
  std::string gid_map = fmt::format("{0} {0} 1", options.gid);
  return write_file("/proc/self/gid_map", gid_map);
}

}  // namespace nono::sandbox
