// The yardstick: the least that a CONNECT proxy can do. Reads "CONNECT a.b.c.d:port", connects,
// answers 200 and copies bytes through one 64 KiB buffer with epoll. No names, no policy, no
// limits, no log. Usage: bench_relay_copy ADDRESS:PORT

#include <array>
#include <string_view>
#include <vector>

#include "bench/sockets.hpp"

namespace {

using namespace nono::bench;

struct Tunnel;

struct Side {
  int fd = -1;
  Tunnel* tunnel = nullptr;
  Side* peer = nullptr;
  std::string unsent;  // what this side's socket did not take yet
  bool ended = false;  // its end of stream was read
};

struct Tunnel {
  Side client, upstream;
  bool connecting = false;
  bool dead = false;
  std::string head;
};

int epoll = -1;
std::array<char, 65536> buffer;
std::vector<Tunnel*> finished;

void finish(Tunnel& tunnel) {
  if (tunnel.dead) return;
  tunnel.dead = true;
  ::close(tunnel.client.fd);
  if (tunnel.upstream.fd >= 0) ::close(tunnel.upstream.fd);
  finished.push_back(&tunnel);  // events of this batch may still point at it
}

void await(Side& side) {
  const bool stop_reading = side.ended || (side.peer->fd >= 0 && !side.peer->unsent.empty());
  const std::uint32_t events =
      (stop_reading ? 0U : EPOLLIN) | (side.unsent.empty() ? 0U : EPOLLOUT);
  watch(epoll, EPOLL_CTL_MOD, side.fd, events, &side);
}

void write_to(Side& side, std::string_view data) {
  const ssize_t sent = ::send(side.fd, data.data(), data.size(), MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) {
    finish(*side.tunnel);
    return;
  }
  const std::size_t taken = sent < 0 ? 0 : static_cast<std::size_t>(sent);
  if (taken == data.size()) return;
  side.unsent.append(data.substr(taken));
  await(side);
  await(*side.peer);
}

void flush(Side& side) {
  const ssize_t sent = ::send(side.fd, side.unsent.data(), side.unsent.size(), MSG_NOSIGNAL);
  if (sent > 0) side.unsent.erase(0, static_cast<std::size_t>(sent));
  if (!side.unsent.empty()) return;
  if (side.peer->ended) ::shutdown(side.fd, SHUT_WR);
  await(side);
  await(*side.peer);
}

void copy_from(Side& side) {
  const ssize_t got = ::recv(side.fd, buffer.data(), buffer.size(), 0);
  if (got > 0) {
    write_to(*side.peer, std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    return;
  }
  if (got < 0 && errno == EAGAIN) return;
  side.ended = true;
  if (got < 0 || side.peer->ended) {
    finish(*side.tunnel);
    return;
  }
  if (side.peer->unsent.empty()) ::shutdown(side.peer->fd, SHUT_WR);
  await(side);
}

void read_head(Tunnel& tunnel) {
  const ssize_t got = ::recv(tunnel.client.fd, buffer.data(), buffer.size(), 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    finish(tunnel);
    return;
  }
  tunnel.head.append(buffer.data(), static_cast<std::size_t>(got));
  if (tunnel.head.find("\r\n\r\n") == std::string::npos) return;
  const std::size_t from = tunnel.head.find(' ') + 1;
  const sockaddr_in to =
      parse_endpoint(tunnel.head.substr(from, tunnel.head.find(' ', from) - from));
  tunnel.upstream.fd = connect_to(to);
  tunnel.connecting = true;
  watch(epoll, EPOLL_CTL_ADD, tunnel.upstream.fd, EPOLLOUT, &tunnel.upstream);
}

void connected(Tunnel& tunnel) {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(tunnel.upstream.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    finish(tunnel);
    return;
  }
  tunnel.connecting = false;
  watch(epoll, EPOLL_CTL_MOD, tunnel.upstream.fd, EPOLLIN, &tunnel.upstream);
  write_to(tunnel.client, "HTTP/1.1 200 OK\r\n\r\n");
}

void handle(Side& side, std::uint32_t events) {
  Tunnel& tunnel = *side.tunnel;
  if (tunnel.dead) return;
  if (tunnel.upstream.fd < 0) {
    read_head(tunnel);
  } else if (tunnel.connecting) {
    if (&side == &tunnel.upstream) connected(tunnel);
  } else {
    if ((events & EPOLLOUT) != 0) flush(side);
    if (!tunnel.dead && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) copy_from(side);
  }
}

void accept_all(int listener) {
  for (;;) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    no_delay(fd);
    auto* tunnel = new Tunnel;
    tunnel->client = {fd, tunnel, &tunnel->upstream, {}, false};
    tunnel->upstream = {-1, tunnel, &tunnel->client, {}, false};
    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, &tunnel->client);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: bench_relay_copy ADDRESS:PORT\n", stderr);
    return 2;
  }
  raise_descriptor_limit();
  epoll = ::epoll_create1(EPOLL_CLOEXEC);
  const int listener = listen_on(parse_endpoint(argv[1]));
  watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, nullptr);
  for (;;) {
    std::array<epoll_event, 256> events;
    const int ready = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int at = 0; at < ready; ++at) {
      const epoll_event& event = events[static_cast<std::size_t>(at)];
      if (event.data.ptr == nullptr) {
        accept_all(listener);
      } else {
        handle(*static_cast<Side*>(event.data.ptr), event.events);
      }
    }
    for (Tunnel* tunnel : finished) delete tunnel;
    finished.clear();
  }
}
