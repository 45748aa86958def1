#include "config/grants.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "config/base/printable.hpp"
#include "config/canonical_paths.hpp"
#include "config/command.hpp"
#include "config/expand.hpp"
#include "config/groups.hpp"
#include "config/suggest.hpp"

namespace nono {
namespace {

bool writes(Access access) {
  return access == Access::write || access == Access::read_write;
}
bool reads(Access access) {
  return access == Access::read || access == Access::read_write;
}

Access both(Access a, Access b) {
  bool r = reads(a) || reads(b);
  bool w = writes(a) || writes(b);
  return r && w ? Access::read_write : w ? Access::write : Access::read;
}

// Container engines and message buses.
bool acts_for_others(std::string_view socket) {
  for (std::string_view name :
       {"docker.sock", "podman.sock", "containerd.sock", "crio.sock", "bus", "system_bus_socket"}) {
    if (socket == name) return true;
  }
  return false;
}

class Files {
 public:
  Files(const Settings& settings, const UserContext& user, const ResolveOptions& options,
        SessionConfig& session)
      : settings_(settings), user_(user), options_(options), session_(session) {}

  Result<void> resolve() {
    deny_own_places();
    deny_groups();
    deny_rules();
    grant_groups();
    for (const PathRule& rule : settings_.paths) grant_rule(rule);
    if (options_.allow_cwd) grant_cwd();
    check_bypasses();
    check_grants();
    for (const PathRule& rule : settings_.unix_sockets) grant_socket(rule);
    session_.unix_inside = settings_.unix_inside || !session_.sockets.empty();
    if (options_.command != nullptr) grant_command(*options_.command);
    find_missing_denies();
    policy_files();
    if (problems_.empty()) return {};
    return fail(ErrorCode::bad_input, fmt::format("{}", fmt::join(problems_, "\n")), fix_);
  }

 private:
  void problem(std::string_view text, std::string_view fix = {}) {
    problems_.push_back(printable(text));
    if (fix_.empty()) fix_ = fix;
  }

  std::string written(const std::string& path) const {
    Result<std::string> expanded = expand_variables(path, user_);
    return expanded ? *expanded : path;
  }

  static std::string named(const Origin& origin, std::string_view path) {
    return origin.text.empty() ? std::string(path) : fmt::format("{}: {}", origin.text, path);
  }

  // --- what is denied ---

  void deny(DenyPath deny, const std::string& as_written) {
    bool known = std::any_of(session_.denies.begin(), session_.denies.end(),
                             [&](const DenyPath& other) { return other.path == deny.path; });
    // A link is denied like what it leads to, so that nothing is put in its place.
    const std::string& link = canonical_.find(as_written).link;
    if (!link.empty()) session_.denies.push_back({link, deny.required, deny.origin, deny.own});
    if (!known) session_.denies.push_back(std::move(deny));
  }

  void deny_groups() {
    for (const PathGroup& group : path_groups()) {
      for (const std::string& path : group.denies) {
        Result<std::string> written = expand_variables(path, user_);
        if (!written) continue;
        deny({canonical_.of(*written), group.required, group.name}, *written);
      }
    }
  }

  // nono's own settings, logs and sockets: what decides about this run and the next ones.
  void deny_own_places() {
    std::vector<std::string> places{user_.config_dir, user_.state_dir};
    std::string runtime = user_.env ? user_.env("XDG_RUNTIME_DIR").value_or("") : "";
    if (runtime.starts_with('/')) places.push_back(runtime + "/nono");
    for (const std::string& place : places) {
      if (!place.empty()) deny({canonical_.of(place), true, "nono's own files", true}, place);
    }
  }

  void deny_rules() {
    for (const PathRule& rule : settings_.deny_paths) {
      Result<std::string> path = expand_path(rule.path, user_);
      if (!path) {
        // Unlike a grant, a deny that cannot be read must not be dropped.
        problem(named(rule.origin, path.error().what));
        continue;
      }
      deny({*path, false, rule.origin.text}, normal_path(written(rule.path), user_.cwd));
    }
  }

  // --- what is granted ---

  void add(PathGrant grant) {
    for (PathGrant& known : session_.grants) {
      if (known.path != grant.path || known.file != grant.file) continue;
      if (known.access == grant.access && known.system == grant.system) return;
      if (known.system == grant.system) {
        known.access = both(known.access, grant.access);
        return;
      }
    }
    session_.grants.push_back(std::move(grant));
  }

  void grant_group(const PathGroup& group) {
    // All patterns first: what is known of their directories then is looked up no more.
    std::vector<std::pair<std::string, const GroupPath*>> named;
    for (const GroupPath& entry : group.grants) {
      Result<std::string> expanded = expand_variables(entry.path, user_);
      if (!expanded || !expanded->starts_with('/')) continue;
      for (std::string& path : canonical_.with_ending(*expanded)) {
        named.emplace_back(std::move(path), &entry);
      }
    }
    for (const auto& [path, entry] : named) {
      const CanonicalPaths::Found& found = canonical_.find(path);
      if (!found.exists) continue;
      add({found.path, entry->access, !found.directory, true, group.name});
    }
  }

  void grant_groups() {
    std::vector<std::string> names = settings_.include_groups;
    for (const PathGroup& group : path_groups()) {
      if (group.always) names.push_back(group.name);
    }
    const std::vector<std::string>& out = settings_.exclude_groups;
    for (const std::string& name : out) {
      const PathGroup* group = path_group(name);
      if (group != nullptr && group->required) problem("cannot exclude the required group " + name);
    }
    for (const std::string& name : names) {
      if (std::find(out.begin(), out.end(), name) != out.end()) continue;
      const PathGroup* group = path_group(name);
      if (group != nullptr) {
        grant_group(*group);
      } else if (meaningless_group(name).empty()) {
        problem(
            fmt::format("unknown policy group {}{}", name, suggestion(name, path_group_names())));
      }
    }
  }

  // Groups name what may be missing; a path that one of them names is not worth a warning.
  bool is_system_path(const std::string& path) const {
    const PathGroup* group = path_group("system_read_linux_core");
    return std::any_of(group->grants.begin(), group->grants.end(),
                       [&](const GroupPath& entry) { return entry.path == path; });
  }

  void grant_rule(const PathRule& rule) {
    Result<std::string> path = expand_path(rule.path, user_);
    if (!path) {
      session_.warnings.push_back(named(rule.origin, path.error().what) + "; skipped");
      return;
    }
    grant_path(rule, *path);
  }

  void grant_path(const PathRule& rule, const std::string& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) {
      missing(rule, path, errno);
      return;
    }
    bool directory = S_ISDIR(info.st_mode);
    if (directory == rule.file) {
      problem(named(rule.origin, rule.path) + (directory ? " is a directory" : " is a file"),
              directory
                  ? "grant a directory with --allow, --read or --write (filesystem.allow, ...)"
                  : "grant a file with --allow-file, --read-file or --write-file "
                    "(filesystem.allow_file, ...)");
      return;
    }
    check_access(rule, path, directory);
    add({path, rule.access, rule.file, false, rule.origin.text});
  }

  void missing(const PathRule& rule, const std::string& path, int why) {
    if (why != ENOENT && why != ENOTDIR) {
      problem(fmt::format("{}: {}", named(rule.origin, rule.path), std::strerror(why)));  // NOLINT
    } else if (rule.path.find('*') != std::string::npos) {
      problem(named(rule.origin, rule.path) + ": patterns in paths are not supported yet",
              "grant the directory that holds the files");
    } else if (!is_system_path(path)) {
      session_.warnings.push_back(named(rule.origin, rule.path) + " does not exist; skipped");
    }
  }

  void check_access(const PathRule& rule, const std::string& path, bool directory) {
    int mode = directory ? X_OK : 0;
    if (reads(rule.access)) mode |= R_OK;
    if (::faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) != 0) {
      problem(fmt::format("{} cannot be read by this user: {}", named(rule.origin, rule.path),
                          std::strerror(errno)),  // NOLINT(concurrency-mt-unsafe): one thread
              "a grant cannot give more than the user's own rights");
    } else if (writes(rule.access) && ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) != 0) {
      session_.warnings.push_back(named(rule.origin, rule.path) + " is not writable for this user");
    }
  }

  void grant_cwd() {
    PathRule rule;
    rule.path = user_.cwd;
    rule.access = session_.workdir_access;
    rule.origin.text = "--allow-cwd";
    // Canonical as the kernel gave it. Where a link has taken its place since, the sandbox refuses;
    // following that link would grant what somebody else chose.
    grant_path(rule, user_.cwd);
  }

  // --- grants against denies ---

  std::string canonical_bypass(const std::string& text) const {
    Result<std::string> path = expand_path(text, user_);
    return path ? *path : text;
  }

  void check_bypasses() {
    for (const std::string& text : settings_.bypass_protection) {
      std::string path = canonical_bypass(text);
      bypasses_.push_back(path);
      // A grant around a denied directory opens no single path in it.
      bool in_denied = std::any_of(
          session_.denies.begin(), session_.denies.end(),
          [&](const DenyPath& deny) { return lies_in(path, deny.path) && path != deny.path; });
      bool matched = std::any_of(session_.grants.begin(), session_.grants.end(),
                                 [&](const PathGrant& grant) {
                                   bool around = lies_in(path, grant.path) && !in_denied;
                                   return !grant.system && (around || lies_in(grant.path, path));
                                 }) ||
                     std::any_of(settings_.unix_sockets.begin(), settings_.unix_sockets.end(),
                                 [&](const PathRule& rule) {
                                   Result<std::string> socket = expand_path(rule.path, user_);
                                   return socket && lies_in(*socket, path);
                                 });
      if (!matched) {
        problem(fmt::format("bypass_protection '{}' has no matching grant", text),
                "grant the path as well, or remove the bypass");
      }
    }
  }

  bool bypassed(const std::string& path) const {
    return std::any_of(bypasses_.begin(), bypasses_.end(),
                       [&](const std::string& bypass) { return lies_in(path, bypass); });
  }

  // What is denied cannot be granted by its own name; a grant that only holds it shows it hidden.
  // A deny inside a grant is lifted by a bypass of the deny, a grant inside a deny by one of the
  // grant, and what is nono's own by nothing.
  void check_grants() {
    for (PathGrant& grant : session_.grants) {
      for (const DenyPath& deny : session_.denies) {
        if (!lies_in(grant.path, deny.path)) continue;
        if (!deny.own && !grant.system && bypassed(grant.path)) {
          grant.bypass = true;
          continue;
        }
        refuse(grant, deny);
        break;
      }
    }
    std::erase_if(session_.denies, [&](const DenyPath& deny) {
      return !deny.own && bypassed(deny.path) && under_grant(deny.path);
    });
  }

  bool under_grant(const std::string& path) const {
    return std::any_of(session_.grants.begin(), session_.grants.end(), [&](const PathGrant& grant) {
      return !grant.system && lies_in(path, grant.path);
    });
  }

  void refuse(const PathGrant& grant, const DenyPath& deny) {
    std::string_view fix =
        "grant a narrower path, or name it in filesystem.bypass_protection "
        "(--bypass-protection PATH)";
    if (deny.own) fix = "grant a directory beside it";
    if (grant.system) fix = "move it elsewhere, or exclude the group (groups.exclude)";
    problem(fmt::format("{} would grant {}, which {} {} {} ({})", grant.origin, grant.path,
                        grant.path == deny.path ? "is" : "lies in",
                        deny.required ? "the protected" : "the denied", deny.path, deny.origin),
            fix);
  }

  // A socket that is not there yet cannot be told from one that somebody else makes in its place.
  void grant_socket(const PathRule& rule) {
    Result<std::string> path = expand_path(rule.path, user_);
    if (!path) return problem(named(rule.origin, path.error().what));
    struct stat info {};
    if (::stat(path->c_str(), &info) != 0) {
      return problem(fmt::format("{}: {}", named(rule.origin, rule.path), std::strerror(errno)),
                     "start the program that listens there first");
    }
    if (!S_ISSOCK(info.st_mode)) {
      return problem(named(rule.origin, rule.path) + " is no Unix socket");
    }
    if (::faccessat(AT_FDCWD, path->c_str(), W_OK, AT_EACCESS) != 0) {
      return problem(fmt::format("{}: this user may not connect to it: {}",
                                 named(rule.origin, rule.path), std::strerror(errno)));
    }
    PathGrant grant{*path, Access::read, true, false, rule.origin.text, false};
    for (const DenyPath& deny : session_.denies) {
      if (!lies_in(grant.path, deny.path)) continue;
      if (deny.own || !bypassed(grant.path)) return refuse(grant, deny);
      grant.bypass = true;
    }
    if (acts_for_others(last_segment(*path))) {
      session_.warnings.push_back(named(rule.origin, rule.path) +
                                  ": what listens there starts programs outside the sandbox for "
                                  "whoever can connect");
    }
    session_.sockets.push_back(std::move(grant));
  }

  // What does not exist cannot be hidden, and what could be written could be created.
  void find_missing_denies() {
    for (const DenyPath& deny : session_.denies) {
      bool creatable =
          std::any_of(session_.grants.begin(), session_.grants.end(), [&](const PathGrant& grant) {
            return !grant.file && writes(grant.access) && lies_in(deny.path, grant.path);
          });
      struct stat info {};
      if (!creatable || ::lstat(deny.path.c_str(), &info) == 0) continue;
      (deny.own ? session_.own_places_to_make : session_.missing_denies).push_back(deny.path);
    }
    const std::vector<std::string>& missing = session_.missing_denies;
    if (missing.empty()) return;
    session_.warnings.push_back(fmt::format(
        "the command could create {}{}, which {} protected and not there to be hidden; nono looks "
        "again after the run",
        missing.front(),
        missing.size() > 1 ? fmt::format(" and {} more paths", missing.size() - 1) : "",
        missing.size() > 1 ? "are" : "is"));
  }

  // --- the command itself ---

  bool under_writable_grant(const std::string& path) const {
    return std::any_of(session_.grants.begin(), session_.grants.end(), [&](const PathGrant& grant) {
      return !grant.system && writes(grant.access) && lies_in(path, grant.path);
    });
  }

  bool holds_or_is_denied(const std::string& path) const {
    return std::any_of(session_.denies.begin(), session_.denies.end(), [&](const DenyPath& deny) {
      return lies_in(path, deny.path) || lies_in(deny.path, path);
    });
  }

  void grant_command(const ResolvedCommand& command) {
    for (PathGrant& grant : runtime_grants(command, user_, session_.grants)) {
      // What the child of an earlier run could have put there decides nothing.
      bool tree = !grant.file;
      if (tree && (under_writable_grant(grant.path) || holds_or_is_denied(grant.path))) continue;
      if (!tree && holds_or_is_denied(grant.path)) continue;
      if (tree) {
        std::string name = grant.origin;
        if (name.starts_with("runtime ")) name.erase(0, 8);
        session_.runtimes.push_back(fmt::format("{} ({})", name, grant.path));
      }
      add(std::move(grant));
    }
  }

  void policy_files() {
    for (const std::string& file : settings_.policy_files) {
      if (!under_writable_grant(file)) continue;
      session_.policy_files.push_back(file);
      struct stat info {};
      if (::stat(file.c_str(), &info) != 0 || info.st_nlink < 2) continue;
      problem(fmt::format("the profile {} has a second name (a hard link), by which the command "
                          "could change it for the next run",
                          file),
              "copy it, and put the copy in its place");
    }
    // A file can be mounted read-only; a link to it can be replaced all the same.
    for (const std::string& link : settings_.policy_links) {
      if (!under_writable_grant(link)) continue;
      problem(fmt::format("a profile is reached by the link {}, which the command could replace "
                          "for the next run",
                          link),
              "name the file that it leads to");
    }
  }

  const Settings& settings_;
  const UserContext& user_;
  const ResolveOptions& options_;
  SessionConfig& session_;
  CanonicalPaths canonical_;
  std::vector<std::string> bypasses_;
  std::vector<std::string> problems_;
  std::string fix_;
};

}  // namespace

Result<void> resolve_files(const Settings& settings, const UserContext& user,
                           const ResolveOptions& options, SessionConfig& session) {
  return Files(settings, user, options, session).resolve();
}

}  // namespace nono
