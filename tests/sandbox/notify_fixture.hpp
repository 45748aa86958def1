#pragma once
// What tests of the notify backend share: a network of the test's own in which every address is
// this host, with canaries on it, and a parent that tells each connection where it wanted to go.

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>

#include <atomic>

#include "sandbox/linux/rtnetlink.hpp"
#include "sandbox/registered_ports.hpp"
#include "tests/sandbox/harness.hpp"

namespace nono::sandbox::test {

// Moves this process into a fresh network namespace and back. Nothing in it leads anywhere else, so
// that a connection that escapes meets a canary and not a stranger.
class OwnNetwork {
 public:
  OwnNetwork() : before_(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) {
    if (::unshare(CLONE_NEWNET) != 0) return;
    entered_ = true;
    if (!set_up_loopback()) throw std::runtime_error("loopback of the test's own network");
  }
  ~OwnNetwork() {
    if (entered_ && ::setns(before_.get(), CLONE_NEWNET) != 0) std::abort();
  }
  OwnNetwork(const OwnNetwork&) = delete;
  OwnNetwork& operator=(const OwnNetwork&) = delete;

  bool entered() const {
    if (!entered_) WARN("skipped by name: a network namespace of the test's own needs root");
    return entered_;
  }

 private:
  UniqueFd before_;
  bool entered_ = false;
};

// A socket at every address of the test's network.
class OutsideCanary {
 public:
  explicit OutsideCanary(int type, std::uint16_t port = 0) : type_(type) {
    socket_ = UniqueFd(::socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_in6 address = {};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    const int off = 0;
    ::setsockopt(socket_.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (::bind(socket_.get(), generic, size) != 0 ||
        (type == SOCK_STREAM && ::listen(socket_.get(), 64) != 0) ||
        ::getsockname(socket_.get(), generic, &size) != 0) {
      throw std::runtime_error("canary");
    }
    port_ = ntohs(address.sin6_port);
  }
  std::uint16_t port() const { return port_; }

  int hits() {
    int count = 0;
    char byte = 0;
    if (type_ == SOCK_STREAM) {
      while (UniqueFd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC))) ++count;
    } else {
      while (::recv(socket_.get(), &byte, 1, 0) >= 0) ++count;
    }
    return count;
  }

 private:
  int type_;
  UniqueFd socket_;
  std::uint16_t port_ = 0;
};

inline SandboxPlan in_notify(SandboxPlan plan) {
  plan.backend = Backend::notify;
  plan.capture.all_ports = AllPorts::required;
  plan.capture.dns = true;
  return plan;
}

// In P: answers each connection on each listener with the listener's name and the destination that
// was registered, then closes. One that was not registered gets nothing.
class Teller {
 public:
  explicit Teller(SandboxChannel& channel)
      : sockets_(channel.take_sockets()), ports_(channel.registered_ports()), pipe_() {
    thread_ = std::thread([this] { serve(); });
  }
  ~Teller() {
    pipe_.write.reset();
    thread_.join();
  }
  Teller(const Teller&) = delete;
  Teller& operator=(const Teller&) = delete;
  int strangers() const { return strangers_; }

 private:
  void serve() {
    const std::array<std::pair<const char*, int>, 3> listeners = {
        {{"proxy", sockets_.proxy.get()},
         {"captured", sockets_.captured.empty() ? -1 : sockets_.captured[0].get()},
         {"dns", sockets_.dns_tcp.get()}}};
    for (;;) {
      std::array<pollfd, 4> polls = {{{pipe_.read.get(), POLLIN, 0}}};
      for (std::size_t i = 0; i < 3; ++i) polls[i + 1] = {listeners[i].second, POLLIN, 0};
      ::poll(polls.data(), polls.size(), -1);
      if (polls[0].revents != 0) return;
      for (std::size_t i = 0; i < 3; ++i) {
        if (polls[i + 1].revents != 0) answer(listeners[i].first, listeners[i].second);
      }
    }
  }
  void answer(const char* name, int listener) {
    UniqueFd socket(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket) return;
    const std::optional<Destination> destination = ports_->take_for(socket.get());
    if (!destination) {
      ++strangers_;
      return;
    }
    const std::string text =
        fmt::format("{} {} {}", name, destination->address.to_string(), destination->port);
    (void)::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
  }

  SandboxSockets sockets_;
  std::shared_ptr<RegisteredPorts> ports_;
  Pipe pipe_;
  std::atomic<int> strangers_ = 0;
  std::thread thread_;
};

inline Result<ExitStatus> tell_and_wait(SandboxChannel& channel) {
  Teller teller(channel);
  return go_and_wait(channel);
}

// --- Inside the sandbox -----------------------------------------------------------------------

struct AnyAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

inline AnyAddress address_of(const std::string& text, std::uint16_t port) {
  AnyAddress result;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&result.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&result.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    result.size = sizeof *v4;
  } else if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    result.size = sizeof *v6;
  }
  return result;
}

inline UniqueFd tcp_socket(const AnyAddress& address, int flags = 0) {
  return UniqueFd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
}

// What the other end said, or the name of the error.
inline std::string ask(const std::string& text, std::uint16_t port) {
  const AnyAddress address = address_of(text, port);
  UniqueFd socket = tcp_socket(address);
  if (!socket) return std::string("socket: ") + ::strerrorname_np(errno);
  if (::connect(socket.get(), address.get(), address.size) != 0) return ::strerrorname_np(errno);
  return read_all(socket.get());
}

// For probes: prints what differs from what was expected, and counts.
class Expectations {
 public:
  template <class Value>
  void equal(const std::string& what, const Value& seen, const Value& wanted) {
    if (seen == wanted) return;
    write_all(1, fmt::format("{}: {} instead of {}\n", what, seen, wanted));
    ++failures_;
  }
  void fails(const std::string& what, long result, int error) {
    const int seen = result < 0 ? errno : 0;
    if (seen == error) return;
    write_all(
        1, fmt::format("{}: {} instead of {}\n", what,
                       seen == 0 ? "success" : ::strerrorname_np(seen), ::strerrorname_np(error)));
    ++failures_;
  }
  int count() const { return failures_; }

 private:
  int failures_ = 0;
};

}  // namespace nono::sandbox::test
