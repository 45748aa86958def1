#include "proxy/policy/flat_table.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <string>

using namespace nono;
using namespace nono::policy;

namespace {

std::uint32_t find(const FlatTable& table, std::string_view text) {
  return table.find(text, FlatTable::hash(text));
}

FlatTable table_of(const std::map<std::string, std::uint32_t>& texts) {
  std::vector<FlatTable::Pair> pairs;
  for (const auto& [text, value] : texts) pairs.emplace_back(text, value);
  return FlatTable(pairs, *SipKey::random());
}

}  // namespace

TEST_CASE("a table finds what was put in and nothing else, however full its groups are") {
  for (const std::uint32_t count : {0U, 1U, 2U, 7U, 8U, 9U, 100U, 20000U}) {
    std::map<std::string, std::uint32_t> expected;
    for (std::uint32_t i = 0; i < count; ++i) {
      // Every length from 1 on, with equal beginnings and equal ends among them.
      expected[std::string(i % 90, 'x') + std::to_string(i) + std::string(i % 7, '.')] = i;
    }
    const FlatTable table = table_of(expected);
    CHECK(table.empty() == expected.empty());
    CHECK(find(table, "a") == FlatTable::no_value);
    for (const auto& [text, value] : expected) {
      table.prefetch(FlatTable::hash(text));
      if (find(table, text) != value) FAIL(text);
      if (find(table, text + "-") != FlatTable::no_value) FAIL(text);
    }
  }
}

TEST_CASE("a text is not taken for another because it is looked for in the same place") {
  // All share the one group, and one in 255 the octet that is kept of the hash.
  const FlatTable table = table_of({{"a.example.com", 1}});
  for (unsigned i = 0; i < 100'000; ++i) {
    const std::string other = "a" + std::to_string(i) + ".example.com";
    if (find(table, other) != FlatTable::no_value) FAIL(other);
  }
  CHECK(find(table, "a.example.com") == 1);
}

TEST_CASE("nor because it is looked for with the other's hash") {
  const FlatTable table = table_of({{"a.example.com", 1}});
  CHECK(table.find("b.example.com", FlatTable::hash("a.example.com")) == FlatTable::no_value);
}

TEST_CASE("keys with NUL octets are told apart") {
  const std::string zeros(16, '\0');
  std::string one = zeros;
  one.back() = '\1';
  const FlatTable table = table_of({{zeros, 1}, {one, 2}});
  CHECK(find(table, zeros) == 1);
  CHECK(find(table, one) == 2);
  CHECK(find(table, zeros.substr(1)) == FlatTable::no_value);
}
