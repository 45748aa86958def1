#pragma once
// The Unix socket through which sessions are made: for this user alone.

#include <sys/types.h>

#include <string>

#include "config/base/error.hpp"
#include "config/base/fd.hpp"

namespace nono::admin {

// A listening socket and its file, mode 0600 from its first moment; the file goes with the object.
class AdminSocket {
 public:
  // Makes missing folders, for this user alone. A socket that a proxy left behind when it died is
  // replaced; one that is answered is refused, and so is anything that is no socket.
  static Result<AdminSocket> open(const std::string& path);
  AdminSocket(AdminSocket&& other) noexcept;
  AdminSocket& operator=(AdminSocket&&) = delete;
  ~AdminSocket();

  const std::string& path() const { return path_; }
  UniqueFd take() { return std::move(fd_); }

 private:
  AdminSocket(UniqueFd fd, std::string path, dev_t device, ino_t inode)
      : fd_(std::move(fd)), path_(std::move(path)), device_(device), inode_(inode) {}

  UniqueFd fd_;
  std::string path_;  // empty: moved from
  dev_t device_;
  ino_t inode_;
};

}  // namespace nono::admin
