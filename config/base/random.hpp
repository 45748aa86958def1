#pragma once
// Random bytes from the kernel.

#include <cstddef>
#include <span>

namespace nono {

// Fills `bytes` (at most 256) from getrandom(2); false where the system has none to give.
bool fill_random(std::span<unsigned char> bytes) noexcept;

}  // namespace nono
