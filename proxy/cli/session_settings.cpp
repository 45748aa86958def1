#include "proxy/cli/session_settings.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "config/base/fd.hpp"
#include "config/resolve.hpp"
#include "proxy/cli/child_environment.hpp"
#include "proxy/server.hpp"

namespace nono::cli {

Result<Settings> load_settings(const PolicyOptions& policy, const UserContext& user) {
  Settings settings;
  for (const std::string& name : policy.extends) {
    Result<Settings> base = load_profile(name, user);
    if (!base) return fail(base.error());
    merge(settings, std::move(*base));
  }
  if (policy.profile) {
    Result<Settings> profile = load_profile(*policy.profile, user);
    if (!profile) return fail(profile.error());
    merge(settings, std::move(*profile));
  }
  merge(settings, policy.settings);
  return settings;
}

Result<void> check_proxy_flags(const PolicyOptions& policy, const SessionConfig& config) {
  const Settings& flags = policy.settings;
  const char* flag = nullptr;
  if (config.network.mode != NetworkMode::filtered) {
    if (policy.audit_log) flag = "--audit-log";
    if (policy.audit_required) flag = "--audit required";
    if (flags.proxy_port) flag = "--proxy-port";
    if (!flags.upstream_ca_files.empty()) flag = "--upstream-ca";
    if (!flags.dns_servers.empty()) flag = "--dns-server";
    if (flags.upstream_proxy) flag = "--upstream-proxy";
    if (!flags.allow_private.empty()) flag = "--allow-private";
    if (!flags.deny_hosts.empty()) flag = "--deny-domain";
    if (policy.ca_validity_days) flag = "--proxy-ca-validity";
    if (flag == nullptr) return {};
    if (config.network.mode == NetworkMode::blocked) {
      return fail(ErrorCode::bad_input,
                  std::string(flag) + " and a blocked network are contradictory: no proxy runs");
    }
    return fail(ErrorCode::bad_input,
                std::string(flag) + " needs the proxy, and no flag asks for one",
                "add --network-profile, --allow-domain or --credential");
  }
  if (policy.ca_validity_days && !needs_interception(config)) {
    return fail(ErrorCode::bad_input, "--proxy-ca-validity needs something to intercept",
                "add --credential or a rule https://host/path/**");
  }
  return {};
}

std::string absolute(const std::string& path, const UserContext& user) {
  return path.starts_with('/') ? path : user.cwd + "/" + path;
}

std::string audit_log_path(const std::optional<std::string>& asked, const UserContext& user) {
  if (asked) return absolute(*asked, user);
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return fmt::format("{}/audit/{:%Y%m%dT%H%M%SZ}-{}-{}.jsonl", user.state_dir, fmt::gmtime(now),
                     ::getpid(), make_token().substr(0, 8));
}

namespace {

Result<void> make_folders(const std::string& path) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string folder = path.substr(0, slash);
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST && errno != EACCES &&
        errno != EROFS) {
      return fail(errno_error(errno, "creating " + folder));
    }
  }
  return {};
}

// No link is followed and no pipe waited for: an earlier command may have put either there.
UniqueFd open_log(const std::string& path) {
  constexpr int flags =
      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK;
  return UniqueFd(::open(path.c_str(), flags, 0600));
}

}  // namespace

Result<void> prepare_audit_log(const std::string& path) {
  UniqueFd fd = open_log(path);
  if (!fd && errno == ENOENT) {
    if (Result<void> made = make_folders(path); !made) return made;
    fd = open_log(path);
  }
  if (!fd) return fail(errno_error(errno, "the audit log " + path));
  struct stat info = {};
  if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return fail(ErrorCode::bad_input, "the audit log " + path + " is no regular file",
                "name another file with --audit-log");
  }
  return {};
}

}  // namespace nono::cli
