#include "proxy/policy/flat_table.hpp"

#include <catch2/catch.hpp>
#include <map>

using namespace nono::policy;

namespace {

std::uint32_t find(const FlatTable& table, std::string_view key) {
  return table.find(key, FlatTable::hash(key));
}

}  // namespace

TEST_CASE("a table finds what was put in and nothing else, also after it was made small") {
  FlatTable table;
  CHECK(find(table, "a") == FlatTable::no_value);
  std::map<std::string, std::uint32_t> expected;
  for (std::uint32_t i = 0; i < 20000; ++i) {
    // Every length from 1 on, with equal beginnings and equal ends among them.
    const std::string key = std::string(i % 40, 'x') + std::to_string(i) + std::string(i % 7, '.');
    table.insert(key) = i;
    expected[key] = i;
  }
  for (int round = 0; round < 2; ++round) {
    CHECK(table.size() == expected.size());
    for (const auto& [key, value] : expected) {
      if (find(table, key) != value) FAIL(key);
      if (find(table, key + "-") != FlatTable::no_value) FAIL(key);
    }
    table.shrink();
  }
}

TEST_CASE("a key that is put in twice has one value") {
  FlatTable table;
  CHECK(table.insert("example.com") == FlatTable::no_value);
  table.insert("example.com") = 5;
  CHECK(table.insert("example.com") == 5);
  CHECK(table.size() == 1);
}

TEST_CASE("keys with NUL octets are told apart") {
  FlatTable table;
  table.insert(std::string_view("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16)) = 1;
  table.insert(std::string_view("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16)) = 2;
  CHECK(find(table, std::string_view("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16)) == 1);
  CHECK(find(table, std::string_view("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16)) == 2);
  CHECK(find(table, std::string_view("\0", 1)) == FlatTable::no_value);
}

TEST_CASE("all is visited in the order in which it was put in") {
  FlatTable table;
  std::string order;
  for (const char* key : {"c", "a", "b"}) table.insert(key) = 1;
  table.for_each([&](std::string_view key, std::uint32_t& value) {
    order += key;
    value = 2;
  });
  CHECK(order == "cab");
  CHECK(find(table, "a") == 2);
}
