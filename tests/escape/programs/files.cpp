// Files outside what was granted: `outside` is a folder of the same user's that no flag names. It
// holds `secret`, and for each attempt NAME that changes something a file `target-NAME`.

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

std::string secret(const Attempt& attempt) {
  return attempt.where.text("outside") + "/secret";
}

std::string own_name(const Attempt& attempt) {
  return attempt.message.substr(0, attempt.message.find(' '));
}

std::string target(const Attempt& attempt) {
  return attempt.where.text("outside") + "/target-" + own_name(attempt);
}

// A name that does not exist yet.
std::string fresh(const Attempt& attempt) {
  return attempt.where.text("outside") + "/made-" + own_name(attempt);
}

Outcome did(long result, const char* step) {
  return result < 0 ? blocked(step) : reached(step);
}

Outcome read_at(const std::string& path) {
  const std::string text = read_file(path);
  return text.empty() ? blocked("open") : reached(text);
}

Outcome reads(const Attempt& attempt) {
  return read_at(secret(attempt));
}
Outcome reads_by_root(const Attempt& attempt) {
  return read_at("/proc/self/root" + secret(attempt));
}
Outcome reads_by_parent(const Attempt& attempt) {
  return read_at("/proc/self/cwd/" + attempt.where.text("way-up") + "/secret");
}

Outcome reads_by_link(const Attempt& attempt) {
  ::unlink("link-to-secret");
  if (::symlink(secret(attempt).c_str(), "link-to-secret") != 0) return blocked("symlink");
  return read_at("link-to-secret");
}

Outcome reads_by_hard_link(const Attempt& attempt) {
  ::unlink("hard-link");
  if (::link(secret(attempt).c_str(), "hard-link") != 0) return blocked("link");
  return read_at("hard-link");
}

Outcome reads_by_path_descriptor(const Attempt& attempt) {
  const UniqueFd path(::open(secret(attempt).c_str(), O_PATH | O_CLOEXEC));
  if (!path) return blocked("open the path");
  return read_at("/proc/self/fd/" + std::to_string(path.get()));
}

Outcome reads_by_folder(const Attempt& attempt) {
  const UniqueFd folder(::open(attempt.where.text("outside").c_str(), O_PATH | O_CLOEXEC));
  if (!folder) return blocked("open the folder");
  const UniqueFd file(::openat(folder.get(), "secret", O_RDONLY | O_CLOEXEC));
  return file ? reached(read_some(file.get())) : blocked("openat");
}

Outcome reads_by_handle(const Attempt& attempt) {
  std::array<char, sizeof(file_handle) + MAX_HANDLE_SZ> memory = {};
  auto* handle = static_cast<file_handle*>(static_cast<void*>(memory.data()));
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  if (::name_to_handle_at(AT_FDCWD, secret(attempt).c_str(), handle, &mount, 0) != 0) {
    return blocked("name_to_handle_at");
  }
  const UniqueFd folder(::open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd file(::open_by_handle_at(folder.get(), handle, O_RDONLY | O_CLOEXEC));
  return file ? reached(read_some(file.get())) : blocked("open_by_handle_at");
}

// Moves it to where the program may read.
Outcome reads_by_moving(const Attempt& attempt) {
  const std::string from = target(attempt);
  if (::rename(from.c_str(), "moved-here") != 0) return blocked("rename");
  return reached("moved");
}

Outcome lists(const Attempt& attempt) {
  DIR* folder = ::opendir(attempt.where.text("outside").c_str());
  if (folder == nullptr) return blocked("opendir");
  std::string names;
  while (const dirent* entry = ::readdir(folder)) names += std::string(" ") + entry->d_name;
  ::closedir(folder);
  return reached(names);
}

Outcome maps(const Attempt& attempt) {
  const UniqueFd file(::open(secret(attempt).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return blocked("open");
  const void* memory = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, file.get(), 0);
  return memory == MAP_FAILED ? blocked("mmap") : reached(static_cast<const char*>(memory));
}

Outcome writes(const Attempt& attempt) {
  return write_file(target(attempt), "changed") ? reached("written") : blocked("open");
}
Outcome creates(const Attempt& attempt) {
  return write_file(fresh(attempt), "new") ? reached("created") : blocked("create");
}

Outcome creates_nameless(const Attempt& attempt) {
  const UniqueFd file(
      ::open(attempt.where.text("outside").c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (!file) return blocked("O_TMPFILE");
  return did(::linkat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(file.get())).c_str(), AT_FDCWD,
                      fresh(attempt).c_str(), AT_SYMLINK_FOLLOW),
             "linkat");
}

Outcome truncates(const Attempt& attempt) {
  return did(::truncate(target(attempt).c_str(), 1), "truncate");
}
Outcome removes(const Attempt& attempt) {
  return did(::unlink(target(attempt).c_str()), "unlink");
}
Outcome makes_folder(const Attempt& attempt) {
  return did(::mkdir(fresh(attempt).c_str(), 0755), "mkdir");
}
Outcome makes_pipe(const Attempt& attempt) {
  return did(::mkfifo(fresh(attempt).c_str(), 0644), "mkfifo");
}
Outcome makes_link(const Attempt& attempt) {
  return did(::symlink("/", fresh(attempt).c_str()), "symlink");
}
Outcome renames(const Attempt& attempt) {
  return did(::rename(target(attempt).c_str(), fresh(attempt).c_str()), "rename");
}

Outcome moves_out(const Attempt& attempt) {
  if (!write_file("to-move", "planted")) return blocked("create");
  return did(::rename("to-move", fresh(attempt).c_str()), "rename");
}

Outcome exchanges(const Attempt& attempt) {
  if (!write_file("to-exchange", "planted")) return blocked("create");
  constexpr unsigned exchange = 2;
  return did(::syscall(SYS_renameat2, AT_FDCWD, "to-exchange", AT_FDCWD, target(attempt).c_str(),
                       exchange),
             "renameat2");
}

Outcome links_out(const Attempt& attempt) {
  if (!write_file("to-link", "planted")) return blocked("create");
  return did(::link("to-link", fresh(attempt).c_str()), "link");
}

Outcome changes_mode(const Attempt& attempt) {
  return did(::chmod(target(attempt).c_str(), 0777), "chmod");
}

Outcome changes_mode_by_descriptor(const Attempt& attempt) {
  const UniqueFd path(::open(target(attempt).c_str(), O_PATH | O_CLOEXEC));
  if (!path) return blocked("open the path");
  return did(::chmod(("/proc/self/fd/" + std::to_string(path.get())).c_str(), 0777), "chmod");
}

Outcome changes_times(const Attempt& attempt) {
  const std::array<timespec, 2> times = {timespec{1, 0}, timespec{1, 0}};
  return did(::utimensat(AT_FDCWD, target(attempt).c_str(), times.data(), 0), "utimensat");
}

Outcome changes_attribute(const Attempt& attempt) {
  return did(::setxattr(target(attempt).c_str(), "user.nono", "x", 1, 0), "setxattr");
}

Outcome changes_owner(const Attempt& attempt) {
  constexpr uid_t someone = 12345;
  return did(::chown(target(attempt).c_str(), someone, someone), "chown");
}

Outcome reaches_shell_of_login(const Attempt& attempt) {
  return write_file(attempt.where.text("home") + "/.profile", "echo planted\n") ? reached("written")
                                                                                : blocked("open");
}

// The memory of the program, and with it whatever it was given, in a file that stays.
Outcome dumps_core(const Attempt& /*attempt*/) {
  const pid_t child = ::fork();
  if (child == 0) {
    rlimit limit = {};
    ::getrlimit(RLIMIT_CORE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_CORE, &limit);
    std::signal(SIGABRT, SIG_DFL);
    ::kill(::getpid(), SIGABRT);
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status) && WCOREDUMP(status)) return reached("dumped");
  return {false, "no core was dumped"};
}

}  // namespace

Family file_family() {
  return {
      {"read", Proof::read, reads},
      {"read-by-root", Proof::read, reads_by_root},
      {"read-by-parent", Proof::read, reads_by_parent},
      {"read-by-link", Proof::read, reads_by_link},
      {"read-by-hard-link", Proof::read, reads_by_hard_link},
      {"read-by-path-descriptor", Proof::read, reads_by_path_descriptor},
      {"read-by-folder", Proof::read, reads_by_folder},
      {"read-by-handle", Proof::read, reads_by_handle, "an administrator's rights"},
      {"move-here", Proof::state, reads_by_moving},
      {"list", Proof::read, lists},
      {"map", Proof::read, maps},
      {"write", Proof::state, writes},
      {"create", Proof::state, creates},
      {"create-nameless", Proof::state, creates_nameless, "files without a name"},
      {"truncate", Proof::state, truncates},
      {"unlink", Proof::state, removes},
      {"mkdir", Proof::state, makes_folder},
      {"mkfifo", Proof::state, makes_pipe},
      {"symlink", Proof::state, makes_link},
      {"rename", Proof::state, renames},
      {"move-out", Proof::state, moves_out},
      {"exchange", Proof::state, exchanges},
      {"link-out", Proof::state, links_out},
      {"chmod", Proof::state, changes_mode},
      {"chmod-by-descriptor", Proof::state, changes_mode_by_descriptor},
      {"utimes", Proof::state, changes_times},
      {"setxattr", Proof::state, changes_attribute, "extended attributes"},
      {"chown", Proof::state, changes_owner, "the right to give files away"},
      {"login-shell", Proof::state, reaches_shell_of_login},
      {"core", Proof::word, dumps_core, "core files"},
  };
}

}  // namespace escape
