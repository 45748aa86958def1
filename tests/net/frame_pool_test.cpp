#include "proxy/net/frame_pool.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

using nono::FramePool;

TEST_CASE("a frame's memory goes to the next frame of its size, never to a much smaller one") {
  void* const large = FramePool::allocate(900);
  FramePool::deallocate(large, 900);
  void* const small = FramePool::allocate(200);
  CHECK(small != large);
  void* const again = FramePool::allocate(896);  // 833 to 896 bytes are another size
  CHECK(again != large);
  void* const same = FramePool::allocate(897);
  CHECK(same == large);
  FramePool::deallocate(small, 200);
  FramePool::deallocate(again, 896);
  FramePool::deallocate(same, 897);
}

TEST_CASE("no two live frames share memory, however many sizes come and go") {
  std::vector<std::pair<unsigned char*, std::size_t>> live;
  for (std::size_t turn = 0; turn < 3; ++turn) {
    for (std::size_t bytes = 1; bytes <= 5000; bytes += 37) {
      auto* const frame = static_cast<unsigned char*>(FramePool::allocate(bytes));
      std::memset(frame, static_cast<int>(live.size() & 0xff), bytes);
      live.emplace_back(frame, bytes);
    }
    for (std::size_t at = 0; at < live.size(); ++at) {
      const auto [frame, bytes] = live[at];
      CHECK(frame[0] == (at & 0xff));
      CHECK(frame[bytes - 1] == (at & 0xff));
    }
    for (const auto& [frame, bytes] : live) FramePool::deallocate(frame, bytes);
    live.clear();
  }
}

TEST_CASE("a frame may end on another thread, and a thread's pool ends with it") {
  void* frame = nullptr;
  std::thread([&] { frame = FramePool::allocate(300); }).join();
  FramePool::deallocate(frame, 300);
  std::thread([] { FramePool::deallocate(FramePool::allocate(300), 300); }).join();
}
