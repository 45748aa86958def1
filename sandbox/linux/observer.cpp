#include "sandbox/linux/observer.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <memory>
#include <optional>

#include "sandbox/linux/bpf.hpp"
#include "sandbox/linux/channel.hpp"
#include "sandbox/linux/paths.hpp"
#include "sandbox/linux/uapi.hpp"

namespace nono::sandbox {

// How a call names its file, and what it wants of it.
enum class Use { read, write, make, by_flags };
struct PathCall {
  long number;
  int folder;  // argument that is a directory's descriptor; -1: relative to the current one
  int path;
  Use use;
  int flags = -1;  // argument, for Use::by_flags
};

namespace {

constexpr std::size_t records_max = 1000;
constexpr std::uint64_t page_bytes = 4096;
constexpr unsigned flag_wait_killable = 1U << 5;         // Linux 5.19
constexpr unsigned long request_set_flags = 0x40082104;  // SECCOMP_IOCTL_NOTIF_SET_FLAGS, 6.6
constexpr std::uint64_t flag_sync_wake_up = 1;

#if defined(__x86_64__)
constexpr std::uint32_t native_architecture = AUDIT_ARCH_X86_64;
#else
constexpr std::uint32_t native_architecture = AUDIT_ARCH_AARCH64;
#endif

using Access = DeniedPath::Access;

// `make` and `write` on a name want its folder; where two names are given both are calls of a row.
constexpr PathCall path_calls[] = {
    {SYS_openat, 0, 1, Use::by_flags, 2}, {SYS_execve, -1, 0, Use::read},
    {SYS_execveat, 0, 1, Use::read},      {SYS_mkdirat, 0, 1, Use::make},
    {SYS_unlinkat, 0, 1, Use::make},      {SYS_symlinkat, 1, 2, Use::make},
    {SYS_linkat, 2, 3, Use::make},        {SYS_renameat2, 0, 1, Use::make},
    {SYS_renameat2, 2, 3, Use::make},     {SYS_mknodat, 0, 1, Use::make},
    {SYS_truncate, -1, 0, Use::write},
#if defined(__x86_64__)
    {SYS_open, -1, 0, Use::by_flags, 1},  {SYS_creat, -1, 0, Use::make},
    {SYS_mkdir, -1, 0, Use::make},        {SYS_rmdir, -1, 0, Use::make},
    {SYS_unlink, -1, 0, Use::make},       {SYS_symlink, -1, 1, Use::make},
    {SYS_link, -1, 1, Use::make},         {SYS_rename, -1, 0, Use::make},
    {SYS_rename, -1, 1, Use::make},       {SYS_renameat, 0, 1, Use::make},
    {SYS_renameat, 2, 3, Use::make},      {SYS_mknod, -1, 0, Use::make},
#endif
};

std::vector<sock_filter> observing_filter() {
  std::vector<long> numbers;
  for (const PathCall& call : path_calls) numbers.push_back(call.number);
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  std::vector<BpfAssembler::Case> cases;
  for (const long number : numbers) {
    cases.push_back({static_cast<std::uint32_t>(number), SECCOMP_RET_USER_NOTIF});
  }
  BpfAssembler code;
  code.load_architecture();
  code.give_unless_equal(native_architecture, SECCOMP_RET_ALLOW);  // the other filter refuses it
  code.load_number();
  code.give_by_value(std::move(cases));
  code.give(SECCOMP_RET_ALLOW);
  return code.take();
}

// A string of another process, at most PATH_MAX long; page by page, since the next may be missing.
std::optional<std::string> string_at(pid_t thread, std::uint64_t address) {
  std::string text;
  while (text.size() < PATH_MAX) {
    std::array<char, page_bytes> block;
    const std::size_t size = page_bytes - address % page_bytes;
    iovec local = {block.data(), size};
    iovec remote = {reinterpret_cast<void*>(address), size};
    const ssize_t got = ::process_vm_readv(thread, &local, 1, &remote, 1, 0);
    if (got <= 0) return std::nullopt;
    const auto end = std::find(block.begin(), block.begin() + got, '\0');
    text.append(block.begin(), end);
    if (end != block.begin() + got) return text;
    address += static_cast<std::uint64_t>(got);
  }
  return std::nullopt;
}

// Without links, dots and double slashes; empty where it does not exist.
std::string real(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> found(::realpath(path.c_str(), nullptr),
                                                          &std::free);
  return found ? std::string(found.get()) : std::string();
}

// The folder that a name is made in or removed from, which has to exist.
std::string real_with_parent(const std::string& path) {
  const std::size_t slash = path.find_last_not_of('/');
  const std::size_t cut = path.rfind('/', slash);
  if (slash == std::string::npos || cut == std::string::npos) return {};
  const std::string folder = real(cut == 0 ? "/" : path.substr(0, cut));
  const std::string name = path.substr(cut + 1, slash - cut);
  if (folder.empty() || name == "." || name == "..") return {};
  return folder == "/" ? "/" + name : folder + "/" + name;
}

std::string parent_of(const std::string& path) {
  return path.substr(0, std::max<std::size_t>(1, path.rfind('/')));
}

// Which rule keeps the path from the command whatever is granted; empty if none does.
std::string denied_by(const SandboxPlan& plan, const std::string& path, Access access) {
  for (const FsDeny& deny : plan.denies) {
    if (is_at_or_below(path, deny.path)) return deny.origin;
  }
  if (access == Access::read) return {};
  for (const std::string& policy : plan.read_only_paths) {
    if (is_at_or_below(path, policy)) return "policy and records stay as they are";
  }
  return {};
}

// What the user could not have without a sandbox either is not worth a word.
bool user_may(const std::string& path, bool write) {
  const int result = ::faccessat(AT_FDCWD, path.c_str(), write ? W_OK : R_OK, AT_EACCESS);
  return result == 0 || errno == EROFS;
}

}  // namespace

tl::expected<ObserverLink, Failure> prepare_observer(const SandboxPlan& plan) {
  ObserverLink link;
  if (!plan.diagnose) return link;
  link.filter = observing_filter();
  std::tie(link.to_launcher, link.from_command) = make_channel();
  link.records = UniqueFd(::memfd_create("denied", MFD_CLOEXEC));
  if (!link.to_launcher || !link.records) return failed(Step::start, errno, "diagnosis");
  return link;
}

Done install_observer(const ObserverLink& link) {
  if (!link.wanted()) return {};
  sock_fprog program = {static_cast<unsigned short>(link.filter.size()),
                        const_cast<sock_filter*>(link.filter.data())};
  long listener = -1;
  for (const unsigned extra : {flag_wait_killable, 0U}) {
    listener = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                         SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW | extra,
                         &program);
    if (listener >= 0 || errno != EINVAL) break;
  }
  if (listener < 0) return failed(Step::seccomp, errno, "diagnosis");
  const UniqueFd owned(static_cast<int>(listener));
  const int fds[] = {owned.get()};
  Report ready;
  ready.kind = Report::Kind::ready;
  if (!send_report(link.to_launcher.get(), ready, fds)) {
    return failed(Step::seccomp, errno, "diagnosis");
  }
  return {};
}

Verdict judge(const SandboxPlan& plan, const std::vector<LandlockRule>& rules,
              const std::string& path, DeniedPath::Access access) {
  if (is_provided(path)) return Verdict::granted;  // or not there, which no grant changes
  if (!denied_by(plan, path, access).empty()) return Verdict::denied;
  const std::string place = access == Access::make ? parent_of(path) : path;
  const bool granted = std::any_of(rules.begin(), rules.end(), [&](const LandlockRule& rule) {
    return is_at_or_below(place, rule.path) && (access == Access::read ? rule.read : rule.write);
  });
  return granted ? Verdict::granted : Verdict::not_granted;
}

Observer::Observer(const SandboxPlan& plan, const std::vector<LandlockRule>& rules,
                   const ObserverLink& link, UniqueFd proc)
    : plan_(plan),
      rules_(rules),
      proc_(std::move(proc)),
      socket_(link.from_command.get()),
      records_(link.records.get()) {}

pollfd Observer::poll() const {
  return {listener_ ? listener_.get() : socket_, POLLIN, 0};
}

void Observer::step(short events) {
  if (!listener_ && socket_ >= 0) return take_listener();
  if ((events & POLLIN) != 0) return answer();
  listener_.reset();  // nobody is left who could report
}

void Observer::take_listener() {
  std::optional<Report> report = receive_report(socket_);
  socket_ = -1;
  if (!report || report->fds.size() != 1) return;
  listener_ = std::move(report->fds[0]);
  // Where the kernel can, the command goes on at once on the same processor.
  ::ioctl(listener_.get(), request_set_flags, flag_sync_wake_up);
}

std::string Observer::folder_of(pid_t thread, int descriptor) const {
  const std::string name = descriptor == AT_FDCWD ? fmt::format("{}/cwd", thread)
                                                  : fmt::format("{}/fd/{}", thread, descriptor);
  std::array<char, PATH_MAX> target;
  const ssize_t size = ::readlinkat(proc_.get(), name.c_str(), target.data(), target.size());
  return size <= 0 ? std::string() : std::string(target.data(), static_cast<std::size_t>(size));
}

// The file that a call names, canonical where it can be seen; empty where it cannot be told.
std::string Observer::path_of(const PathCall& call, const seccomp_notif& request) const {
  const auto thread = static_cast<pid_t>(request.pid);
  std::optional<std::string> path = string_at(thread, request.data.args[call.path]);
  if (!path || path->empty()) return {};
  if (path->front() == '/') return *path;
  const int folder = call.folder < 0 ? AT_FDCWD : static_cast<int>(request.data.args[call.folder]);
  const std::string base = folder_of(thread, folder);
  return base.starts_with('/') ? base + "/" + *path : std::string();
}

// The call goes on whatever is found: this decides nothing.
void Observer::answer() {
  seccomp_notif request = {};
  if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) return;
  std::vector<std::pair<std::string, const PathCall*>> named;
  for (const PathCall& call : path_calls) {
    if (call.number != request.data.nr) continue;
    std::string path = path_of(call, request);
    if (!path.empty()) named.emplace_back(std::move(path), &call);
  }
  const bool valid = ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &request.id) == 0;
  seccomp_notif_resp answer = {};
  answer.id = request.id;
  answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer);
  if (!valid) return;  // what was read may have been another process's
  for (const auto& [path, call] : named) {
    const std::uint64_t flags = call->flags < 0 ? 0 : request.data.args[call->flags];
    consider(path, *call, static_cast<unsigned>(flags));
  }
}

void Observer::consider(const std::string& path, const PathCall& call, unsigned flags) {
  if ((flags & O_PATH) != 0) return;  // the name alone, which anybody may have
  std::string found = real(path);
  const bool exists = !found.empty();
  const bool writes = call.use == Use::write || (flags & O_ACCMODE) != O_RDONLY;
  const bool makes = call.use == Use::make || (!exists && (flags & O_CREAT) != 0);
  if (!exists && makes) found = real_with_parent(path);
  // May be hidden from us as well, being denied: then the name as it was given tells.
  note(found.empty() ? path : found, makes ? Access::make : writes ? Access::write : Access::read);
}

void Observer::note(const std::string& path, Access access) {
  if (seen_.size() >= records_max || seen_.contains({path, access})) return;
  const Verdict verdict = judge(plan_, rules_, path, access);
  if (verdict == Verdict::granted) return;
  if (verdict == Verdict::not_granted) {
    struct stat info = {};
    const std::string place = access == Access::make ? parent_of(path) : path;
    if (::lstat(place.c_str(), &info) != 0) return;  // searched for in many places, and not there
    if (!user_may(place, access != Access::read)) return;
  }
  seen_.insert({path, access});
  const char letter = static_cast<char>('0' + static_cast<int>(access));
  const std::string record = letter + path + '\0';
  // A full memory loses the rest of the explanation, nothing else.
  (void)!::write(records_, record.data(), record.size());
}

std::vector<DeniedPath> read_records(const SandboxPlan& plan, int records) {
  struct stat info = {};
  if (records < 0 || ::fstat(records, &info) != 0) return {};
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  const ssize_t size = ::pread(records, text.data(), text.size(), 0);
  text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  std::vector<DeniedPath> denied;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\0', at), text.size());
    DeniedPath path;
    path.access = static_cast<Access>(text[at] - '0');
    path.path = text.substr(at + 1, end - at - 1);
    path.denied_by = denied_by(plan, path.path, path.access);
    const std::string folder = parent_of(path.path);
    path.beside_denied =
        std::any_of(plan.denies.begin(), plan.denies.end(),
                    [&](const FsDeny& deny) { return is_below(deny.path, folder); });
    denied.push_back(std::move(path));
    at = end + 1;
  }
  return denied;
}

}  // namespace nono::sandbox
