#include "config/base/random.hpp"

#include <sys/random.h>

#include <cerrno>

namespace nono {

bool fill_random(std::span<unsigned char> bytes) noexcept {
  while (true) {
    // Up to 256 bytes come whole or not at all (getrandom(2), "Interruption by a signal handler").
    const ssize_t count = ::getrandom(bytes.data(), bytes.size(), 0);
    if (count >= 0) return static_cast<std::size_t>(count) == bytes.size();
    if (errno != EINTR) return false;
  }
}

}  // namespace nono
