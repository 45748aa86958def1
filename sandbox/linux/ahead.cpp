// L begun before there is a plan: the parent's end of it.

#include "sandbox/ahead.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <utility>

#include "sandbox/linux/channel.hpp"
#include "sandbox/linux/launcher.hpp"
#include "sandbox/linux/uapi.hpp"

namespace nono::sandbox {
namespace {

constexpr auto by_pidfd = static_cast<idtype_t>(3);  // P_PIDFD, which older headers lack
constexpr std::chrono::milliseconds patience = std::chrono::seconds(2);

}  // namespace

Ahead::Begun::Begun(Launcher launcher, UniqueFd process, PlanLine line)
    : launcher_(std::move(launcher)), process_(std::move(process)), line_(std::move(line)) {}

std::unique_ptr<Ahead::Begun> Ahead::Begun::make() {
  fill_standard_descriptors();
  std::optional<PlanLine> line = PlanLine::make();
  if (!line) return nullptr;
  AwaitedPlan awaited(*line);
  Prepared prepared(awaited.plan());
  prepared.uid = ::geteuid();
  prepared.gid = ::getegid();
  std::optional<Launcher> launcher = fork_launcher(prepared, &awaited);
  if (!launcher) return nullptr;
  UniqueFd process(static_cast<int>(::syscall(uapi::sys_pidfd_open, launcher->pid, 0)));
  if (!process) return nullptr;  // it ends, since nobody can tell it anything
  line->be_teller();
  return std::unique_ptr<Begun>(
      new Begun(std::move(*launcher), std::move(process), std::move(*line)));
}

std::optional<Launcher> Ahead::Begun::tell(const Prepared& prepared) {
  if (!line_.tell(to_bytes(prepared))) return std::nullopt;
  process_.reset();
  return std::exchange(launcher_, {});
}

// By themselves, so that L reaps I; where one of them was stopped, by force.
Ahead::Begun::~Begun() {
  if (!process_) return;
  line_.give_up();
  pollfd ends = {process_.get(), POLLIN, 0};
  ::poll(&ends, 1, static_cast<int>(patience.count()));
  ::syscall(uapi::sys_pidfd_send_signal, process_.get(), SIGKILL, nullptr, 0);
  siginfo_t ended;
  while (::waitid(by_pidfd, static_cast<id_t>(process_.get()), &ended, WEXITED) < 0 &&
         errno == EINTR) {
  }
}

Ahead::Ahead() = default;
Ahead::Ahead(Ahead&& other) noexcept = default;
Ahead& Ahead::operator=(Ahead&& other) noexcept = default;
Ahead::~Ahead() = default;

Ahead Ahead::begin() {
  Ahead ahead;
  ahead.begun_ = Begun::make();
  return ahead;
}

void Ahead::know_every_port() const {
  if (begun_) begun_->know_every_port();
}

std::unique_ptr<Ahead::Begun> Ahead::take() {
  return std::move(begun_);
}

}  // namespace nono::sandbox
