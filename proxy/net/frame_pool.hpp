#pragma once
// Memory of coroutine frames and of other small things of a request, one pool per thread. A request
// is some dozen coroutines one in the other; Asio keeps a handful of frames of up to 1 KiB and asks
// aligned_alloc() for all others. All that one look at the sockets sets going needs its memory at
// the same time, more of each size than malloc keeps at hand.
//
// Specialises what Asio calls, so that every file with coroutines must see it before it sees Asio:
// the target nono_asio has the compiler include it first.

#include <array>
#include <boost/asio/detail/thread_info_base.hpp>
#include <cstddef>
#include <new>
#include <utility>

namespace nono {

class FramePool {
 public:
  FramePool() = default;
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;
  ~FramePool() {
    closed_ = true;
    for (Free* first : first_) {
      while (first != nullptr) ::operator delete(std::exchange(first, first->next));
    }
  }

  static void* allocate(std::size_t bytes) {
    const std::size_t at = (bytes - 1) / step;
    if (at >= sizes || closed_) return ::operator new(bytes);
    FramePool& pool = of_this_thread();
    Free*& first = pool.first_[at];
    if (first == nullptr) return ::operator new((at + 1) * step);
    pool.kept_bytes_ -= (at + 1) * step;
    return std::exchange(first, first->next);
  }

  static void deallocate(void* frame, std::size_t bytes) noexcept {
    const std::size_t at = (bytes - 1) / step;
    if (at >= sizes || closed_) return ::operator delete(frame);
    FramePool& pool = of_this_thread();
    if (pool.kept_bytes_ >= kept_bytes_max) return ::operator delete(frame);
    pool.kept_bytes_ += (at + 1) * step;
    pool.first_[at] = new (frame) Free{pool.first_[at]};
  }

 private:
  struct Free {
    Free* next;
  };
  static constexpr std::size_t step = 64;  // bytes
  static constexpr std::size_t sizes = 64;
  // Enough for all that a look at the sockets may set going. What a burst of connections took more
  // goes back to the allocator, and an idle tunnel's frames are as large as they have to be: Asio
  // gives a small one any block that is free.
  static constexpr std::size_t kept_bytes_max = std::size_t{1} << 20;
  // Frames of more than step * sizes bytes are rare, and the allocator's own.

  static FramePool& of_this_thread() {
    thread_local FramePool pool;
    return pool;
  }

  static inline thread_local bool closed_ = false;  // what ends later than the pool does without
  std::array<Free*, sizes> first_{};
  std::size_t kept_bytes_ = 0;
};

// Where what is used after its end is to be found, everything but frames has memory of its own.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool finds_late_use = true;
#elif defined(__has_feature)
inline constexpr bool finds_late_use = __has_feature(address_sanitizer);
#else
inline constexpr bool finds_late_use = false;
#endif

// For objects that come and go with a connection or a request, on one thread.
struct Pooled {
  static void* operator new(std::size_t bytes) {
    return finds_late_use ? ::operator new(bytes) : FramePool::allocate(bytes);
  }
  static void operator delete(void* memory, std::size_t bytes) noexcept {
    finds_late_use ? ::operator delete(memory) : FramePool::deallocate(memory, bytes);
  }
};

// For containers of a request, which end on the thread that they began on.
template <class Value>
struct PoolAllocator {
  using value_type = Value;
  PoolAllocator() = default;
  template <class Other>
  PoolAllocator(const PoolAllocator<Other>&) {}  // NOLINT(google-explicit-constructor)
  Value* allocate(std::size_t count) {
    return static_cast<Value*>(Pooled::operator new(count * sizeof(Value)));
  }
  void deallocate(Value* memory, std::size_t count) noexcept {
    Pooled::operator delete(memory, count * sizeof(Value));
  }
  friend bool operator==(PoolAllocator, PoolAllocator) { return true; }
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
