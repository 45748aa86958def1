#pragma once
// SplicePipe: a pipe in the kernel through which bytes go from one socket to another without
// passing through this process (splice(2)); and the few of them that a thread keeps.

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "config/base/fd.hpp"

namespace nono {

// Used by one thread at a time. SIGPIPE must be ignored: splice(2) knows no MSG_NOSIGNAL.
class SplicePipe {
 public:
  static constexpr std::size_t bytes = 256 * 1024;
  // Below this, copying through a large buffer costs less (bench/README.md).
  static constexpr std::size_t bytes_min = 128 * 1024;

  // Null where the system has none of a useful size: descriptors, or what pipe(7) calls
  // pipe-user-pages-soft, ran out.
  static std::unique_ptr<SplicePipe> make(std::size_t wanted = bytes);

  // Takes what `socket` has. Only while nothing is held, so that EAGAIN says that the socket is
  // empty. As recv(2): bytes taken; 0 at the end of the stream; -1 with errno.
  ssize_t fill(int socket) noexcept;
  // Gives what is held to `socket`, as far as it has room. As send(2).
  ssize_t pour(int socket) noexcept;
  std::size_t held() const { return held_; }
  std::size_t size() const { return size_; }

 private:
  SplicePipe(UniqueFd out, UniqueFd in, std::size_t size)
      : out_(std::move(out)), in_(std::move(in)), size_(size) {}
  UniqueFd out_, in_;
  std::size_t size_;
  std::size_t held_ = 0;
};

// Bounded: an ordinary user may hold 256 pipes of this size in all, and each costs two descriptors.
// One per thread.
class PipePool {
 public:
  static constexpr std::size_t spare_max = 4;
  static constexpr std::size_t lent_max = 60;

  // Null: none is to be had now, so copy.
  std::unique_ptr<SplicePipe> take();
  // A pipe that still holds something is closed.
  void give_back(std::unique_ptr<SplicePipe> pipe);
  std::size_t lent() const { return lent_; }
  std::size_t spare() const { return spare_.size(); }

 private:
  std::vector<std::unique_ptr<SplicePipe>> spare_;
  std::size_t lent_ = 0;
  unsigned wait_ = 0;  // takes to be refused before the system is asked again
};

}  // namespace nono
