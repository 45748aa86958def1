#include "sandbox/linux/sockets.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "sandbox/linux/channel.hpp"
#include "sandbox/linux/tproxy.hpp"

namespace nono::sandbox {
namespace {

using Socket = tl::expected<UniqueFd, Failure>;

constexpr Port dns_port{53};

tl::unexpected<Failure> not_made(Port port) {
  return failed(Step::listener, errno, "port " + std::to_string(port.value()));
}

bool start(const UniqueFd& socket, int type, const sockaddr* address, socklen_t size) {
  if (::bind(socket.get(), address, size) != 0) return false;
  return type != SOCK_STREAM || ::listen(socket.get(), SOMAXCONN) == 0;
}

Socket bind_v4(int type, Port port, std::uint32_t to) {
  UniqueFd socket(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port.value());
  address.sin_addr.s_addr = htonl(to);
  if (!socket || !start(socket, type, reinterpret_cast<sockaddr*>(&address), sizeof address)) {
    return not_made(port);
  }
  return socket;
}

// Of both families by one socket, or IPv4 alone where the kernel has no other.
Socket bind_everywhere(int type, Port port) {
  UniqueFd socket(::socket(AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return bind_v4(type, port, INADDR_ANY);
  const int off = 0;
  const int on = 1;
  // Answers leave from the address that was asked, which IPv6 allows for addresses of a device
  // alone.
  if (type == SOCK_DGRAM) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof on);
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port.value());
  address.sin6_addr = in6addr_any;
  if (::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0 ||
      !start(socket, type, reinterpret_cast<sockaddr*>(&address), sizeof address)) {
    return not_made(port);
  }
  return socket;
}

// Makes one socket after the other, up to the first that cannot be made.
class Offer {
 public:
  void add(SocketRole role, Socket socket) {
    if (failure_) return;
    if (socket) {
      sockets_.push_back({role, std::move(*socket)});
    } else {
      failure_ = std::move(socket.error());
    }
  }
  tl::expected<std::vector<OfferedSocket>, Failure> take() {
    if (failure_) return tl::unexpected<Failure>(std::move(*failure_));
    return std::move(sockets_);
  }

 private:
  std::vector<OfferedSocket> sockets_;
  std::optional<Failure> failure_;
};

// Ports to listen on, each once.
std::vector<Port> captured_ports(const Capture& capture, bool redirected) {
  std::vector<Port> ports = capture.loopback_ports;
  if (!redirected) ports.insert(ports.end(), capture.ports.begin(), capture.ports.end());
  std::sort(ports.begin(), ports.end());
  ports.erase(std::unique(ports.begin(), ports.end()), ports.end());
  if (capture.dns) std::erase(ports, dns_port);
  return ports;
}

}  // namespace

tl::expected<UsualSockets, Failure> make_usual_sockets(const SandboxPlan& plan) {
  const Capture& capture = plan.capture;
  UsualSockets made;
  Offer offer;
  offer.add(SocketRole::proxy, bind_v4(SOCK_STREAM, plan.proxy.http, INADDR_LOOPBACK));
  if (capture.all_ports != AllPorts::off) {
    const bool known = capture.every_port_known && capture.all_ports != AllPorts::required;
    auto redirected = redirect_every_port(capture.dns, known);
    if (!redirected) made.not_redirected = redirected.error();
    if (redirected) {
      for (UniqueFd& listener : *redirected) {
        offer.add(SocketRole::captured_all, std::move(listener));
      }
    }
  }
  if (capture.dns) {
    offer.add(SocketRole::dns_udp, bind_everywhere(SOCK_DGRAM, dns_port));
    offer.add(SocketRole::dns_tcp, bind_everywhere(SOCK_STREAM, dns_port));
  }
  auto sockets = offer.take();
  if (!sockets) return tl::unexpected<Failure>(sockets.error());
  made.sockets = std::move(*sockets);
  return made;
}

bool wants_more(const SandboxPlan& plan) {
  return !captured_ports(plan.capture, true).empty();
}

tl::expected<std::vector<OfferedSocket>, Failure> make_more_sockets(const SandboxPlan& plan,
                                                                    const UsualSockets& usual) {
  const Capture& capture = plan.capture;
  // Where this kernel cannot, and need not, the listed ports are caught.
  if (usual.not_redirected && capture.all_ports == AllPorts::required) {
    return tl::unexpected<Failure>(*usual.not_redirected);
  }
  const bool redirected = capture.all_ports != AllPorts::off && !usual.not_redirected;
  Offer offer;
  for (Port port : captured_ports(capture, redirected)) {
    offer.add(SocketRole::captured, bind_everywhere(SOCK_STREAM, port));
  }
  return offer.take();
}

}  // namespace nono::sandbox
