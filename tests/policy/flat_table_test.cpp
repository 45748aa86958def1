#include "proxy/policy/flat_table.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <set>

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
    const std::string key = std::string(i % 90, 'x') + std::to_string(i) + std::string(i % 7, '.');
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

TEST_CASE("everything is visited once, and values may be changed") {
  FlatTable table;
  const std::string long_key(200, 'k');
  for (const std::string& key : {std::string("c"), std::string("a"), long_key}) {
    table.insert(key) = 1;
  }
  std::multiset<std::string> seen;
  table.for_each([&](std::string_view key, std::uint32_t& value) {
    seen.emplace(key);
    value = 2;
  });
  CHECK(seen == std::multiset<std::string>{"c", "a", long_key});
  CHECK(find(table, "a") == 2);
  CHECK(find(table, long_key) == 2);
}
