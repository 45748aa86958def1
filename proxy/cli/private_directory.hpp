#pragma once
// A directory of this run's own, mode 0700, removed with what is in it when the object goes.

#include <optional>
#include <string>

#include "config/base/error.hpp"
#include "config/base/fd.hpp"
#include "config/profile.hpp"

namespace nono::cli {

class PrivateDirectory {
 public:
  // Below $XDG_RUNTIME_DIR/nono where that is the user's own, else below nono's own state, else
  // below /tmp.
  static Result<PrivateDirectory> make(const UserContext& user);
  PrivateDirectory(PrivateDirectory&& other) noexcept
      : path_(std::move(other.path_)), uid_(other.uid_), gid_(other.gid_) {
    other.path_.clear();
  }
  PrivateDirectory& operator=(PrivateDirectory&&) = delete;
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;
  ~PrivateDirectory();

  const std::string& path() const { return path_; }
  // A new file in it, readable by its owner only, open for writing.
  Result<UniqueFd> create(const std::string& name) const;

 private:
  static Result<PrivateDirectory> give(std::string path, const UserContext& user);
  explicit PrivateDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
  unsigned uid_ = 0, gid_ = 0;  // whom it is for
};

}  // namespace nono::cli
