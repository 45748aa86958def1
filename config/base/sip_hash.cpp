#include "config/base/sip_hash.hpp"

#include <bit>
#include <cstring>

#include "config/base/random.hpp"

namespace nono {
namespace {

// Words are little-endian, as the algorithm wants them.
static_assert(std::endian::native == std::endian::little);

struct State {
  explicit State(const SipKey& key)
      : v0(key.words[0] ^ 0x736f6d6570736575),
        v1(key.words[1] ^ 0x646f72616e646f6d),
        v2(key.words[0] ^ 0x6c7967656e657261),
        v3(key.words[1] ^ 0x7465646279746573) {}

  template <int count>
  void rounds() {
    for (int i = 0; i < count; ++i) {
      v0 += v1;
      v1 = std::rotl(v1, 13) ^ v0;
      v0 = std::rotl(v0, 32);
      v2 += v3;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1;
      v1 = std::rotl(v1, 17) ^ v2;
      v2 = std::rotl(v2, 32);
    }
  }
  template <int count>
  void take(std::uint64_t word) {
    v3 ^= word;
    rounds<count>();
    v0 ^= word;
  }
  // All of the text, and its length in the last word's highest octet.
  template <int count>
  void take_all(std::string_view bytes) {
    const std::size_t whole = bytes.size() / 8 * 8;
    std::uint64_t word = 0;
    for (std::size_t at = 0; at < whole; at += 8) {
      std::memcpy(&word, bytes.data() + at, 8);
      take<count>(word);
    }
    word = 0;
    if (whole < bytes.size()) std::memcpy(&word, bytes.data() + whole, bytes.size() - whole);
    take<count>(word | static_cast<std::uint64_t>(bytes.size()) << 56);
  }

  std::uint64_t v0, v1, v2, v3;
};

template <int per_word, int at_the_end>
std::uint64_t sip_hash(const SipKey& key, std::string_view bytes) noexcept {
  State state(key);
  state.take_all<per_word>(bytes);
  state.v2 ^= 0xff;
  state.rounds<at_the_end>();
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

}  // namespace

std::optional<SipKey> SipKey::random() noexcept {
  SipKey key;
  std::array<unsigned char, sizeof key.words> bytes{};
  if (!fill_random(bytes)) return std::nullopt;
  std::memcpy(key.words.data(), bytes.data(), bytes.size());
  return key;
}

std::uint64_t sip_hash_1_3(const SipKey& key, std::string_view bytes) noexcept {
  return sip_hash<1, 3>(key, bytes);
}

std::uint64_t sip_hash_2_4(const SipKey& key, std::string_view bytes) noexcept {
  return sip_hash<2, 4>(key, bytes);
}

}  // namespace nono
