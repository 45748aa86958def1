#include "proxy/audit/line_reader.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace nono::audit {

namespace {

constexpr std::size_t buffer_bytes = std::size_t{1} << 20;

}  // namespace

LineReader::LineReader(UniqueFd fd, std::string path)
    : fd_(std::move(fd)), path_(std::move(path)), buffer_(buffer_bytes) {}

Result<LineReader> LineReader::open(const std::string& path) {
  UniqueFd fd(path == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                          : ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return fail(errno_error(errno, path));
  (void)::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  return LineReader(std::move(fd), path);
}

LineReader::Step LineReader::next(std::string_view& line) {
  line = {};
  while (true) {
    const char* const from = buffer_.data() + begin_ + searched_;
    const std::size_t unsearched = end_ - begin_ - searched_;
    const void* const found = unsearched == 0 ? nullptr : std::memchr(from, '\n', unsearched);
    if (found != nullptr) {
      const char* const start = buffer_.data() + begin_;
      const auto size = static_cast<std::size_t>(static_cast<const char*>(found) - start);
      begin_ += size + 1;
      searched_ = 0;
      if (std::exchange(skipping_, false)) return Step::too_long;
      line = std::string_view(start, size);
      return Step::line;
    }
    searched_ = end_ - begin_;
    if (searched_ > line_bytes_max) skipping_ = true;
    if (skipping_) begin_ = end_ = searched_ = 0;
    if (fill()) continue;
    if (failed_) return Step::failed;
    if (std::exchange(skipping_, false)) return Step::too_long;
    if (begin_ == end_) return Step::end;
    line = std::string_view(buffer_.data() + begin_, end_ - begin_);
    begin_ = end_;
    searched_ = 0;
    return Step::incomplete;
  }
}

bool LineReader::fill() {
  if (at_end_ || failed_) return false;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) buffer_.resize(buffer_.size() * 2);
  while (true) {
    const ssize_t count = ::read(fd_.get(), buffer_.data() + end_, buffer_.size() - end_);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      failed_ = true;
      error_ = errno_error(errno, path_);
      return false;
    }
    if (count == 0) {
      at_end_ = true;
      return false;
    }
    end_ += static_cast<std::size_t>(count);
    bytes_read_ += static_cast<std::uint64_t>(count);
    return true;
  }
}

}  // namespace nono::audit
