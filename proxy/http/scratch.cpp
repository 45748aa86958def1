#include "proxy/http/scratch.hpp"

namespace nono::http {

namespace {

constexpr std::size_t kept_blocks_max = 16;

// An allocator's free list, no more: nothing can be observed through it. Per thread, so no locks.
std::vector<std::unique_ptr<char[]>>& kept_blocks() {
  thread_local std::vector<std::unique_ptr<char[]>> blocks;
  return blocks;
}

}  // namespace

Scratch::~Scratch() {
  auto& kept = kept_blocks();
  if (block_ && kept.size() < kept_blocks_max) kept.push_back(std::move(block_));
}

std::span<char> Scratch::payload() {
  if (!block_) {
    auto& kept = kept_blocks();
    if (kept.empty()) {
      block_ = std::make_unique_for_overwrite<char[]>(front_bytes + payload_bytes + back_bytes);
    } else {
      block_ = std::move(kept.back());
      kept.pop_back();
    }
  }
  return {block_.get() + front_bytes, payload_bytes};
}

}  // namespace nono::http
