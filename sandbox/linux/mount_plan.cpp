#include <fmt/core.h>

#include <algorithm>

#include "sandbox/linux/mounts.hpp"
#include "sandbox/linux/paths.hpp"

namespace nono::sandbox {
namespace {

bool is_granted(const SandboxPlan& plan, const std::string& path) {
  return std::any_of(plan.grants.begin(), plan.grants.end(),
                     [&](const FsGrant& grant) { return is_at_or_below(path, grant.path); });
}

// A grant that names the directory means the host's, and so does writing to a directory above it.
// Reading above it (`--read /`) does not: temporary files stay private.
bool means_host(const SandboxPlan& plan, const std::string& directory) {
  return std::any_of(plan.grants.begin(), plan.grants.end(), [&](const FsGrant& grant) {
    return grant.path == directory || (grant.write && is_below(directory, grant.path));
  });
}

std::vector<std::string> private_directories(const SandboxPlan& plan, uid_t uid) {
  if (!plan.private_tmp) return {};
  std::vector<std::string> directories = {"/tmp", "/var/tmp", "/dev/shm",
                                          fmt::format("/run/user/{}", uid)};
  std::erase_if(directories, [&](const std::string& path) { return means_host(plan, path); });
  return directories;
}

bool is_covered(const MountPlan& mounts, const std::string& path) {
  auto covers = [&](const std::string& directory) { return is_at_or_below(path, directory); };
  return std::any_of(mounts.masked.begin(), mounts.masked.end(), covers) ||
         std::any_of(mounts.private_directories.begin(), mounts.private_directories.end(), covers);
}

const BindMount* covering_bind(const MountPlan& mounts, const std::string& path) {
  const BindMount* innermost = nullptr;
  for (const BindMount& bind : mounts.binds) {
    if (is_at_or_below(path, bind.path)) innermost = &bind;
  }
  return innermost;
}

// Writable grants everywhere; those to read only where a private directory or a mask would hide
// them.
void add_binds(MountPlan& mounts, const SandboxPlan& plan) {
  std::vector<BindMount> wanted;
  for (const FsGrant& grant : plan.grants) {
    if (is_provided(grant.path)) continue;
    if (grant.write || is_covered(mounts, grant.path)) {
      wanted.push_back({grant.path, grant.write, grant.socket});
    }
  }
  std::sort(wanted.begin(), wanted.end(), [](const BindMount& a, const BindMount& b) {
    if (a.path.size() != b.path.size()) return a.path.size() < b.path.size();
    if (a.path != b.path) return a.path < b.path;
    return a.writable && !b.writable;
  });
  for (BindMount& bind : wanted) {
    // No private directory lies between the two: writing above one makes it the host's.
    const BindMount* outer = covering_bind(mounts, bind.path);
    if (outer != nullptr && (outer->writable || !bind.writable)) continue;
    mounts.binds.push_back(std::move(bind));
  }
}

// Each directory between a path and the writable grant that holds it gets a mount of its own, so
// that none can be renamed away and replaced. False where no such grant holds it.
bool pin_the_way(MountPlan& mounts, const std::string& path) {
  const BindMount* bind = covering_bind(mounts, path);
  if (bind == nullptr || !bind->writable) return false;
  for (std::string& directory : directories_between(bind->path, path)) {
    if (std::find(mounts.pinned.begin(), mounts.pinned.end(), directory) == mounts.pinned.end()) {
      mounts.pinned.push_back(std::move(directory));
    }
  }
  return true;
}

// A file that decides about the next run: bound read-only onto itself.
void protect(MountPlan& mounts, const std::string& path) {
  if (pin_the_way(mounts, path)) mounts.read_only.push_back(path);
}

// Moved away with its directory, a denied path would be found by the next run under a name that
// nobody denies: hence the pins.
void hide(MountPlan& mounts, const SandboxPlan& plan, const FsDeny& deny) {
  if (!is_granted(plan, deny.path)) return;
  bool writable = pin_the_way(mounts, deny.path);
  HiddenPath hidden = {deny.path, deny.essential && writable, {}};
  for (const FsGrant& grant : plan.grants) {
    if (!grant.despite_deny || !is_at_or_below(grant.path, deny.path)) continue;
    hidden.exposed.push_back({grant.path, grant.write, grant.socket});
  }
  mounts.hidden.push_back(std::move(hidden));
}

// What lies in a hidden directory is hidden with it, unless it lies in what is exposed there.
void drop_hidden_twice(std::vector<HiddenPath>& hidden) {
  std::sort(hidden.begin(), hidden.end(), [](const HiddenPath& a, const HiddenPath& b) {
    return a.path < b.path;  // a directory before what lies in it
  });
  std::vector<HiddenPath> kept;
  for (HiddenPath& inner : hidden) {
    bool twice = std::any_of(kept.begin(), kept.end(), [&](const HiddenPath& outer) {
      bool shown = std::any_of(
          outer.exposed.begin(), outer.exposed.end(),
          [&](const BindMount& exposed) { return is_at_or_below(inner.path, exposed.path); });
      return is_at_or_below(inner.path, outer.path) && !shown;
    });
    if (!twice) kept.push_back(std::move(inner));
  }
  hidden = std::move(kept);
}

}  // namespace

MountPlan plan_mounts(const SandboxPlan& plan, uid_t uid, const SocketSurvey& survey) {
  MountPlan mounts;
  mounts.masked = survey.masked;
  mounts.links = survey.links;
  mounts.private_directories = private_directories(plan, uid);
  add_binds(mounts, plan);
  for (const std::string& path : plan.read_only_paths) protect(mounts, path);
  for (const FsDeny& deny : plan.denies) hide(mounts, plan, deny);
  // Not pinned: a socket that moves with its directory takes its cover along.
  for (const std::string& socket : survey.sockets) mounts.hidden.push_back({socket, false, {}});
  drop_hidden_twice(mounts.hidden);
  std::sort(mounts.pinned.begin(), mounts.pinned.end(),
            [](const std::string& a, const std::string& b) { return a.size() < b.size(); });
  if (is_covered(mounts, plan.cwd) && covering_bind(mounts, plan.cwd) == nullptr) {
    mounts.start_directory = plan.cwd;
  }
  return mounts;
}

}  // namespace nono::sandbox
