#include "proxy/cli/run_as.hpp"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

namespace nono::cli {

namespace {

bool is_about_the_session(std::string_view name) {
  return name.starts_with("XDG_") || name.starts_with("SUDO_") || name == "MAIL" ||
         name == "HOME" || name == "USER" || name == "LOGNAME";
}

// A user that the system does not know (of a mounted checkout) gets a home that holds nothing.
RunAs with_home(unsigned uid, unsigned gid) {
  RunAs as{uid, gid, "/tmp", ""};
  const passwd* entry = ::getpwuid(uid);  // NOLINT(concurrency-mt-unsafe): before any thread
  if (entry == nullptr) return as;
  as.gid = entry->pw_gid;
  as.name = entry->pw_name;
  if (entry->pw_dir != nullptr && entry->pw_dir[0] == '/') as.home = entry->pw_dir;
  return as;
}

}  // namespace

Result<std::optional<RunAs>> resolve_run_as(const std::string& text, const UserContext& user) {
  if (text.empty()) return std::optional<RunAs>();
  unsigned uid = 0;
  unsigned gid = 0;
  if (text == "owner") {
    struct stat info = {};
    if (::stat(user.cwd.c_str(), &info) != 0) return fail(errno_error(errno, user.cwd));
    uid = info.st_uid;
    gid = info.st_gid;
  } else {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), uid);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    if (!whole || uid == static_cast<unsigned>(-1)) {
      return fail(ErrorCode::bad_input, "--user takes a number or owner, not '" + text + "'",
                  "`id -u NAME` prints a user's number");
    }
    gid = uid;
  }
  if (uid == user.uid) return std::optional<RunAs>();
  if (user.uid != 0) {
    return fail(ErrorCode::bad_input, "--user: only root can run a command as another user",
                "run it as that user, or as root");
  }
  return std::optional<RunAs>(with_home(uid, gid));
}

UserContext context_of(const RunAs& as, const UserContext& user) {
  UserContext other = user;
  other.uid = as.uid;
  other.gid = as.gid;
  other.home = as.home;
  other.env = [env = user.env, as](std::string_view name) -> std::optional<std::string> {
    if (name == "HOME") return as.home;
    if (name == "USER" || name == "LOGNAME") return as.name;
    return is_about_the_session(name) ? std::nullopt : env(name);
  };
  return other;
}

std::vector<std::string> environment_of(const RunAs& as, std::vector<std::string> parent) {
  std::erase_if(parent, [](const std::string& entry) {
    return is_about_the_session(std::string_view(entry).substr(0, entry.find('=')));
  });
  parent.push_back("HOME=" + as.home);
  if (!as.name.empty()) {
    parent.push_back("USER=" + as.name);
    parent.push_back("LOGNAME=" + as.name);
  }
  return parent;
}

std::string foreign_directory_hint(const UserContext& user) {
  struct stat info = {};
  if (user.uid != 0 || ::stat(user.cwd.c_str(), &info) != 0 || info.st_uid == 0) return "";
  if ((info.st_mode & S_IWOTH) != 0) return "";
  return user.cwd + " belongs to user " + std::to_string(info.st_uid) +
         ", and root without capabilities cannot write there; --user owner runs the command as "
         "that user";
}

}  // namespace nono::cli
