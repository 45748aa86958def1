#include "proxy/cli/admin_place.hpp"

#include <sys/stat.h>

#include "proxy/cli/session_settings.hpp"

namespace nono::cli {

namespace {

std::string usual_folder(const UserContext& user) {
  const std::string runtime = user.env("XDG_RUNTIME_DIR").value_or("");
  struct stat info = {};
  const bool usable = runtime.starts_with('/') && ::stat(runtime.c_str(), &info) == 0 &&
                      S_ISDIR(info.st_mode) && info.st_uid == user.uid;
  return usable ? runtime + "/nono" : user.state_dir;
}

}  // namespace

std::string admin_socket_path(const std::optional<std::string>& asked, const UserContext& user) {
  return asked ? absolute(*asked, user) : usual_folder(user) + "/admin.sock";
}

}  // namespace nono::cli
