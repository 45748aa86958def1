#pragma once
// Secret: bytes that must not leak. Move-only, kept in locked memory that is left out of core
// dumps, wiped when destroyed, never printable.

#include <cstddef>
#include <memory>
#include <string_view>

namespace nono {

class Secret {
 public:
  Secret() = default;
  // Copies `bytes`; wiping the source is the caller's business (wipe()).
  explicit Secret(std::string_view bytes);
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  // The bytes themselves. The name is long so that a search finds every reader; the view is valid
  // while this object lives. Never pass it to a logger, an Error or a std::string that outlives use.
  std::string_view expose() const { return {data_, size_}; }
  // A second copy, explicit because copies should be rare.
  Secret clone() const { return Secret(expose()); }

 private:
  void release() noexcept;
  char* data_ = nullptr;   // its own mlock()ed, MADV_DONTDUMP mapping where the system allows
  std::size_t size_ = 0;
  std::size_t mapped_ = 0;
};

// Compares in time that depends on the lengths only.
bool equal_constant_time(std::string_view a, std::string_view b);

// Overwrites memory in a way the compiler may not remove.
void wipe(void* data, std::size_t size) noexcept;

}  // namespace nono
