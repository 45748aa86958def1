// What Seatbelt enforces here, found out from inside a sandbox.

#include "sandbox/self_check.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "sandbox/plan.hpp"

namespace nono::sandbox {
namespace {

// A listener that no sandbox may reach.
UniqueFd listen_somewhere(sockaddr_in& address) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM, 0));
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* generic = static_cast<sockaddr*>(static_cast<void*>(&address));
  socklen_t size = sizeof address;
  if (::bind(listener.get(), generic, size) != 0 || ::listen(listener.get(), 1) != 0) return {};
  ::getsockname(listener.get(), generic, &size);
  return listener;
}

bool connects(const sockaddr_in& address) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM, 0));
  const auto* generic = static_cast<const sockaddr*>(static_cast<const void*>(&address));
  return socket && ::connect(socket.get(), generic, sizeof address) == 0;
}

bool opens(const std::string& path, int flags) {
  return UniqueFd(::open(path.c_str(), flags)).valid();
}

// One bit for each escape that succeeded inside.
constexpr int reached_network = 1;
constexpr int read_file = 2;
constexpr int wrote_file = 4;

CheckResult judged(std::string name, int escaped, int bit, const std::string& problem) {
  CheckResult check;
  check.name = std::move(name);
  check.ok = problem.empty() && (escaped & bit) == 0;
  check.detail = !problem.empty() ? problem : check.ok ? "refused" : "it succeeded";
  if (!check.ok) check.remedy = "do not run untrusted programs here, and report it";
  return check;
}

}  // namespace

Result<SelfCheck> self_check(Backend /*of Linux*/) {
  SelfCheck found;
  utsname system = {};
  if (::uname(&system) == 0) found.kernel = system.release;
  sockaddr_in address = {};
  const UniqueFd listener = listen_somewhere(address);
  std::string file = "/private/var/tmp/nono-check-XXXXXX";
  const UniqueFd made(::mkstemp(file.data()));
  if (!listener || !made) return fail(errno_error(errno, "preparing the self-check"));

  SandboxPlan plan;
  plan.network = Network::blocked;
  plan.cwd = "/";
  plan.probe = [&] {
    return (connects(address) ? reached_network : 0) | (opens(file, O_RDONLY) ? read_file : 0) |
           (opens(file, O_WRONLY) ? wrote_file : 0);
  };
  std::string problem;
  int escaped = 0;
  Result<std::unique_ptr<SandboxChannel>> channel = start(plan);
  if (channel) {
    Result<void> gone = (*channel)->go();
    Result<ExitStatus> status = (*channel)->wait();
    if (!status) problem = status.error().what;
    if (status) escaped = status->code;
    (void)gone;
  } else {
    problem = channel.error().what;
  }
  ::unlink(file.c_str());
  found.checks.push_back(judged("loopback cannot be reached from a sandbox without network",
                                escaped, reached_network, problem));
  found.checks.push_back(
      judged("a file that is not granted cannot be read", escaped, read_file, problem));
  found.checks.push_back(
      judged("a file that is not granted cannot be written", escaped, wrote_file, problem));
  found.can_enforce = true;
  for (const CheckResult& check : found.checks) found.can_enforce = found.can_enforce && check.ok;
  return found;
}

Result<CheckResult> check_capture_of_every_port() {
  return CheckResult{"capture of every port", false, "macOS has nothing of the kind", ""};
}

}  // namespace nono::sandbox
