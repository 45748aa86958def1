#include "config/profile.hpp"

#include <dirent.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "config/base/printable.hpp"
#include "config/expand.hpp"
#include "config/profile_schema.hpp"
#include "config/resolve.hpp"

namespace nono {
namespace {

using document::Base;
using document::ProfileFile;

constexpr int extends_depth_max = 10;
constexpr std::string_view suffixes[] = {".jsonc", ".json", ".yaml", ".yml"};

// The built-in profiles, in the format of any other.
const std::map<std::string, std::string, std::less<>>& builtin_profiles() {
  static const std::map<std::string, std::string, std::less<>> profiles = {
      {"default", "meta: {name: default}\n"},
      {"linux-host-compat",
       "meta: {name: linux-host-compat}\n"
       "groups: {include: [linux_runtime_state, linux_sysfs_read]}\n"},
      {"python-dev",
       "meta: {name: python-dev}\nworkdir: {access: readwrite}\n"
       "groups: {include: [python_runtime]}\n"
       "network: {network_profile: developer}\n"},
      {"node-dev",
       "meta: {name: node-dev}\nworkdir: {access: readwrite}\n"
       "groups: {include: [node_runtime]}\n"
       "network: {network_profile: developer}\n"},
      {"go-dev",
       "meta: {name: go-dev}\nworkdir: {access: readwrite}\n"
       "groups: {include: [go_runtime, go_runtime_linux]}\n"
       "network: {network_profile: developer}\n"},
      {"rust-dev",
       "meta: {name: rust-dev}\nworkdir: {access: readwrite}\n"
       "groups: {include: [rust_runtime]}\n"
       "network: {network_profile: developer}\n"},
      {"java-dev",
       "meta: {name: java-dev}\nworkdir: {access: readwrite}\n"
       "groups: {include: [java_runtime]}\n"
       "network: {network_profile: developer}\n"},
  };
  return profiles;
}

bool is_path(std::string_view text) {
  if (text.find('/') != std::string_view::npos) return true;
  return std::any_of(std::begin(suffixes), std::end(suffixes),
                     [&](std::string_view suffix) { return text.ends_with(suffix); });
}

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > 64 || text.front() == '-' || text.back() == '-') return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
  });
}

std::vector<std::string> files_in(const std::string& directory, std::string_view name) {
  std::vector<std::string> files;
  for (std::string_view suffix : suffixes) {
    std::string path = fmt::format("{}/{}{}", directory, name, suffix);
    if (::access(path.c_str(), F_OK) == 0) files.push_back(std::move(path));
  }
  return files;
}

std::optional<std::string> file_in(const std::string& directory, std::string_view name) {
  std::vector<std::string> files = files_in(directory, name);
  return files.empty() ? std::nullopt : std::optional(std::move(files.front()));
}

// Follows `extends`, remembering the way so that a circle is seen.
class Loader {
 public:
  explicit Loader(const UserContext& user) : user_(user) {}

  // `directory`: where the profile that asks for this one lies; empty for the command line.
  Result<Settings> load(std::string_view name, const std::string& directory) {
    if (is_path(name)) return load_file(absolute_or_same(name, directory));
    if (!is_name(name)) {
      return fail(
          ErrorCode::bad_input, fmt::format("'{}' is no profile name", printable(name)),
          "a name has letters, digits, '-' and '_'; a path has a '/' or ends in .json or .yaml");
    }
    if (std::optional<std::string> path = file_in(user_.config_dir + "/profiles", name)) {
      return load_file(*path);
    }
    auto builtin = builtin_profiles().find(name);
    if (builtin != builtin_profiles().end()) {
      return load_text(builtin->second, "built-in profile " + builtin->first, "");
    }
    // Last: a command that may write there must not put a file before what the name meant so far.
    if (!directory.empty()) {
      std::vector<std::string> beside = files_in(directory, name);
      if (beside.size() > 1) {
        return fail(ErrorCode::bad_input,
                    fmt::format("'{}' may be {} or {}", name, beside[0], beside[1]),
                    "write the one that is meant with its ending");
      }
      if (!beside.empty()) return load_file(beside.front());
    }
    return fail(
        ErrorCode::bad_input,
        fmt::format("Profile not found: {}{}", printable(name),
                    suggestion(name, profile_names(user_))),
        fmt::format("save it as {}/profiles/{}.json, or give its path", user_.config_dir, name));
  }

  Result<Settings> load_text(std::string_view text, const std::string& file,
                             const std::string& directory) {
    Result<YAML::Node> root = document::parse(text, file);
    if (!root) return tl::unexpected<Error>(root.error());
    document::Problems problems(file, document::is_json(text, file));
    ProfileFile profile;
    document::SchemaReader<ProfileFile>(problems, document::profile_keys(), profile).read(*root);
    if (problems.any()) return fail(problems.error());
    for (auto& [name, value] : profile.settings.set_env) {
      Result<std::string> expanded = expand_variables(value, user_);
      if (!expanded) {
        return fail(ErrorCode::bad_input, fmt::format("{}: environment.set_vars.{}: {}", file, name,
                                                      printable(expanded.error().what)));
      }
      value = std::move(*expanded);
    }
    Settings settings;
    for (const Base& base : profile.extends) {
      Result<Settings> inherited = load_base(base, directory);
      if (!inherited) return inherited;
      merge(settings, std::move(*inherited));
    }
    settings.name.clear();  // a base's name is not this one's
    profile.settings.notes = std::move(profile.notes);
    merge(settings, std::move(profile.settings));
    return settings;
  }

 private:
  // Links are not followed yet: load_file notes them.
  std::string absolute_or_same(std::string_view name, const std::string& directory) const {
    Result<std::string> path = expand_variables(name, user_);
    if (!path) return std::string(name);
    if (path->starts_with('/')) return *path;
    return (directory.empty() ? user_.cwd : directory) + "/" + *path;
  }

  Result<Settings> load_file(const std::string& named) {
    std::string path = normal_path(named, user_.cwd);
    std::string real = canonical_path(named);
    if (canonical_path(path) != real) path = real;  // a `..` after a link
    if (std::find(way_.begin(), way_.end(), real) != way_.end()) {
      return fail(ErrorCode::bad_input,
                  "Profile inheritance error: a circle at " + printable(real));
    }
    Result<std::string> text = document::read_text(path, "profile");
    if (!text) return tl::unexpected<Error>(text.error());
    way_.push_back(real);
    Result<Settings> settings = load_text(*text, path, parent_path(real));
    way_.pop_back();
    if (!settings) return settings;
    if (settings->name.empty()) settings->name = file_stem(path);
    settings->policy_files.push_back(real);
    for (std::string& link : links_on_the_way(named)) {
      settings->policy_links.push_back(std::move(link));
    }
    return settings;
  }

  Result<Settings> load_base(const Base& base, const std::string& directory) {
    if (way_.size() > extends_depth_max || ++bases_ > 100) {
      return fail(ErrorCode::bad_input,
                  fmt::format("{}: Profile inheritance error: more than {} levels",
                              base.origin.text, extends_depth_max));
    }
    // A profile of the user's may extend the built-in one of the same name.
    bool own_name = !way_.empty() && file_stem(way_.back()) == base.name;
    auto builtin = builtin_profiles().find(base.name);
    if (own_name && builtin != builtin_profiles().end()) {
      return load_text(builtin->second, "built-in profile " + builtin->first, "");
    }
    Result<Settings> settings = load(base.name, directory);
    if (settings) return settings;
    Error error = settings.error();
    error.what = fmt::format("{}: {}", base.origin.text, error.what);
    return fail(std::move(error));
  }

  static std::string file_stem(std::string_view path) {
    std::string_view name = last_segment(path);
    return std::string(name.substr(0, name.rfind('.')));
  }

  const UserContext& user_;
  std::vector<std::string> way_;  // the files being read, outermost first
  int bases_ = 0;                 // all bases read: a lattice of files must end too
};

Result<std::string> xdg_directory(const char* variable, const std::string& otherwise) {
  const char* value = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe): before any thread
  if (value == nullptr || *value == '\0') return otherwise;
  if (*value == '/') return normal_path(value, "/");
  return fail(ErrorCode::bad_input, fmt::format("{} is not an absolute path: {}", variable, value));
}

}  // namespace

Result<UserContext> current_user_context() {
  UserContext user;
  user.uid = ::geteuid();
  user.gid = ::getegid();
  user.env = [](std::string_view name) -> std::optional<std::string> {
    const char* value = std::getenv(std::string(name).c_str());  // NOLINT(concurrency-mt-unsafe)
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  std::optional<std::string> home = user.env("HOME");
  if (!home || home->empty()) {
    const passwd* entry = ::getpwuid(user.uid);  // NOLINT(concurrency-mt-unsafe): before any thread
    if (entry == nullptr || entry->pw_dir == nullptr) {
      return fail(ErrorCode::bad_input, "HOME is not set and the user has no home directory",
                  "set HOME to an absolute path");
    }
    home = entry->pw_dir;
  }
  if (!home->starts_with('/')) {
    return fail(ErrorCode::bad_input, "HOME is not an absolute path: " + *home);
  }
  user.home = normal_path(*home, "/");
  std::unique_ptr<char, void (*)(void*)> cwd(::getcwd(nullptr, 0), &std::free);
  if (!cwd) return fail(errno_error(errno, "the current directory"));
  user.cwd = cwd.get();
  Result<std::string> config = xdg_directory("XDG_CONFIG_HOME", user.home + "/.config");
  if (!config) return tl::unexpected<Error>(config.error());
  Result<std::string> state = xdg_directory("XDG_STATE_HOME", user.home + "/.local/state");
  if (!state) return tl::unexpected<Error>(state.error());
  user.config_dir = *config + "/nono";
  user.state_dir = *state + "/nono";
  return user;
}

Result<Settings> load_profile(std::string_view name_or_path, const UserContext& user) {
  return Loader(user).load(name_or_path, "");
}

Result<Settings> parse_profile(std::string_view text, const std::string& file,
                               const UserContext& user) {
  return Loader(user).load_text(text, file, is_path(file) ? parent_path(file) : "");
}

std::vector<std::string> profile_names(const UserContext& user) {
  std::set<std::string> names;
  for (const auto& entry : builtin_profiles()) names.insert(entry.first);
  std::string directory = user.config_dir + "/profiles";
  std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory.c_str()), &::closedir);
  while (entries) {
    const dirent* entry = ::readdir(entries.get());  // NOLINT(concurrency-mt-unsafe): own stream
    if (entry == nullptr) break;
    std::string_view name = entry->d_name;
    for (std::string_view suffix : suffixes) {
      if (!name.ends_with(suffix)) continue;
      name.remove_suffix(suffix.size());
      if (is_name(name)) names.emplace(name);
      break;
    }
  }
  return {names.begin(), names.end()};
}

}  // namespace nono
