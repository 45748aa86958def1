#pragma once
// A directory for the command's temporary files, named by TMPDIR, gone after the run: what a
// private /tmp is where there is a mount namespace.

#include <string>
#include <utility>

#include "config/base/error.hpp"

namespace nono::sandbox {

// Only this user may enter it. The canonical path.
Result<std::string> make_private_tmp();

// With all that is in it, whatever its permissions; follows no link. Only once nothing runs there.
void remove_private_tmp(const std::string& path);

// Removes it at its own end, unless it was moved from. (Processes that are forked meanwhile leave
// by _exit, so that theirs do not.)
class PrivateTmp {
 public:
  PrivateTmp() = default;
  explicit PrivateTmp(std::string path) : path_(std::move(path)) {}
  PrivateTmp(PrivateTmp&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  PrivateTmp& operator=(PrivateTmp&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  PrivateTmp(const PrivateTmp&) = delete;
  PrivateTmp& operator=(const PrivateTmp&) = delete;
  ~PrivateTmp() { remove(); }

  const std::string& path() const { return path_; }  // empty: there is none
  void remove() {
    if (!path_.empty()) remove_private_tmp(std::exchange(path_, {}));
  }

 private:
  std::string path_;
};

}  // namespace nono::sandbox
