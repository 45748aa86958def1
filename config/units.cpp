#include "config/units.hpp"

#include <array>
#include <charconv>
#include <utility>

namespace nono {
namespace {

using Unit = std::pair<std::string_view, std::uint64_t>;

constexpr std::array<Unit, 5> times{
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
constexpr std::array<Unit, 10> sizes{{{"", 1},
                                      {"K", 1ULL << 10},
                                      {"KiB", 1ULL << 10},
                                      {"KB", 1ULL << 10},
                                      {"M", 1ULL << 20},
                                      {"MiB", 1ULL << 20},
                                      {"MB", 1ULL << 20},
                                      {"G", 1ULL << 30},
                                      {"GiB", 1ULL << 30},
                                      {"GB", 1ULL << 30}}};

// The number in front, and what the letters behind it multiply it by.
template <std::size_t count>
std::optional<Unit::second_type> scaled(std::string_view text, const std::array<Unit, count>& units,
                                        std::uint64_t value_max) {
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || value == 0 || value > value_max) return std::nullopt;
  const std::string_view letters = text.substr(static_cast<std::size_t>(end - text.data()));
  for (const auto& [name, factor] : units) {
    if (name == letters) return value * factor;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text, bool seconds) {
  std::optional<std::uint64_t> value = scaled(text, times, 1'000'000);
  const std::array<Unit, 1> plain{{{"", 1000}}};
  if (!value && seconds) value = scaled(text, plain, 1'000'000);
  if (!value) return std::nullopt;
  return std::chrono::milliseconds(*value);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  constexpr std::uint64_t size_max = 1ULL << 50;
  // 2^33 times the largest unit still fits.
  const std::optional<std::uint64_t> value = scaled(text, sizes, 1ULL << 33);
  return value && *value <= size_max ? value : std::nullopt;
}

}  // namespace nono
