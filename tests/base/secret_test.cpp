#include "config/base/secret.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>
#include <type_traits>
#include <utility>
#include <vector>

using namespace nono;

namespace {

// The VmFlags line of the mapping that holds `address`, from /proc/self/smaps.
std::string flags_of_mapping(const void* address) {
  std::ifstream smaps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    std::istringstream words(line);
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    char dash = 0;
    if (words >> std::hex >> begin >> dash >> end && dash == '-') {
      inside = begin <= wanted && wanted < end;
    } else if (inside && line.starts_with("VmFlags:")) {
      return line + " ";
    }
  }
  return {};
}

}  // namespace

TEST_CASE("a secret cannot be copied or printed") {
  static_assert(!std::is_copy_constructible_v<Secret>);
  static_assert(!std::is_copy_assignable_v<Secret>);
  static_assert(std::is_nothrow_move_constructible_v<Secret>);
  static_assert(!std::is_convertible_v<Secret, std::string_view>);
  static_assert(!std::is_convertible_v<Secret, std::string>);
}

TEST_CASE("a secret gives back its bytes, NUL and all") {
  const std::string bytes("a\0b", 3);
  const Secret secret{bytes};
  CHECK(secret.expose() == bytes);
  CHECK(secret.size() == 3);
  CHECK_FALSE(secret.empty());
  CHECK(Secret().empty());
  CHECK(Secret("").expose().empty());
}

TEST_CASE("moving a secret leaves nothing behind") {
  Secret from("key");
  const char* where = from.expose().data();
  Secret to(std::move(from));
  CHECK(from.empty());  // NOLINT(bugprone-use-after-move): that is the point
  CHECK(from.expose().empty());
  CHECK(to.expose().data() == where);
  Secret other("other");
  other = std::move(to);
  CHECK(other.expose() == "key");
  CHECK(to.empty());  // NOLINT(bugprone-use-after-move)
  Secret& self = other;
  other = std::move(self);
  CHECK(other.expose() == "key");
}

TEST_CASE("a clone is a second copy in its own memory") {
  const Secret one("key");
  const Secret two = one.clone();
  CHECK(two.expose() == "key");
  CHECK(two.expose().data() != one.expose().data());
}

TEST_CASE("a secret's memory is locked and left out of core dumps") {
  const Secret secret("key");
  const std::string flags = flags_of_mapping(secret.expose().data());
  REQUIRE_FALSE(flags.empty());
  CHECK(flags.find(" dd ") != std::string::npos);
  if (flags.find(" lo ") == std::string::npos) {
    WARN(
        "skipped by name: locked memory (RLIMIT_MEMLOCK leaves none, or AddressSanitizer turned it "
        "off)");
  }
}

TEST_CASE("a destroyed secret is not in this process's memory") {
  const void* where = nullptr;
  {
    const Secret secret("a-key-that-goes-away");
    where = secret.expose().data();
  }
  CHECK(flags_of_mapping(where).find(" dd ") == std::string::npos);
}

TEST_CASE("many small secrets can live at once") {
  std::vector<Secret> secrets;
  for (int i = 0; i < 5000; ++i) secrets.emplace_back("key " + std::to_string(i));
  for (int i = 0; i < 5000; ++i) {
    REQUIRE(secrets[static_cast<std::size_t>(i)].expose() == "key " + std::to_string(i));
  }
}

TEST_CASE("a secret larger than a page is kept whole") {
  const std::string bytes(100000, 'k');
  CHECK(Secret(bytes).expose() == bytes);
}

TEST_CASE("comparing tells equal from different") {
  CHECK(equal_constant_time("", ""));
  CHECK(equal_constant_time("abc", "abc"));
  CHECK_FALSE(equal_constant_time("abc", "abd"));
  CHECK_FALSE(equal_constant_time("abc", "ab"));
  CHECK_FALSE(equal_constant_time("abc", "abcd"));
  CHECK_FALSE(equal_constant_time(std::string_view("a\0b", 3), std::string_view("a\0c", 3)));
}

TEST_CASE("wiping overwrites every octet") {
  std::string text = "key material";
  wipe(text.data(), text.size());
  CHECK(text == std::string(12, '\0'));
  wipe(nullptr, 0);
}
