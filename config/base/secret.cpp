#include "config/base/secret.hpp"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

namespace nono {
namespace {

std::size_t round_up_to_pages(std::size_t size) {
  const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (size + page - 1) / page * page;
}

}  // namespace

Secret::Secret(std::string_view bytes) {
  if (bytes.empty()) return;
  const std::size_t mapped = round_up_to_pages(bytes.size());
  // A mapping of its own: wiping and unmapping it cannot be undone by an allocator's free list, and
  // mlock and madvise work on whole pages.
  void* memory =
      ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  // Best effort: an ordinary user may lock only so much, and a secret that might be swapped is
  // better than no secret.
  (void)::mlock(memory, mapped);
  (void)::madvise(memory, mapped, MADV_DONTDUMP);
  data_ = static_cast<char*>(memory);
  size_ = bytes.size();
  mapped_ = mapped;
  std::memcpy(data_, bytes.data(), bytes.size());
}

Secret::Secret(Secret&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_(std::exchange(other.mapped_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    release();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    mapped_ = std::exchange(other.mapped_, 0);
  }
  return *this;
}

Secret::~Secret() {
  release();
}

void Secret::release() noexcept {
  if (data_ == nullptr) return;
  wipe(data_, size_);
  ::munmap(data_, mapped_);  // also unlocks
  data_ = nullptr;
  size_ = 0;
  mapped_ = 0;
}

bool equal_constant_time(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  // Eight bytes at a time. The compiler sees neither what has been gathered nor where to stop
  // early.
  std::uint64_t difference = 0;
  std::size_t at = 0;
  for (; at + sizeof difference <= a.size(); at += sizeof difference) {
    std::uint64_t left = 0, right = 0;
    std::memcpy(&left, a.data() + at, sizeof left);
    std::memcpy(&right, b.data() + at, sizeof right);
    difference |= left ^ right;
    asm volatile("" : "+r"(difference));
  }
  for (; at < a.size(); ++at) {
    difference |= static_cast<unsigned char>(a[at]) ^ static_cast<unsigned char>(b[at]);
    asm volatile("" : "+r"(difference));
  }
  return difference == 0;
}

void wipe(void* data, std::size_t size) noexcept {
  if (size != 0) ::explicit_bzero(data, size);
}

}  // namespace nono
