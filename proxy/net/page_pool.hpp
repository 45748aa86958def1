#pragma once
// Blocks of a page each, for what many connections need for a short time: a page that is given back
// is the system's again, whatever lies around it. (malloc keeps such holes among the small objects
// of connections that live on: 5,000 idle tunnels kept 40 MiB that way.)

#include <cstddef>
#include <memory>

namespace nono {

class PagePool;

// A page on loan, or none. Of the pool of the thread that took it.
class Page {
 public:
  static constexpr std::size_t bytes = 4096;

  Page() = default;
  static Page take();
  Page(Page&& other) noexcept;
  Page& operator=(Page&& other) noexcept;
  ~Page() { reset(); }

  char* get() const { return at_; }
  explicit operator bool() const { return at_ != nullptr; }
  void reset() noexcept;

 private:
  // Held, since connections are taken down after their thread has ended; then by one thread alone.
  std::shared_ptr<PagePool> pool_;
  char* at_ = nullptr;
};

}  // namespace nono
