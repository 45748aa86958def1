#include "sandbox/linux/notify/trapped_call.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <string>

#include "sandbox/linux/uapi.hpp"

namespace nono::sandbox {
namespace {

constexpr unsigned pidfd_of_thread = O_EXCL;  // PIDFD_THREAD, Linux 6.9

// The number after `field:` in a file of /proc; -1: no such.
long read_field(const std::string& path, const std::string& field, int base) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    if (word != field) continue;
    std::string value;
    if (!(file >> value)) break;
    return std::strtol(value.c_str(), nullptr, base);
  }
  return -1;
}

}  // namespace

TrappedCall::TrappedCall(int listener, const seccomp_notif& call)
    : listener_(listener),
      id_(call.id),
      thread_(static_cast<pid_t>(call.pid)),
      number_(call.data.nr) {
  std::copy_n(call.data.args, 6, arguments_);
}

std::optional<TrappedCall> TrappedCall::receive(int listener) {
  seccomp_notif call = {};
  if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) return std::nullopt;
  return TrappedCall(listener, call);
}

bool TrappedCall::waits() const {
  return ::ioctl(listener_, SECCOMP_IOCTL_NOTIF_ID_VALID, &id_) == 0;
}

std::optional<std::vector<std::byte>> TrappedCall::copy(std::uint64_t address,
                                                        std::size_t size) const {
  std::vector<std::byte> bytes(size);
  iovec local = {bytes.data(), bytes.size()};
  // The number is an address of the other process; it is never followed here.
  iovec remote = {reinterpret_cast<void*>(address), size};  // NOLINT(performance-no-int-to-ptr)
  ssize_t read = ::process_vm_readv(thread_, &local, 1, &remote, 1, 0);
  if (read < 0) return std::nullopt;
  if (static_cast<std::size_t>(read) != size) {
    errno = EFAULT;
    return std::nullopt;
  }
  return bytes;
}

// Of the thread itself, which may have descriptors of its own; before Linux 6.9 of its process.
int TrappedCall::open_process() const {
  long process = ::syscall(uapi::sys_pidfd_open, thread_, pidfd_of_thread);
  if (process >= 0 || errno != EINVAL) return static_cast<int>(process);
  long leader = read_field(fmt::format("/proc/{}/status", thread_), "Tgid:", 10);
  if (leader <= 0) {
    errno = ESRCH;
    return -1;
  }
  return static_cast<int>(::syscall(uapi::sys_pidfd_open, leader, 0));
}

UniqueFd TrappedCall::duplicate(int number) const {
  UniqueFd process(open_process());
  if (!process) return {};
  if (!waits()) {
    errno = ESRCH;
    return {};
  }
  return UniqueFd(static_cast<int>(::syscall(uapi::sys_pidfd_getfd, process.get(), number, 0)));
}

bool TrappedCall::replace(int number, const UniqueFd& ours, bool close_on_exec) const {
  seccomp_notif_addfd add = {};
  add.id = id_;
  add.flags = SECCOMP_ADDFD_FLAG_SETFD;
  add.srcfd = static_cast<std::uint32_t>(ours.get());
  add.newfd = static_cast<std::uint32_t>(number);
  add.newfd_flags = close_on_exec ? O_CLOEXEC : 0;
  return ::ioctl(listener_, SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0;
}

int TrappedCall::descriptor_flags(int number) const {
  return static_cast<int>(
      read_field(fmt::format("/proc/{}/fdinfo/{}", thread_, number), "flags:", 8));
}

bool TrappedCall::answer(int error) const {
  seccomp_notif_resp response = {};
  response.id = id_;
  response.error = -error;
  return ::ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, &response) == 0;
}

}  // namespace nono::sandbox
