#include "proxy/http/scratch.hpp"

#include "config/base/secret.hpp"

namespace nono::http {

namespace {

constexpr std::size_t kept_blocks_max = 16;
constexpr std::size_t kept_texts_max = 64;
constexpr std::size_t usual_text_bytes = 2048;
constexpr std::size_t kept_text_bytes_max = 16 * 1024;

// An allocator's free list, no more: nothing can be observed through it. Per thread, so no locks.
std::vector<std::unique_ptr<char[]>>& kept_blocks() {
  thread_local std::vector<std::unique_ptr<char[]>> blocks;
  return blocks;
}

// Likewise.
std::vector<std::string>& kept_texts() {
  thread_local std::vector<std::string> texts = [] {
    std::vector<std::string> room;
    room.reserve(kept_texts_max);  // giving one back must not fail
    return room;
  }();
  return texts;
}

}  // namespace

Scratch::~Scratch() {
  auto& kept = kept_blocks();
  if (block_ && kept.size() < kept_blocks_max) kept.push_back(std::move(block_));
}

HeadText::HeadText() {
  auto& kept = kept_texts();
  if (kept.empty()) {
    text_.reserve(usual_text_bytes);
  } else {
    text_ = std::move(kept.back());
    kept.pop_back();
    text_.clear();
  }
}

HeadText::~HeadText() {
  wipe(text_.data(), text_.size());
  auto& kept = kept_texts();
  const bool usual =
      text_.capacity() >= usual_text_bytes && text_.capacity() <= kept_text_bytes_max;
  if (usual && kept.size() < kept_texts_max) kept.push_back(std::move(text_));
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
