#pragma once
// SipHash (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): hashes under a secret
// key. Who does not know the key can neither find two texts with one hash nor a text with a given
// one, other than by trying.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace nono {

struct SipKey {
  std::array<std::uint64_t, 2> words{};
  // From the kernel; none where it has no random numbers to give.
  static std::optional<SipKey> random() noexcept;
};

// SipHash-1-3, 64 bits: for hash tables whose keys strangers choose.
std::uint64_t sip_hash_1_3(const SipKey& key, std::string_view bytes) noexcept;

// SipHash-2-4, 64 bits: slower, and with its authors' margin for use as a message authentication
// code.
std::uint64_t sip_hash_2_4(const SipKey& key, std::string_view bytes) noexcept;

}  // namespace nono
