#include "proxy/net/splice_pipe.hpp"

#include <fcntl.h>

namespace nono {

namespace {

// After the system had none: asking costs more than copying one buffer.
constexpr unsigned takes_refused = 64;

}  // namespace

std::unique_ptr<SplicePipe> SplicePipe::make(std::size_t wanted) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return nullptr;
  UniqueFd out(ends[0]), in(ends[1]);
  int size = ::fcntl(in.get(), F_SETPIPE_SZ, static_cast<int>(wanted));
  if (size < 0) size = ::fcntl(in.get(), F_GETPIPE_SZ);
  if (size < static_cast<int>(bytes_min)) return nullptr;
  // make_unique cannot reach the constructor
  return std::unique_ptr<SplicePipe>(
      new SplicePipe(std::move(out), std::move(in), static_cast<std::size_t>(size)));
}

ssize_t SplicePipe::fill(int socket) noexcept {
  const ssize_t count = ::splice(socket, nullptr, in_.get(), nullptr, size_ - held_,
                                 SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (count > 0) held_ += static_cast<std::size_t>(count);
  return count;
}

ssize_t SplicePipe::pour(int socket) noexcept {
  const ssize_t count =
      ::splice(out_.get(), nullptr, socket, nullptr, held_, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (count > 0) held_ -= static_cast<std::size_t>(count);
  return count;
}

std::unique_ptr<SplicePipe> PipePool::take() {
  std::unique_ptr<SplicePipe> pipe;
  if (!spare_.empty()) {
    pipe = std::move(spare_.back());
    spare_.pop_back();
  } else if (lent_ < lent_max) {
    if (wait_ > 0) {
      --wait_;
      return nullptr;
    }
    pipe = SplicePipe::make();
    if (!pipe) wait_ = takes_refused;
  }
  if (pipe) ++lent_;
  return pipe;
}

void PipePool::give_back(std::unique_ptr<SplicePipe> pipe) {
  --lent_;
  if (pipe->held() == 0 && spare_.size() < spare_max) spare_.push_back(std::move(pipe));
}

}  // namespace nono
