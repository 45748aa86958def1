#include "proxy/net/page_pool.hpp"

#include <sys/mman.h>

#include <new>
#include <utility>
#include <vector>

namespace nono {

namespace {

constexpr std::size_t slab_bytes = 256 * Page::bytes;
constexpr std::size_t warm_max = 64;  // kept as they are, for the next connections

}  // namespace

class PagePool {
 public:
  PagePool() = default;
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;
  ~PagePool() {
    for (char* slab : slabs_) ::munmap(slab, slab_bytes);
  }

  char* take() {
    std::vector<char*>& from = warm_.empty() ? cold_ : warm_;
    if (from.empty()) add_slab();
    char* const page = from.back();
    from.pop_back();
    return page;
  }

  void give(char* page) noexcept {
    if (warm_.size() < warm_max) return warm_.push_back(page);  // there was room for it before
    ::madvise(page, Page::bytes, MADV_DONTNEED);
    cold_.push_back(page);
  }

 private:
  void add_slab() {
    void* const slab =
        ::mmap(nullptr, slab_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slab == MAP_FAILED) throw std::bad_alloc();
    ::madvise(slab, slab_bytes, MADV_NOHUGEPAGE);  // a huge page would come back whole
    slabs_.push_back(static_cast<char*>(slab));
    warm_.reserve(warm_max);
    cold_.reserve(slabs_.size() * (slab_bytes / Page::bytes));
    for (std::size_t at = slab_bytes; at > 0; at -= Page::bytes) {
      cold_.push_back(slabs_.back() + at - Page::bytes);
    }
  }

  std::vector<char*> slabs_;
  std::vector<char*> warm_, cold_;  // free, last given first; the cold ones take no memory
};

Page Page::take() {
  thread_local const std::shared_ptr<PagePool> of_thread = std::make_shared<PagePool>();
  Page page;
  page.at_ = of_thread->take();
  page.pool_ = of_thread;
  return page;
}

Page::Page(Page&& other) noexcept
    : pool_(std::move(other.pool_)), at_(std::exchange(other.at_, nullptr)) {}

Page& Page::operator=(Page&& other) noexcept {
  if (this == &other) return *this;
  reset();
  pool_ = std::move(other.pool_);
  at_ = std::exchange(other.at_, nullptr);
  return *this;
}

void Page::reset() noexcept {
  if (at_ == nullptr) return;
  pool_->give(std::exchange(at_, nullptr));
  pool_.reset();
}

}  // namespace nono
