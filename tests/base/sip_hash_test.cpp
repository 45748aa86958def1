#include "config/base/sip_hash.hpp"

#include <catch2/catch.hpp>
#include <set>
#include <string>

using namespace nono;

namespace {

// The key of the algorithm's own test vectors: the octets 00 to 0f.
constexpr SipKey vector_key{{0x0706050403020100, 0x0f0e0d0c0b0a0908}};

std::string octets(unsigned count) {
  std::string text;
  for (unsigned i = 0; i < count; ++i) text += static_cast<char>(i);
  return text;
}

}  // namespace

TEST_CASE("SipHash-2-4 gives what its authors publish") {
  // Appendix A of the paper, and the reference implementation's vectors for 0, 1, 7, 8 and 63
  // octets.
  CHECK(sip_hash_2_4(vector_key, octets(15)) == 0xa129ca6149be45e5);
  CHECK(sip_hash_2_4(vector_key, octets(0)) == 0x726fdb47dd0e0e31);
  CHECK(sip_hash_2_4(vector_key, octets(1)) == 0x74f839c593dc67fd);
  CHECK(sip_hash_2_4(vector_key, octets(7)) == 0xab0200f58b01d137);
  CHECK(sip_hash_2_4(vector_key, octets(8)) == 0x93f5f5799a932462);
  CHECK(sip_hash_2_4(vector_key, octets(63)) == 0x958a324ceb064572);
}

TEST_CASE("SipHash-1-3 gives what OpenSSL's SipHash gives with one and three rounds") {
  CHECK(sip_hash_1_3(vector_key, octets(0)) == 0xabac0158050fc4dc);
  CHECK(sip_hash_1_3(vector_key, octets(1)) == 0xc9f49bf37d57ca93);
  CHECK(sip_hash_1_3(vector_key, octets(7)) == 0xd3927d989bb11140);
  CHECK(sip_hash_1_3(vector_key, octets(8)) == 0x369095118d299a8e);
  CHECK(sip_hash_1_3(vector_key, octets(63)) == 0x9d199062b7bbb3a8);
}

TEST_CASE("random keys differ, and so do hashes under them") {
  std::set<std::uint64_t> hashes;
  for (int i = 0; i < 100; ++i) hashes.insert(sip_hash_2_4(*SipKey::random(), "example.com"));
  CHECK(hashes.size() == 100);
}
