#include "sandbox/linux/landlock.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "sandbox/linux/paths.hpp"
#include "sandbox/linux/uapi.hpp"

namespace nono::sandbox {
namespace {

using namespace uapi;

constexpr std::uint64_t read_rights =
    access_fs::execute | access_fs::read_file | access_fs::read_dir;
// No device nodes: they are a way to hardware that the host did not grant.
constexpr std::uint64_t write_rights =
    access_fs::write_file | access_fs::truncate | access_fs::remove_dir | access_fs::remove_file |
    access_fs::make_dir | access_fs::make_reg | access_fs::make_sock | access_fs::make_fifo |
    access_fs::make_sym | access_fs::refer;
constexpr std::uint64_t file_rights = access_fs::execute | access_fs::read_file |
                                      access_fs::write_file | access_fs::truncate |
                                      access_fs::ioctl_dev | access_fs::resolve_unix;

std::uint64_t all_rights(int abi) {
  std::uint64_t rights = access_fs::refer - 1;  // the thirteen of ABI 1
  if (abi >= 2) rights |= access_fs::refer;
  if (abi >= 3) rights |= access_fs::truncate;
  if (abi >= 5) rights |= access_fs::ioctl_dev;
  if (abi >= 9) rights |= access_fs::resolve_unix;
  return rights;
}

bool add_path(int ruleset, int path, std::uint64_t rights) {
  LandlockPathBeneathAttr attr = {rights, path};
  return ::syscall(sys_landlock_add_rule, ruleset, landlock_rule_path_beneath, &attr, 0) == 0;
}

Done add_rule(int ruleset, const LandlockRule& rule, std::uint64_t handled) {
  UniqueFd path = open_canonical(rule.path);
  if (!path) {
    if (errno == ENOENT || errno == EACCES || errno == ENOTDIR) return {};
    if (errno == ELOOP && rule.optional) return {};
    return failed(Step::landlock, errno, rule.path);
  }
  std::uint64_t rights = (rule.read ? read_rights : 0) | (rule.write ? write_rights : 0) |
                         (rule.terminal ? access_fs::ioctl_dev : 0) |
                         (rule.socket ? access_fs::resolve_unix : 0);
  rights &= rule.file ? handled & file_rights : handled;
  if (rights == 0 || add_path(ruleset, path.get(), rights)) return {};
  // A directory's rights are refused for anything else, landlock_add_rule(2).
  if (errno == EINVAL) {
    rights &= file_rights;
    if (rights == 0 || add_path(ruleset, path.get(), rights)) return {};
  }
  return failed(Step::landlock, errno, rule.path);
}

// /dev/stdin, /dev/stdout and /dev/stderr open the terminal or file that stands behind a descriptor
// once more. It gets the rights that the descriptor has already, and nothing beside it does. Pipes
// need no rule.
void add_standard_descriptors(int ruleset, std::uint64_t handled) {
  for (int fd = 0; fd < 3; ++fd) {
    struct stat info = {};
    int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_PATH) != 0 || ::fstat(fd, &info) != 0) continue;
    bool terminal = S_ISCHR(info.st_mode) && ::isatty(fd) == 1;
    if (!terminal && !S_ISREG(info.st_mode)) continue;
    int mode = flags & O_ACCMODE;
    std::uint64_t rights = terminal ? access_fs::ioctl_dev : 0;
    if (mode != O_WRONLY) rights |= access_fs::read_file;
    if (mode != O_RDONLY) rights |= access_fs::write_file | access_fs::truncate;
    // Where it fails, opening fails later, and the descriptor itself works.
    (void)add_path(ruleset, fd, rights & handled);
  }
}

}  // namespace

int landlock_abi() {
  long version =
      ::syscall(sys_landlock_create_ruleset, nullptr, 0, landlock_create_ruleset_version);
  return version > 0 ? static_cast<int>(version) : 0;
}

std::vector<LandlockRule> landlock_rules(const SandboxPlan& plan,
                                         const std::vector<std::string>& private_directories) {
  std::vector<LandlockRule> rules = {
      {.path = "/proc", .read = true, .inside = true},
      {.path = "/dev/null", .read = true, .write = true, .file = true},
      {.path = "/dev/zero", .read = true, .write = true, .file = true},
      {.path = "/dev/full", .read = true, .write = true, .file = true},
      {.path = "/dev/random", .read = true, .write = true, .file = true},
      {.path = "/dev/urandom", .read = true, .write = true, .file = true},
      {.path = "/dev/tty", .read = true, .write = true, .terminal = true, .file = true},
      // In containers a link into /dev/pts, which has its own rule.
      {.path = "/dev/ptmx", .read = true, .write = true, .terminal = true, .optional = true},
      {.path = "/dev/pts", .read = true, .write = true, .terminal = true, .inside = true},
  };
  for (const std::string& path : private_directories) {
    rules.push_back({.path = path, .read = true, .write = true, .inside = true});
  }
  for (const FsGrant& grant : plan.grants) {
    if (is_provided(grant.path)) continue;
    rules.push_back({.path = grant.path,
                     .read = grant.read,
                     .write = grant.write,
                     .socket = grant.socket,
                     .file = !grant.directory});
  }
  return rules;
}

tl::expected<UniqueFd, Failure> make_ruleset(bool no_tcp) {
  int abi = landlock_abi();
  if (abi == 0) return failed(Step::landlock, errno);

  LandlockRulesetAttr attr = {};
  attr.handled_access_fs = all_rights(abi);
  if (no_tcp && abi >= 4) attr.handled_access_net = access_net_bind_tcp | access_net_connect_tcp;
  if (abi >= 6) attr.scoped = scope_abstract_unix_socket | scope_signal;
  UniqueFd ruleset(static_cast<int>(::syscall(sys_landlock_create_ruleset, &attr, sizeof attr, 0)));
  if (!ruleset) return failed(Step::landlock, errno, "ruleset");
  return ruleset;
}

Done add_rules(int ruleset, const std::vector<LandlockRule>& rules, bool inside) {
  const std::uint64_t handled = all_rights(landlock_abi());
  for (const LandlockRule& rule : rules) {
    if (rule.inside != inside) continue;
    if (Done added = add_rule(ruleset, rule, handled); !added) return added;
  }
  return {};
}

Done apply_landlock(int ruleset) {
  add_standard_descriptors(ruleset, all_rights(landlock_abi()));
  if (::syscall(sys_landlock_restrict_self, ruleset, 0) != 0) {
    return failed(Step::landlock, errno, "restrict");
  }
  return {};
}

UniqueFd open_canonical(const std::string& path) {
  open_how how = {};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS;
  return UniqueFd(
      static_cast<int>(::syscall(sys_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
}

}  // namespace nono::sandbox
