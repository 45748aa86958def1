#pragma once
// Durations and sizes as people write them, in files and on the command line.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace nono {

// "500ms", "30s", "15m", "24h", "7d": above zero, at most a million of the unit. With `seconds`, a
// number alone is seconds. Nothing for anything else.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text,
                                                        bool seconds = false);

// "65536", "64K", "64M", "1G", also with "iB" or "B" behind the letter: powers of 1024. The
// number is above zero and at most 2^33, the size at most 2^50. Nothing for anything else.
std::optional<std::uint64_t> parse_size(std::string_view text);

}  // namespace nono
