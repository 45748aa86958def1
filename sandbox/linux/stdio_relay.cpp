#include "sandbox/linux/stdio_relay.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "sandbox/linux/channel.hpp"

namespace nono::sandbox {
namespace {

bool would_block(int error) {
  return error == EAGAIN || error == EINTR;
}

}  // namespace

StdioCopy::StdioCopy(int socket, UniqueFd pipe, bool into_pipe)
    : socket_(socket), pipe_(std::move(pipe)), into_pipe_(into_pipe), block_(block_size) {}

int StdioCopy::waiting_on() const {
  bool filling = begin_ == end_;
  return filling == into_pipe_ ? socket_ : pipe_.get();
}

short StdioCopy::waiting_for() const {
  return begin_ == end_ ? POLLIN : POLLOUT;
}

void StdioCopy::step() {
  if (begin_ == end_) fill();
  if (!done() && begin_ != end_) drain();
}

// The socket is shared with the host's processes, so it is left blocking and asked not to block.
void StdioCopy::fill() {
  ssize_t size = into_pipe_ ? ::recv(socket_, block_.data(), block_.size(), MSG_DONTWAIT)
                            : ::read(pipe_.get(), block_.data(), block_.size());
  if (size < 0 && would_block(errno)) return;
  if (size <= 0) return pipe_.reset();  // end of input, or nobody to read from
  begin_ = 0;
  end_ = static_cast<std::size_t>(size);
}

void StdioCopy::drain() {
  const char* data = block_.data() + begin_;
  std::size_t left = end_ - begin_;
  ssize_t size = into_pipe_ ? ::write(pipe_.get(), data, left)
                            : ::send(socket_, data, left, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (size < 0 && would_block(errno)) return;
  if (size < 0) return pipe_.reset();  // the reader is gone: the command gets SIGPIPE, as it should
  begin_ += static_cast<std::size_t>(size);
}

tl::expected<StdioPlan, Failure> plan_stdio() {
  StdioPlan plan;
  for (int fd = 0; fd < 3; ++fd) {
    struct stat info = {};
    if (::fstat(fd, &info) != 0) return failed(Step::stdio, errno);
    if (S_ISDIR(info.st_mode)) {
      plan.replacement[static_cast<std::size_t>(fd)] =
          UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
      continue;
    }
    if (!S_ISSOCK(info.st_mode)) continue;
    auto [read_end, write_end] = make_pipe();
    if (!read_end) return failed(Step::stdio, errno);
    bool input = fd == 0;
    UniqueFd& ours = input ? write_end : read_end;
    if (::fcntl(ours.get(), F_SETFL, O_NONBLOCK) != 0) return failed(Step::stdio, errno);
    plan.copies.emplace_back(fd, std::move(ours), input);
    plan.replacement[static_cast<std::size_t>(fd)] = std::move(input ? read_end : write_end);
  }
  return plan;
}

Done install_stdio(const StdioPlan& plan) {
  for (int fd = 0; fd < 3; ++fd) {
    const UniqueFd& replacement = plan.replacement[static_cast<std::size_t>(fd)];
    if (replacement && ::dup2(replacement.get(), fd) < 0) return failed(Step::stdio, errno);
  }
  return {};
}

}  // namespace nono::sandbox
