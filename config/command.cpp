#include "config/command.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <set>

#include "config/expand.hpp"
#include "config/suggest.hpp"

namespace nono {
namespace {

constexpr std::string_view default_path = "/usr/local/bin:/usr/bin:/bin";

enum class Found { no, directory, not_executable, yes };

Found look(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return Found::no;
  if (S_ISDIR(info.st_mode)) return Found::directory;
  bool runs = ::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0;
  return runs ? Found::yes : Found::not_executable;
}

std::vector<std::string> path_directories(const UserContext& user) {
  std::string path = user.env("PATH").value_or(std::string(default_path));
  std::vector<std::string> directories;
  std::string_view rest = path;
  for (;;) {
    std::size_t colon = std::min(rest.find(':'), rest.size());
    directories.push_back(normal_path(rest.substr(0, colon), user.cwd));
    if (colon == rest.size()) return directories;
    rest.remove_prefix(colon + 1);
  }
}

// The names of all programs that PATH offers.
std::set<std::string> programs(const std::vector<std::string>& directories) {
  std::set<std::string> names;
  for (const std::string& directory : directories) {
    std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory.c_str()), &::closedir);
    while (entries) {
      const dirent* entry = ::readdir(entries.get());  // NOLINT(concurrency-mt-unsafe): own stream
      if (entry == nullptr) break;
      if (entry->d_name[0] != '.') names.emplace(entry->d_name);
    }
  }
  return names;
}

// `python` on a machine with only `python3` is the usual case, so a name that a version number
// completes comes first.
std::optional<std::string> near_program(const std::string& name,
                                        const std::set<std::string>& names) {
  std::optional<std::string> best;
  for (auto it = names.lower_bound(name); it != names.end() && it->starts_with(name); ++it) {
    std::string_view rest = std::string_view(*it).substr(name.size());
    bool version = rest.find_first_not_of("0123456789.-") == std::string_view::npos;
    if (version && (!best || it->size() < best->size())) best = *it;
  }
  if (best) return best;
  if (name.size() < 4) return std::nullopt;  // something is always near a short name
  return nearest(name, {names.begin(), names.end()});
}

ResolvedCommand resolved(const std::string& path, const std::vector<std::string>& argv) {
  return {path, canonical_path(path), argv};
}

Result<ResolvedCommand> refuse(Found found, const std::string& name, const std::string& path) {
  if (found == Found::directory) {
    return fail(ErrorCode::refused, name + " is a directory", "name a program in it");
  }
  return fail(ErrorCode::refused, fmt::format("{} is not executable", path),
              fmt::format("chmod +x {}, or run it with its interpreter", path));
}

}  // namespace

Result<ResolvedCommand> find_command(const std::vector<std::string>& argv,
                                     const UserContext& user) {
  if (argv.empty() || argv[0].empty()) {
    return fail(ErrorCode::bad_input, "No command specified",
                "nono run [flags] -- COMMAND [ARGUMENTS]");
  }
  const std::string& name = argv[0];
  if (name.find('/') != std::string::npos) {
    std::string path = name.starts_with('/') ? name : user.cwd + "/" + name;
    Found found = look(path);
    if (found == Found::yes) return resolved(path, argv);
    if (found != Found::no) return refuse(found, name, path);
    return fail(ErrorCode::name_not_found, name + " not found");
  }
  std::vector<std::string> directories = path_directories(user);
  std::string not_executable;
  for (const std::string& directory : directories) {
    std::string path = directory == "/" ? "/" + name : directory + "/" + name;
    Found found = look(path);
    if (found == Found::yes) return resolved(path, argv);
    if (found == Found::not_executable && not_executable.empty()) not_executable = path;
  }
  if (!not_executable.empty()) return refuse(Found::not_executable, name, not_executable);
  std::string what = name + " not found";
  if (std::optional<std::string> near = near_program(name, programs(directories))) {
    for (const std::string& directory : directories) {
      std::string path = fmt::format("{}/{}", directory, *near);
      if (look(path) != Found::yes) continue;
      return fail(ErrorCode::name_not_found, fmt::format("{}; {} is {}", what, *near, path));
    }
  }
  // A script in the current directory is the other usual case: shells do not look there.
  if (look(user.cwd + "/" + name) != Found::no) {
    return fail(ErrorCode::name_not_found, what, "a program in the current directory is ./" + name);
  }
  return fail(ErrorCode::name_not_found, what, "it is in no directory of PATH");
}

}  // namespace nono
