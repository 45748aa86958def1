#pragma once
// Memory of coroutine frames, one pool per thread. A request is some twenty coroutines one in the
// other; Asio keeps a handful of frames of up to 1 KiB and asks aligned_alloc() for all others.
//
// Specialises what Asio calls, so that every file with coroutines must see it before it sees Asio:
// the target nono_asio has the compiler include it first.

#include <array>
#include <boost/asio/detail/thread_info_base.hpp>
#include <cstddef>
#include <new>

namespace nono {

class FramePool {
 public:
  FramePool() = default;
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;
  ~FramePool() {
    closed_ = true;
    for (Size& size : sizes_) {
      while (size.first != nullptr) ::operator delete(take(size));
    }
  }

  static void* allocate(std::size_t bytes) {
    const std::size_t at = (bytes - 1) / step;
    if (at >= sizes || closed_) return ::operator new(bytes);
    Size& size = of_this_thread().sizes_[at];
    return size.first != nullptr ? take(size) : ::operator new((at + 1) * step);
  }

  static void deallocate(void* frame, std::size_t bytes) noexcept {
    const std::size_t at = (bytes - 1) / step;
    if (at >= sizes || closed_) return ::operator delete(frame);
    Size& size = of_this_thread().sizes_[at];
    if (size.count >= kept_max) return ::operator delete(frame);
    size.first = new (frame) Free{size.first};
    ++size.count;
  }

 private:
  struct Free {
    Free* next;
  };
  struct Size {
    Free* first = nullptr;
    std::size_t count = 0;
  };
  static constexpr std::size_t step = 64;  // bytes
  static constexpr std::size_t sizes = 64;
  // Of each size. What a burst of connections took more goes back to the allocator, and an idle
  // tunnel's frames are as large as they have to be: Asio gives a small one any block that is
  // free.
  static constexpr std::size_t kept_max = 32;
  // Frames of more than step * sizes bytes are rare, and the allocator's own.

  static FramePool& of_this_thread() {
    thread_local FramePool pool;
    return pool;
  }
  static void* take(Size& size) noexcept {
    Free* const frame = size.first;
    size.first = frame->next;
    --size.count;
    return frame;
  }

  static inline thread_local bool closed_ = false;  // what ends later than the pool does without
  std::array<Size, sizes> sizes_{};
};

}  // namespace nono

namespace boost::asio::detail {

template <>
inline void* thread_info_base::allocate(awaitable_frame_tag, thread_info_base*, std::size_t size,
                                        std::size_t) {
  return nono::FramePool::allocate(size);
}

template <>
inline void thread_info_base::deallocate(awaitable_frame_tag, thread_info_base*, void* pointer,
                                         std::size_t size) {
  nono::FramePool::deallocate(pointer, size);
}

}  // namespace boost::asio::detail
