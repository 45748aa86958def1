#include "proxy/capture.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace nono {

namespace {

class OwnAddress final : public OriginalDestination {
 public:
  std::optional<HostPort> of(int accepted) override {
    sockaddr_in6 own{};  // large enough for either family
    socklen_t size = sizeof own;
    if (::getsockname(accepted, reinterpret_cast<sockaddr*>(&own), &size) != 0) return {};
    const std::uint16_t port = ntohs(own.sin6_port);  // at the same place in both
    if (port == 0) return {};
    if (own.sin6_family == AF_INET) {
      const auto* in = reinterpret_cast<const sockaddr_in*>(&own);
      std::array<std::uint8_t, 4> bytes{};
      std::memcpy(bytes.data(), &in->sin_addr, bytes.size());
      return HostPort{IpAddress::v4(bytes), Port(port)};
    }
    if (own.sin6_family != AF_INET6) return {};
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &own.sin6_addr, bytes.size());
    return HostPort{IpAddress::v6(bytes).unmapped(), Port(port)};
  }
};

}  // namespace

std::shared_ptr<OriginalDestination> own_address_as_destination() {
  return std::make_shared<OwnAddress>();
}

}  // namespace nono
