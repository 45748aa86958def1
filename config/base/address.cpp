#include "config/base/address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace nono {
namespace {

constexpr std::array<std::uint8_t, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// The first `bits` bits of both are the same.
bool same_prefix(const std::array<std::uint8_t, 16>& a, const std::array<std::uint8_t, 16>& b,
                 unsigned bits) {
  const unsigned whole = bits / 8;
  if (std::memcmp(a.data(), b.data(), whole) != 0) return false;
  const unsigned rest = bits % 8;
  if (rest == 0) return true;
  const unsigned mask = 0xffU << (8 - rest) & 0xffU;
  return ((a[whole] ^ b[whole]) & mask) == 0;
}

tl::unexpected<Error> not_an_address(std::string_view text) {
  return fail(ErrorCode::bad_input, fmt::format("{:?} is no IP address", text), {}, Side::client);
}

}  // namespace

IpAddress IpAddress::v4(std::array<std::uint8_t, 4> bytes) {
  IpAddress address;
  std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
  return address;
}

IpAddress IpAddress::v6(std::array<std::uint8_t, 16> bytes) {
  IpAddress address;
  address.bytes_ = bytes;
  address.v4_ = false;
  return address;
}

Result<IpAddress> IpAddress::parse(std::string_view text) {
  // inet_pton is strict (no short forms, no leading zeros in a quad, no zone), but reads C strings.
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.empty() || text.size() >= terminated.size() ||
      text.find('\0') != std::string_view::npos) {
    return not_an_address(text);
  }
  std::copy(text.begin(), text.end(), terminated.begin());
  if (text.find(':') == std::string_view::npos) {
    std::array<std::uint8_t, 4> bytes{};
    if (::inet_pton(AF_INET, terminated.data(), bytes.data()) != 1) return not_an_address(text);
    return v4(bytes);
  }
  std::array<std::uint8_t, 16> bytes{};
  if (::inet_pton(AF_INET6, terminated.data(), bytes.data()) != 1) return not_an_address(text);
  return v6(bytes);
}

std::array<std::uint8_t, 4> IpAddress::v4_bytes() const {
  return {bytes_[0], bytes_[1], bytes_[2], bytes_[3]};
}

IpAddress IpAddress::unmapped() const {
  if (v4_ || !std::equal(mapped_prefix.begin(), mapped_prefix.end(), bytes_.begin())) return *this;
  return v4({bytes_[12], bytes_[13], bytes_[14], bytes_[15]});
}

std::string IpAddress::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (!v4_) return ::inet_ntop(AF_INET6, bytes_.data(), text.data(), text.size());
  // Every request says its addresses several times, and inet_ntop() prints by sprintf().
  char* end = text.data();
  for (std::size_t at = 0; at < 4; ++at) {
    if (at > 0) *end++ = '.';
    end = std::to_chars(end, text.data() + text.size(), bytes_[at]).ptr;
  }
  return {text.data(), end};
}

Result<Cidr> Cidr::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const Result<IpAddress> address = IpAddress::parse(text.substr(0, slash));
  if (!address) return fail(address.error());
  const unsigned width = address->is_v4() ? 32 : 128;
  const IpAddress plain = address->unmapped();
  if (slash == std::string_view::npos) return Cidr(plain, plain.is_v4() ? 32 : 128);

  const std::string_view digits = text.substr(slash + 1);
  unsigned bits = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
  if (error != std::errc() || end != digits.data() + digits.size() || bits > width ||
      (digits.size() > 1 && digits[0] == '0')) {
    return fail(ErrorCode::bad_input,
                fmt::format("{:?} has no prefix length of 0 to {}", text, width), {}, Side::client);
  }
  std::array<std::uint8_t, 16> network = address->bytes();
  for (unsigned bit = bits; bit < width; ++bit) {
    network[bit / 8] = static_cast<std::uint8_t>(network[bit / 8] & ~(0x80U >> bit % 8));
  }
  if (network != address->bytes()) {
    const IpAddress masked = address->is_v4()
                                 ? IpAddress::v4({network[0], network[1], network[2], network[3]})
                                 : IpAddress::v6(network);
    return fail(ErrorCode::bad_input, fmt::format("{:?} has bits set behind its prefix", text),
                fmt::format("write {}/{}", masked.to_string(), bits), Side::client);
  }
  constexpr unsigned mapped_bits = 96;
  const bool mapped = plain.is_v4() && !address->is_v4() && bits >= mapped_bits;
  return mapped ? Cidr(plain, bits - mapped_bits) : Cidr(*address, bits);
}

bool Cidr::contains(const IpAddress& address) const {
  const IpAddress candidate = address_.is_v4() ? address.unmapped() : address;
  if (candidate.is_v4() != address_.is_v4()) return false;
  const unsigned width = address_.is_v4() ? 32 : 128;
  return same_prefix(candidate.bytes(), address_.bytes(), std::min(prefix_bits_, width));
}

std::string Cidr::to_string() const {
  const unsigned width = address_.is_v4() ? 32 : 128;
  if (prefix_bits_ == width) return address_.to_string();
  return fmt::format("{}/{}", address_.to_string(), prefix_bits_);
}

}  // namespace nono
