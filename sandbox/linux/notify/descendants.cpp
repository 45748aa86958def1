#include "sandbox/linux/notify/descendants.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/base/fd.hpp"
#include "sandbox/linux/landlock.hpp"
#include "sandbox/linux/uapi.hpp"

namespace nono::sandbox {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds patience{5};
constexpr int abi_with_scopes = 6;

// The parent of a process, as /proc tells: after the name, which may hold anything, come the state
// and that.
pid_t parent_of(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string text;
  std::getline(file, text, '\0');
  std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos || name_end + 4 >= text.size()) return 0;
  return static_cast<pid_t>(std::atol(text.c_str() + name_end + 4));
}

std::vector<pid_t> descendants() {
  std::unordered_multimap<pid_t, pid_t> children;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    children.emplace(parent_of(name), static_cast<pid_t>(std::atol(name.c_str())));
  }
  std::vector<pid_t> found = {::getpid()};
  for (std::size_t i = 0; i < found.size(); ++i) {
    auto [first, last] = children.equal_range(found[i]);
    for (auto child = first; child != last; ++child) found.push_back(child->second);
  }
  found.erase(found.begin());
  return found;
}

bool is_reachable(pid_t pid) {
  return ::kill(pid, 0) == 0 || errno != EPERM;
}

// True when there is no child left.
bool collect() {
  for (;;) {
    pid_t pid = ::waitpid(-1, nullptr, WNOHANG);
    if (pid == 0) return false;
    if (pid < 0 && errno == ECHILD) return true;
  }
}

}  // namespace

Done adopt_orphans() {
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return failed(Step::start, errno);
  return {};
}

std::optional<SignalScope> SignalScope::enter(pid_t outsider) {
  if (landlock_abi() < abi_with_scopes) return std::nullopt;
  uapi::LandlockRulesetAttr attr = {};
  attr.scoped = uapi::scope_signal;
  UniqueFd ruleset(
      static_cast<int>(::syscall(uapi::sys_landlock_create_ruleset, &attr, sizeof attr, 0)));
  if (!ruleset || ::kill(outsider, 0) != 0 ||
      ::syscall(uapi::sys_landlock_restrict_self, ruleset.get(), 0) != 0 ||
      is_reachable(outsider)) {
    return std::nullopt;
  }
  return SignalScope();
}

void end_descendants(const std::optional<SignalScope>& scope) {
  const Clock::time_point deadline = Clock::now() + patience;
  while (!collect() && Clock::now() < deadline) {
    if (scope && !is_reachable(::getppid())) {
      // All at once, so that none can fork away. It reaches nobody outside the scope.
      ::kill(-1, SIGKILL);
    } else {
      for (pid_t pid : descendants()) ::kill(pid, SIGKILL);
    }
    ::poll(nullptr, 0, 1);  // while they end
  }
}

}  // namespace nono::sandbox
