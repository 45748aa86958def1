#pragma once
// A ClientHello as browsers send it (RFC 8446 4.1.2): what opaque tunnels begin with, so that a
// proxy that checks it has something to check. Nobody answers it; the origin echoes it.

#include <cstdint>
#include <string>
#include <string_view>

namespace nono::bench {

inline std::string u16(std::size_t value) {
  return {static_cast<char>(value >> 8 & 0xff), static_cast<char>(value & 0xff)};
}

inline std::string extension(std::size_t type, const std::string& body) {
  return u16(type) + u16(body.size()) + body;
}

// 517 bytes in all, with `name` as its server name; without one if `name` is empty.
inline std::string client_hello(std::string_view name) {
  constexpr std::size_t body_bytes = 512 - 4;  // record and handshake headers are 5 and 4
  std::string extensions;
  if (!name.empty()) {
    const std::string entry = std::string(1, '\0') + u16(name.size()) + std::string(name);
    extensions += extension(0, u16(entry.size()) + entry);
  }
  extensions += extension(10, u16(4) + u16(0x1d) + u16(0x17));
  extensions += extension(13, u16(6) + u16(0x0403) + u16(0x0804) + u16(0x0401));
  extensions += extension(43, std::string("\x04", 1) + u16(0x0304) + u16(0x0303));
  extensions += extension(45, std::string("\x01\x01", 2));
  extensions += extension(51, u16(36) + u16(0x1d) + u16(32) + std::string(32, 'k'));
  std::string body = u16(0x0303) + std::string(32, 'r') + std::string(1, 32) + std::string(32, 's');
  body += u16(8) + u16(0x1301) + u16(0x1302) + u16(0x1303) + u16(0xc02b);
  body += std::string("\x01\x00", 2);
  const std::size_t used = body.size() + 2 + extensions.size() + 4;
  extensions += extension(21, std::string(body_bytes - used, '\0'));  // padding
  body += u16(extensions.size()) + extensions;
  return std::string("\x16\x03\x01", 3) + u16(body.size() + 4) + std::string("\x01\x00", 2) +
         u16(body.size()) + body;
}

}  // namespace nono::bench
