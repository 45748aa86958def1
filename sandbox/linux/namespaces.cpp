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

constexpr int joined_namespaces =
    CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET;
constexpr int children_namespaces = CLONE_NEWPID | CLONE_NEWCGROUP;

Done write_file(const char* path, std::string_view text) {
  UniqueFd file(::open(path, O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return failed(Step::id_map, errno, path);
  }
  return {};
}

}  // namespace

Done enter_namespaces(const NamespaceOptions& options) {
  int flags = joined_namespaces | (options.for_children ? children_namespaces : 0);
  if (!options.network) flags &= ~CLONE_NEWNET;
  if (::unshare(flags) != 0) return failed(Step::user_namespace, errno);

  // Without `deny` an unprivileged process may not map its group: user_namespaces(7).
  if (Done done = write_file("/proc/self/setgroups", "deny"); !done) return done;
  std::string uid_map = fmt::format("{0} {0} 1", options.uid);
  if (Done done = write_file("/proc/self/uid_map", uid_map); !done) return done;
  std::string gid_map = fmt::format("{0} {0} 1", options.gid);
  return write_file("/proc/self/gid_map", gid_map);
}

// All or none of them: setns(2).
bool join_namespaces(int other) {
  return ::setns(other, joined_namespaces) == 0;
}

Done enter_namespaces_of_children() {
  if (::unshare(children_namespaces) != 0) return failed(Step::user_namespace, errno);
  return {};
}

}  // namespace nono::sandbox
