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

class Sender {
 public:
  explicit Sender(int channel) : channel_(channel) {}

  // In as many messages as it takes.
  Done send(SocketRole role, const std::vector<UniqueFd>& sockets) const {
    Report report;
    report.kind = Report::Kind::sockets;
    report.status = static_cast<int>(role);
    std::vector<int> fds;
    for (const UniqueFd& socket : sockets) {
      fds.push_back(socket.get());
      if (fds.size() < fds_max && &socket != &sockets.back()) continue;
      if (!send_report(channel_, report, fds)) return failed(Step::peer_gone, errno);
      fds.clear();
    }
    return {};
  }

  Done send(SocketRole role, Socket socket) const {
    if (!socket) return tl::unexpected<Failure>(socket.error());
    std::vector<UniqueFd> one;
    one.push_back(std::move(*socket));
    return send(role, one);
  }

 private:
  int channel_;
};

// Sends the listeners that every port is redirected to. False: this kernel cannot, and need not.
tl::expected<bool, Failure> redirect_all(const Capture& capture, const Sender& sender,
                                         std::optional<Redirected> made) {
  if (capture.all_ports == AllPorts::off) return false;
  const Redirected redirected = made ? std::move(*made) : redirect_every_port(capture.dns);
  if (!redirected) {
    if (capture.all_ports == AllPorts::automatic) return false;
    return tl::unexpected<Failure>(redirected.error());
  }
  if (Done sent = sender.send(SocketRole::captured_all, *redirected); !sent) {
    return tl::unexpected<Failure>(sent.error());
  }
  return true;
}

Done listen_for_captured(const Capture& capture, bool redirected, const Sender& sender) {
  std::vector<Port> ports = capture.loopback_ports;
  if (!redirected) ports.insert(ports.end(), capture.ports.begin(), capture.ports.end());
  std::sort(ports.begin(), ports.end());
  ports.erase(std::unique(ports.begin(), ports.end()), ports.end());
  std::vector<UniqueFd> listeners;
  for (Port port : ports) {
    if (capture.dns && port == dns_port) continue;
    Socket listener = bind_everywhere(SOCK_STREAM, port);
    if (!listener) return tl::unexpected<Failure>(listener.error());
    listeners.push_back(std::move(*listener));
  }
  return sender.send(SocketRole::captured, listeners);
}

}  // namespace

Done hand_over_sockets(const SandboxPlan& plan, int channel, std::optional<Redirected> made) {
  const Sender sender(channel);
  const Capture& capture = plan.capture;
  Socket proxy = bind_v4(SOCK_STREAM, plan.proxy.http, INADDR_LOOPBACK);
  tl::expected<bool, Failure> redirected = redirect_all(capture, sender, std::move(made));
  if (!redirected) return tl::unexpected<Failure>(redirected.error());
  // After what takes long, so that the parent is woken once.
  if (Done sent = sender.send(SocketRole::proxy, std::move(proxy)); !sent) return sent;
  if (Done sent = listen_for_captured(capture, *redirected, sender); !sent) return sent;
  if (!capture.dns) return {};
  if (Done sent = sender.send(SocketRole::dns_udp, bind_everywhere(SOCK_DGRAM, dns_port)); !sent) {
    return sent;
  }
  return sender.send(SocketRole::dns_tcp, bind_everywhere(SOCK_STREAM, dns_port));
}

}  // namespace nono::sandbox
