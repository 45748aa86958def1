#include "proxy/net/page_pool.hpp"

#include <sys/mman.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>
#include <set>
#include <thread>
#include <utility>
#include <vector>

using nono::Page;

namespace {

bool takes_memory(char* page) {
  unsigned char resident = 0;
  REQUIRE(::mincore(page, Page::bytes, &resident) == 0);
  return (resident & 1) != 0;
}

}  // namespace

TEST_CASE("pages on loan are whole, aligned and nobody else's") {
  std::vector<Page> pages;
  std::set<char*> places;
  for (int i = 0; i < 1000; ++i) {
    pages.push_back(Page::take());
    REQUIRE(pages.back());
    REQUIRE(reinterpret_cast<std::uintptr_t>(pages.back().get()) % Page::bytes == 0);
    std::memset(pages.back().get(), i & 0xff, Page::bytes);
    places.insert(pages.back().get());
  }
  CHECK(places.size() == pages.size());
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(static_cast<unsigned char>(pages[static_cast<std::size_t>(i)].get()[4095]) ==
            (i & 0xff));
  }
}

TEST_CASE("pages given back take no memory but for a few, though others stay on loan") {
  std::vector<Page> all;
  for (int i = 0; i < 1000; ++i) {
    all.push_back(Page::take());
    all.back().get()[0] = 'x';
  }
  std::vector<char*> given_back;
  for (std::size_t i = 0; i < all.size(); i += 2) {
    given_back.push_back(all[i].get());
    all[i].reset();
    CHECK_FALSE(all[i]);
  }
  std::size_t resident = 0;
  for (char* page : given_back) resident += takes_memory(page) ? 1U : 0U;
  CHECK(resident <= 64);
  for (std::size_t i = 1; i < all.size(); i += 2) REQUIRE(all[i].get()[0] == 'x');
}

TEST_CASE("a page outlives its thread, and moves") {
  Page page;
  std::thread([&] {
    page = Page::take();
    page.get()[0] = 'y';
  }).join();
  Page moved = std::move(page);
  CHECK_FALSE(page);  // NOLINT: what a moved page is
  REQUIRE(moved);
  CHECK(moved.get()[0] == 'y');
  moved = Page();
  CHECK_FALSE(moved);
}
