#include "proxy/audit/file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <utility>

#include "proxy/audit/chain.hpp"

namespace nono::audit {

namespace {

constexpr std::size_t tail_bytes_max = std::size_t{1} << 20;
constexpr std::size_t fragment_bytes_max = 4096;
constexpr int open_attempts_max = 16;
constexpr unsigned older_max = 1'000'000;

tl::unexpected<Error> damaged(const std::string& path) {
  return fail(ErrorCode::io, "the last line of " + path + " is not a whole audit record",
              "look at it with nono audit verify, and move the file away; nono starts a new one");
}

tl::unexpected<Error> locked(const std::string& path) {
  return fail(ErrorCode::io, "another process writes the audit log " + path,
              "name another file with --audit-log");
}

tl::unexpected<Error> cannot_open(const std::string& path) {
  Error error = errno_error(errno, "cannot open the audit log " + path);
  error.fix = "name another file with --audit-log";
  return fail(std::move(error));
}

Result<std::string> read_end(int fd, std::uint64_t size, std::size_t at_most) {
  std::string end(static_cast<std::size_t>(std::min<std::uint64_t>(size, at_most)), '\0');
  const auto from = static_cast<off_t>(size - end.size());
  const ssize_t got = ::pread(fd, end.data(), end.size(), from);
  if (got < 0) return fail(errno_error(errno, "reading the audit log"));
  if (got != static_cast<ssize_t>(end.size())) return fail(ErrorCode::io, "the audit log shrank");
  return end;
}

// What `size` bytes of a log end with. A last line without its line break is what a crash leaves;
// anything else that is no record means that this file is no log of ours, and is left alone.
Result<LogTail> read_tail(int fd, std::uint64_t size, const std::string& path) {
  LogTail tail;
  if (size == 0) return tail;
  Result<std::string> end = read_end(fd, size, tail_bytes_max);
  if (!end) return fail(end.error());
  const std::size_t last_break = end->rfind('\n');
  const std::size_t whole = last_break == std::string::npos ? 0 : last_break + 1;
  tail.fragment_bytes = end->size() - whole;
  tail.fragment = end->substr(whole, fragment_bytes_max);
  if (whole == 0) {
    constexpr std::string_view start = "{\"seq\":";
    const bool ours = end->starts_with(start) || start.starts_with(*end);
    if (size > end->size() || !ours) return damaged(path);
    return tail;
  }
  const std::string_view lines = std::string_view(*end).substr(0, last_break);
  const std::size_t before = lines.rfind('\n');
  if (before == std::string_view::npos && size > end->size()) return damaged(path);
  const std::size_t begin = before == std::string_view::npos ? 0 : before + 1;
  const std::optional<Line> line = split_line(lines.substr(begin));
  if (!line) return damaged(path);
  tail.chain = line->chain;
  tail.next_sequence = line->sequence + 1;
  return tail;
}

}  // namespace

LogFile::LogFile(Options options) : options_(std::move(options)) {}

Result<LogFile> LogFile::open(Options options, LogTail& tail) {
  LogFile log(std::move(options));
  if (Result<void> opened = log.open_folder(); !opened) return fail(opened.error());
  for (int attempt = 0;; ++attempt) {
    if (attempt == open_attempts_max) return locked(log.options_.path);
    Result<bool> mine = log.open_and_lock();
    if (!mine) return fail(mine.error());
    if (*mine) break;
  }
  if (!log.regular_) return log;
  Result<LogTail> found = log.find_tail();
  if (!found) return fail(found.error());
  tail = std::move(*found);
  return log;
}

Result<void> LogFile::open_folder() {
  const std::filesystem::path path(options_.path);
  name_ = path.filename().string();
  std::filesystem::path folder = path.parent_path();
  std::error_code ignored;
  if (folder.empty()) {
    folder = ".";
  } else if (std::filesystem::create_directories(folder, ignored)) {
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, ignored);
  }
  // Held, so that nobody who moves the folder leads a rotation elsewhere.
  folder_ = UniqueFd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder_) folder_ = UniqueFd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder_ || name_.empty()) return cannot_open(options_.path);
  return {};
}

Result<bool> LogFile::open_and_lock() {
  constexpr int flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
  file_ = UniqueFd(::openat(folder_.get(), name_.c_str(), flags, 0600));
  if (!file_) return cannot_open(options_.path);
  struct stat opened {};
  if (::fstat(file_.get(), &opened) != 0) return cannot_open(options_.path);
  regular_ = S_ISREG(opened.st_mode);
  if (!regular_) return true;
  if (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) return locked(options_.path);
  // The writer that held it until now may have rotated it away.
  struct stat named {};
  return ::fstatat(folder_.get(), name_.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

Result<LogTail> LogFile::find_tail() {
  struct stat status {};
  if (::fstat(file_.get(), &status) != 0) return cannot_open(options_.path);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  names_dirty_ = size == 0;
  Result<LogTail> tail = read_tail(file_.get(), size, options_.path);
  if (!tail) return tail;
  end_ = size - tail->fragment_bytes;
  dirty_ = tail->fragment_bytes > 0;
  if (size > 0) return tail;

  constexpr int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  const UniqueFd before(::openat(folder_.get(), older(1).c_str(), flags));
  if (!before || ::fstat(before.get(), &status) != 0 || !S_ISREG(status.st_mode)) return tail;
  // Whoever is between its two renames still holds the lock of what it renamed.
  if (::flock(before.get(), LOCK_SH | LOCK_NB) != 0) return locked(options_.path);
  Result<LogTail> earlier =
      read_tail(before.get(), static_cast<std::uint64_t>(status.st_size), options_.path + ".1");
  return earlier ? earlier : tail;  // some other file of that name: the log begins here
}

void LogFile::prepare() {
  struct stat status {};
  if (!regular_ || ::fstat(file_.get(), &status) != 0) return;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  // Others may cut the file off (as logrotate's copytruncate does) or add to it, which the chain
  // will tell; either way lines go to its end.
  if (size < end_ || !dirty_) {
    end_ = size;
    dirty_ = false;
  }
  if (status.st_nlink == 0 && !exists(name_)) {
    begin_again(false);
  } else if (options_.rotate_bytes > 0 && end_ >= options_.rotate_bytes && !dirty_) {
    rotate();
  }
}

std::uint64_t LogFile::room() const {
  if (options_.rotate_bytes == 0) return std::numeric_limits<std::uint64_t>::max();
  return options_.rotate_bytes - std::min(options_.rotate_bytes, end_);
}

void LogFile::rotate() {
  struct stat mine {
  }, named{};
  const bool there = ::fstatat(folder_.get(), name_.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0;
  if (!there && errno != ENOENT) return cannot_rotate(errno);
  const bool same = there && ::fstat(file_.get(), &mine) == 0 && mine.st_ino == named.st_ino &&
                    mine.st_dev == named.st_dev;
  if (there && !same) return cannot_rotate(EEXIST);
  begin_again(there);
}

// A new FILE takes the name only when it is there and locked: what can go wrong has gone wrong
// before. Between the two renames FILE is missing; open() then continues FILE.1.
void LogFile::begin_again(bool keep_old) {
  const std::string fresh_name = name_ + ".new";
  if (::unlinkat(folder_.get(), fresh_name.c_str(), 0) != 0 && errno != ENOENT) {
    return cannot_rotate(errno);
  }
  constexpr int flags = O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  UniqueFd fresh(::openat(folder_.get(), fresh_name.c_str(), flags, 0600));
  if (!fresh || ::flock(fresh.get(), LOCK_EX | LOCK_NB) != 0) return cannot_rotate(errno);
  const int folder = folder_.get();
  if (keep_old) {
    if (!shift_older()) return cannot_rotate(errno);
    if (::renameat(folder, name_.c_str(), folder, older(1).c_str()) != 0) {
      return cannot_rotate(errno);
    }
  }
  if (::renameat(folder, fresh_name.c_str(), folder, name_.c_str()) != 0) {
    const int error = errno;
    // The lines go on in the old file, by its old name if it can be had.
    if (keep_old) (void)::renameat(folder, older(1).c_str(), folder, name_.c_str());
    return cannot_rotate(error);
  }
  file_ = std::move(fresh);
  end_ = 0;
  dirty_ = false;
  names_dirty_ = true;
  ++rotations_;
  rotate_error_.clear();
}

// Makes room for a new FILE.1. Each step is whole by itself: after a crash in between, a number is
// missing, and the next rotation moves files up to that one.
bool LogFile::shift_older() {
  const int folder = folder_.get();
  unsigned free = 1;
  while (free < older_max && exists(older(free))) ++free;
  const unsigned kept = options_.keep == 0 ? free : std::min(free, options_.keep);
  for (unsigned extra = kept + 1; extra < free; ++extra) {
    if (::unlinkat(folder, older(extra).c_str(), 0) != 0 && errno != ENOENT) return false;
  }
  for (unsigned number = kept; number > 1; --number) {
    const std::string from = older(number - 1);
    if (::renameat(folder, from.c_str(), folder, older(number).c_str()) != 0) return false;
  }
  return true;
}

std::size_t LogFile::append(std::string_view text, bool sync) {
  if (regular_ && dirty_ && ::ftruncate(file_.get(), static_cast<off_t>(end_)) != 0) {
    write_error_ = std::strerror(errno);
    return 0;
  }
  dirty_ = false;
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(file_.get(), text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      write_error_ = std::strerror(count < 0 ? errno : ENOSPC);
      break;
    }
    written += static_cast<std::size_t>(count);
  }
  std::size_t kept = written;
  if (written < text.size()) {
    const std::size_t last_break = text.substr(0, written).rfind('\n');
    kept = last_break == std::string_view::npos ? 0 : last_break + 1;
  }
  if (!regular_) return kept;  // what went into a pipe is gone
  if (kept > 0 && sync && !make_durable()) {
    write_error_ = std::strerror(errno);
    kept = 0;  // nothing is certain any more
  }
  if (kept < written) dirty_ = ::ftruncate(file_.get(), static_cast<off_t>(end_ + kept)) != 0;
  if (kept == text.size()) write_error_.clear();
  end_ += kept;
  return kept;
}

bool LogFile::make_durable() {
  if (::fdatasync(file_.get()) != 0) return false;
  // EBADF: a folder that may be searched but not read; EINVAL: a file system that has no such call.
  if (names_dirty_ && ::fsync(folder_.get()) != 0 && errno != EINVAL && errno != EBADF)
    return false;
  names_dirty_ = false;
  return true;
}

void LogFile::cannot_rotate(int error) {
  rotate_error_ = error == EEXIST ? "another file has taken its name" : std::strerror(error);
}

bool LogFile::exists(const std::string& name) const {
  struct stat status {};
  return ::fstatat(folder_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
}

}  // namespace nono::audit
