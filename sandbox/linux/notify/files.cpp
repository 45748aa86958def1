#include "sandbox/linux/notify/files.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "sandbox/linux/paths.hpp"

namespace nono::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t rules_max = 4096;

struct Walk {
  std::vector<std::string> excluded;
  bool read = false;
  bool write = false;
  NotifyFiles* files = nullptr;
};

// False when there were too many.
bool add_rule(Walk& walk, const std::string& path) {
  if (walk.files->rules.size() >= rules_max) return false;
  LandlockRule rule;
  rule.path = path;
  rule.read = walk.read;
  rule.write = walk.write;
  rule.optional = true;  // it may have become a symbolic link meanwhile
  walk.files->rules.push_back(std::move(rule));
  return true;
}

void note(std::vector<std::string>& directories, const std::string& path) {
  if (std::find(directories.begin(), directories.end(), path) == directories.end()) {
    directories.push_back(path);
  }
}

// The directory, or what is in it beside the ways to what is excluded.
bool grant_around(Walk& walk, const std::string& path) {
  const auto& excluded = walk.excluded;
  auto at = [&](const std::string& one) { return is_at_or_below(path, one); };
  if (std::any_of(excluded.begin(), excluded.end(), at)) return true;
  auto below = [&](const std::string& one) { return is_below(one, path); };
  if (std::none_of(excluded.begin(), excluded.end(), below)) return add_rule(walk, path);

  note(walk.files->taken_apart, path);
  std::error_code error;
  // What cannot be listed is not granted.
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    std::error_code ignored;
    // Where a link leads decides, not the link.
    if (entry.is_symlink(ignored)) continue;
    if (!grant_around(walk, entry.path().string())) return false;
  }
  return true;
}

Result<void> add_grant(const SandboxPlan& plan, const FsGrant& grant, NotifyFiles& files) {
  Walk denied;
  denied.files = &files;
  for (const FsDeny& deny : plan.denies) {
    const bool lifted = grant.despite_deny && is_at_or_below(grant.path, deny.path);
    if (!lifted) denied.excluded.push_back(deny.path);
  }
  Walk writing = denied;
  writing.excluded.insert(writing.excluded.end(), plan.read_only_paths.begin(),
                          plan.read_only_paths.end());
  denied.read = grant.read;
  writing.write = grant.write;
  const bool whole = (!denied.read || grant_around(denied, grant.path)) &&
                     (!writing.write || grant_around(writing, grant.path));
  if (whole) return {};
  return fail(ErrorCode::bad_input,
              fmt::format("'{}' is granted, but holds denied or protected paths among too many "
                          "others to grant one by one",
                          grant.path),
              "grant the directories in it that the command needs");
}

// The terminals of this user's other windows, and with them the making of new ones.
bool is_of_terminals(const LandlockRule& rule) {
  return rule.path == "/dev/pts" || rule.path == "/dev/ptmx";
}

bool accepts(const SandboxPlan& plan, Weakness weakness) {
  return std::find(plan.accepted.begin(), plan.accepted.end(), weakness) != plan.accepted.end();
}

}  // namespace

Result<NotifyFiles> plan_files(const SandboxPlan& plan, const std::string& private_tmp) {
  SandboxPlan none;
  NotifyFiles files;
  files.rules = landlock_rules(none, {});  // what every sandbox has
  if (!accepts(plan, Weakness::host_terminals)) std::erase_if(files.rules, is_of_terminals);
  if (!private_tmp.empty()) {
    files.rules.push_back({.path = private_tmp, .read = true, .write = true});
  }
  for (const FsGrant& grant : plan.grants) {
    if (is_provided(grant.path)) continue;
    if (Result<void> added = add_grant(plan, grant, files); !added) return fail(added.error());
  }
  return files;
}

std::string taken_apart_warning(const std::vector<std::string>& directories) {
  if (directories.empty()) return {};
  std::string list;
  for (const std::string& directory : directories) {
    list += (list.empty() ? "'" : ", '") + directory + "'";
  }
  return fmt::format(
      "{} {} denied or protected paths: the command gets what is in {} now beside them, and can "
      "make nothing new directly in {}",
      list, directories.size() == 1 ? "holds" : "hold", directories.size() == 1 ? "it" : "them",
      directories.size() == 1 ? "it" : "them");
}

}  // namespace nono::sandbox
