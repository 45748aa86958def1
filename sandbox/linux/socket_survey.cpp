#include "sandbox/linux/socket_survey.hpp"

#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

#include "sandbox/linux/paths.hpp"

namespace nono::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t entries_max = 500'000;

// Trees of programs and of the kernel, in which no service makes a socket.
constexpr std::array<std::string_view, 9> program_trees = {"/usr", "/etc", "/bin",  "/sbin", "/nix",
                                                           "/dev", "/sys", "/proc", "/lib"};

bool holds_programs(std::string_view path) {
  std::string_view top = path.substr(0, path.find('/', 1));
  return top.starts_with("/lib") ||
         std::find(program_trees.begin(), program_trees.end(), top) != program_trees.end();
}

bool is_socket(const std::string& path) {
  struct stat info = {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
}

std::string home_of(const SandboxPlan& plan) {
  for (const std::string& entry : plan.env) {
    if (entry.starts_with("HOME=/")) return entry.substr(5);
  }
  return {};
}

class Survey {
 public:
  explicit Survey(const SandboxPlan& plan) : plan_(plan) {}

  Result<SocketSurvey> run(int landlock_abi) {
    if (plan_.network == Network::open && landlock_abi < 6) {
      return fail(ErrorCode::not_supported,
                  "Unix sockets with an open network need Linux 6.12 or newer (Landlock ABI 6), to "
                  "keep the host's abstract ones out of reach",
                  "close the network with --block-net or --allow-domain, or do without");
    }
    bool told_apart = landlock_abi >= 9;
    if (!told_apart) {
      if (Result<void> narrow = check_grants(); !narrow) return fail(narrow.error());
    }
    mask_trees();
    if (Result<void> found = find_bound(); !found) return fail(found.error());
    for (const FsGrant& grant : plan_.grants) {
      if (told_apart || !grant.directory || holds_programs(grant.path)) continue;
      if (Result<void> searched = search(grant.path); !searched) return fail(searched.error());
    }
    return std::move(survey_);
  }

 private:
  bool is_granted(const std::string& socket) const {
    return std::any_of(plan_.grants.begin(), plan_.grants.end(),
                       [&](const FsGrant& grant) { return grant.socket && grant.path == socket; });
  }

  // Where services and programs of the user's make their sockets, at any time.
  Result<void> check_grants() const {
    const std::string home = home_of(plan_);
    std::vector<std::string> places = {"/run", "/var/lib", "/var/tmp", "/tmp", "/dev/shm"};
    if (!home.empty()) places.push_back(home);
    for (const FsGrant& grant : plan_.grants) {
      if (!grant.directory || grant.despite_deny || is_provided(grant.path)) continue;
      bool around = std::any_of(places.begin(), places.end(), [&](const std::string& place) {
        return is_at_or_below(place, grant.path);
      });
      if (!around && !is_at_or_below(grant.path, "/run")) continue;
      return fail(
          ErrorCode::not_supported,
          fmt::format("'{}' cannot be granted together with Unix sockets: host programs make "
                      "theirs there, and before Linux 7.1 (Landlock ABI 9) those could be reached",
                      grant.path),
          "grant narrower directories, and single sockets with --allow-unix-socket");
    }
    return {};
  }

  void mask_trees() {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator("/", error)) {
      std::string path = entry.path().string();
      fs::file_status status = entry.symlink_status(error);
      if (!fs::is_directory(status) || holds_programs(path)) continue;
      bool granted = std::any_of(
          plan_.grants.begin(), plan_.grants.end(),
          [&](const FsGrant& grant) { return grant.path == path || grant.path == "/"; });
      if (granted) continue;
      note_links(path);
      survey_.masked.push_back(std::move(path));
    }
    std::sort(survey_.masked.begin(), survey_.masked.end());
  }

  // /var/run and the like, by which files that are granted are often named.
  void note_links(const std::string& tree) {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(tree, error)) {
      if (!entry.is_symlink(error)) continue;
      fs::path target = fs::read_symlink(entry.path(), error);
      if (!error) survey_.links.emplace_back(entry.path().string(), target.string());
    }
  }

  // What is bound in this network namespace, wherever it lies.
  Result<void> find_bound() {
    std::ifstream table("/proc/net/unix");
    std::string line;
    if (!std::getline(table, line)) {
      return fail(ErrorCode::not_supported, "cannot list the host's Unix sockets (/proc/net/unix)",
                  "run without Unix sockets inside");
    }
    constexpr int columns_before_path = 7;
    while (std::getline(table, line)) {
      std::istringstream words(line);
      std::string word;
      for (int i = 0; i < columns_before_path; ++i) words >> word;
      std::string path;
      std::getline(words >> std::ws, path);
      char real[PATH_MAX];
      if (path.starts_with('/') && ::realpath(path.c_str(), real) != nullptr) add(real);
    }
    return {};
  }

  // Bound elsewhere (in a container that shares the directory), or under another name.
  Result<void> search(const std::string& directory) {
    std::error_code error;
    auto options = fs::directory_options::skip_permission_denied;
    fs::recursive_directory_iterator at(directory, options, error);
    for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
      if (++entries_ > entries_max) {
        return fail(ErrorCode::bad_input,
                    fmt::format("'{}' holds too many files to look for Unix sockets in", directory),
                    "grant narrower directories, or run without Unix sockets inside");
      }
      std::error_code unknown;
      std::string path = at->path().string();
      bool denied = std::any_of(plan_.denies.begin(), plan_.denies.end(),
                                [&](const FsDeny& deny) { return deny.path == path; });
      if (denied) at.disable_recursion_pending();  // hidden as a whole
      if (fs::is_socket(at->symlink_status(unknown))) add(path);
    }
    return {};
  }

  void add(const std::string& path) {
    if (is_socket(path) && !is_granted(path)) survey_.sockets.push_back(path);
  }

  const SandboxPlan& plan_;
  SocketSurvey survey_;
  std::size_t entries_ = 0;
};

}  // namespace

Result<SocketSurvey> survey_sockets(const SandboxPlan& plan, int landlock_abi) {
  if (plan.unix_sockets == UnixSockets::denied) return SocketSurvey{};
  return Survey(plan).run(landlock_abi);
}

}  // namespace nono::sandbox
