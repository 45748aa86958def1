#include "sandbox/backend_choice.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "sandbox/linux/landlock.hpp"
#include "sandbox/linux/notify/notify.hpp"
#include "sandbox/linux/probe_cache.hpp"

namespace nono::sandbox {
namespace {

constexpr char field_end = '\x1f';

Result<void> build_once(Backend backend) {
  SandboxPlan plan;
  plan.backend = backend;
  plan.cwd = "/";
  plan.probe = [] { return 0; };
  Result<std::unique_ptr<SandboxChannel>> channel = start(plan);
  if (!channel) return fail(channel.error());
  if (Result<void> gone = (*channel)->go(); !gone) return gone;
  Result<ExitStatus> ended = (*channel)->wait();
  if (!ended) return fail(ended.error());
  if (ended->code == 0) return {};
  return fail(
      ErrorCode::not_supported,
      "cannot sandbox: the program in a first one ended with code " + std::to_string(ended->code));
}

[[noreturn]] void try_in_child(Backend backend, int result) {
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int fd = 0; fd < 3; ++fd) ::dup2(null.get(), fd);
  Result<void> built = build_once(backend);
  std::string text = built ? "ok" : built.error().what + field_end + built.error().fix;
  (void)::send(result, text.data(), text.size(), MSG_NOSIGNAL);
  ::_exit(0);
}

// In a process of its own, so that this one stays as it is.
Result<void> try_backend(Backend backend) {
  std::array<int, 2> ends = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail(errno_error(errno, "cannot try out the sandbox"));
  }
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  pid_t child = ::fork();
  if (child < 0) return fail(errno_error(errno, "cannot try out the sandbox"));
  if (child == 0) try_in_child(backend, theirs.get());
  theirs.reset();
  std::array<char, 4096> buffer = {};
  ssize_t size = -1;
  do {
    size = ::recv(ours.get(), buffer.data(), buffer.size(), 0);
  } while (size < 0 && errno == EINTR);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  const std::string text(buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  if (text == "ok") return {};
  const std::size_t end = std::min(text.find(field_end), text.size());
  if (end == 0) return fail(ErrorCode::not_supported, "cannot sandbox: trying it ended early");
  return fail(ErrorCode::not_supported, text.substr(0, end),
              end < text.size() ? text.substr(end + 1) : "");
}

Error neither(const Error& netns, const Error& notify) {
  Error error = notify;
  error.code = ErrorCode::not_supported;
  error.what = "netns backend: " + netns.what + "; notify backend: " + notify.what;
  error.fix = netns.fix.empty() ? notify.fix : netns.fix;
  return error;
}

}  // namespace

Remembered recall(const std::string& file) {
  if (file.empty()) return {};
  Remembered known{file, probe_identity(), {}};
  known.found = recall(file, known.identity);
  return known;
}

BackendChoice choose_backend(const BackendWish& wish) {
  if (wish.forced) return {*wish.forced, {}};
  if (wish.known.found.netns) return {};
  Result<void> tried = try_backend(Backend::netns);
  if (!tried) return {Backend::notify, tried.error()};
  remember(wish.known.file, wish.known.identity, {true, false});
  return {};
}

Result<Started> start_on_backend(SandboxPlan& plan, BackendWish wish, Ahead ahead) {
  Started started;
  for (bool again = false;; again = true) {
    started.choice = choose_backend(wish);
    plan.backend = started.choice.backend;
    plan.capture.every_port_known = wish.known.found.every_port;
    Result<std::unique_ptr<SandboxChannel>> channel = start(plan, std::move(ahead));
    if (channel) {
      started.channel = std::move(*channel);
      // Of a backend that was tried here, for this user.
      const bool tried = plan.backend == Backend::netns && !wish.forced && !plan.user;
      if (tried && started.channel->captures_every_port() && !wish.known.found.every_port) {
        remember(wish.known.file, wish.known.identity, {true, true});
      }
      return started;
    }
    Error error = channel.error();
    if (error.code == ErrorCode::bad_input || wish.forced) return fail(error);
    forget(wish.known.file);  // what was remembered holds no more
    wish.known.found = {};
    if (error.code != ErrorCode::not_supported) return fail(error);
    if (started.choice.instead) return fail(neither(*started.choice.instead, error));
    if (again) return fail(error);
  }
}

std::vector<Weakness> weaknesses_in_effect(const SandboxPlan& plan) {
  std::vector<Weakness> in_effect;
  if (plan.backend != Backend::notify) return in_effect;
  in_effect = missing_for_notify(landlock_abi());
  if (plan.network == Network::open) std::erase(in_effect, Weakness::no_landlock_net);
  if (std::count(plan.accepted.begin(), plan.accepted.end(), Weakness::host_terminals) > 0) {
    in_effect.push_back(Weakness::host_terminals);
  }
  return in_effect;
}

}  // namespace nono::sandbox
