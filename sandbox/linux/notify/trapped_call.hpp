#pragma once
// One system call of the command that the filter has stopped, and what a supervisor may do with it.
// See seccomp_unotify(2).

#include <linux/seccomp.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "config/base/fd.hpp"

namespace nono::sandbox {

class TrappedCall {
 public:
  // The next one; empty where its thread is gone already.
  static std::optional<TrappedCall> receive(int listener);

  int number() const { return number_; }
  int socket_number() const { return static_cast<int>(arguments_[0]); }
  std::uint64_t argument(unsigned index) const { return arguments_[index]; }

  // Whether the thread still waits in this call: asked after each look at something that is named
  // by its id, which another thread may have by now.
  bool waits() const;

  // What lies at that place in the command's memory, as it is now. Empty: it cannot be read, errno
  // says why. Only the copy may be judged, since the command may change its own at any time.
  std::optional<std::vector<std::byte>> copy(std::uint64_t address, std::size_t size) const;

  // A duplicate of the descriptor that has this number in the command now. Not valid: errno.
  UniqueFd duplicate(int number) const;

  // Puts `ours` in place of the command's descriptor of that number.
  bool replace(int number, const UniqueFd& ours, bool close_on_exec) const;

  // F_GETFL-like flags of the command's descriptor, with O_CLOEXEC; -1: there is none.
  int descriptor_flags(int number) const;

  // Ends the call: 0, or an errno. False when its thread was gone.
  bool answer(int error) const;

 private:
  TrappedCall(int listener, const seccomp_notif& call);
  int open_process() const;

  int listener_;
  std::uint64_t id_;
  pid_t thread_;
  int number_;
  std::uint64_t arguments_[6];
};

}  // namespace nono::sandbox
