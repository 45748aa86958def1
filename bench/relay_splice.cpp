// The yardstick for bulk: a CONNECT relay that moves everything with splice(2) through pipes of 256
// KiB, which connections share, between sockets with cubic congestion control (BBR paces, which on
// loopback only costs). No names, no policy, no limits, no log. Usage: bench_relay_splice
// ADDRESS:PORT

#include <array>
#include <csignal>
#include <string_view>
#include <vector>

#include "bench/sockets.hpp"

namespace {

using namespace nono::bench;

constexpr std::size_t pipe_bytes = 256 * 1024;

struct Pipe {
  int out = -1, in = -1;
  std::size_t held = 0;
};

struct Tunnel;

struct Side {
  int fd = -1;
  Tunnel* tunnel = nullptr;
  Side* peer = nullptr;
  Pipe* unsent = nullptr;  // what this side's socket did not take yet
  bool ended = false;      // its end of stream was read
};

struct Tunnel {
  Side client, upstream;
  bool connecting = false;
  bool dead = false;
  std::string head;
};

int epoll = -1;
std::vector<Pipe*> spare;
std::vector<Tunnel*> finished;

Pipe* take_pipe() {
  if (!spare.empty()) {
    Pipe* pipe = spare.back();
    spare.pop_back();
    return pipe;
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) die("pipe2");
  if (::fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(pipe_bytes)) < 0) die("F_SETPIPE_SZ");
  return new Pipe{ends[0], ends[1], 0};
}

void drop_pipe(Pipe*& pipe) {
  if (pipe == nullptr) return;
  if (pipe->held == 0) {
    spare.push_back(pipe);
  } else {
    ::close(pipe->in);
    ::close(pipe->out);
    delete pipe;
  }
  pipe = nullptr;
}

void use_cubic(int fd) {
  constexpr std::string_view name = "cubic";
  ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), static_cast<socklen_t>(name.size()));
}

void finish(Tunnel& tunnel) {
  if (tunnel.dead) return;
  tunnel.dead = true;
  drop_pipe(tunnel.client.unsent);
  drop_pipe(tunnel.upstream.unsent);
  ::close(tunnel.client.fd);
  if (tunnel.upstream.fd >= 0) ::close(tunnel.upstream.fd);
  finished.push_back(&tunnel);  // events of this batch may still point at it
}

void await(Side& side) {
  const bool stop_reading = side.ended || (side.peer->fd >= 0 && side.peer->unsent != nullptr);
  const std::uint32_t events =
      (stop_reading ? 0U : EPOLLIN) | (side.unsent == nullptr ? 0U : EPOLLOUT);
  watch(epoll, EPOLL_CTL_MOD, side.fd, events, &side);
}

// What the pipe holds goes to `side`, as far as there is room. False: not all, or the tunnel broke.
bool pour(Side& side, Pipe& pipe) {
  while (pipe.held > 0) {
    const ssize_t sent =
        ::splice(pipe.out, nullptr, side.fd, nullptr, pipe.held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (sent < 0 && errno == EAGAIN) return false;
    if (sent <= 0) {
      finish(*side.tunnel);
      return false;
    }
    pipe.held -= static_cast<std::size_t>(sent);
  }
  return true;
}

void flush(Side& side) {
  if (side.unsent == nullptr || !pour(side, *side.unsent)) return;
  drop_pipe(side.unsent);
  if (side.peer->ended) ::shutdown(side.fd, SHUT_WR);
  await(side);
  await(*side.peer);
}

void move_from(Side& side) {
  if (side.peer->unsent != nullptr) return;
  Pipe* pipe = take_pipe();
  const ssize_t got =
      ::splice(side.fd, nullptr, pipe->in, nullptr, pipe_bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (got > 0) {
    pipe->held = static_cast<std::size_t>(got);
    const bool all = pour(*side.peer, *pipe);
    if (all || side.tunnel->dead) {
      drop_pipe(pipe);
      return;
    }
    side.peer->unsent = pipe;
    await(*side.peer);
    await(side);
    return;
  }
  const int error = errno;
  drop_pipe(pipe);
  if (got < 0 && error == EAGAIN) return;
  side.ended = true;
  if (got < 0 || side.peer->ended) {
    finish(*side.tunnel);
    return;
  }
  ::shutdown(side.peer->fd, SHUT_WR);
  await(side);
}

void read_head(Tunnel& tunnel) {
  std::array<char, 4096> buffer;
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
  tunnel.upstream.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (tunnel.upstream.fd < 0) die("socket");
  no_delay(tunnel.upstream.fd);
  use_cubic(tunnel.upstream.fd);
  if (::connect(tunnel.upstream.fd, generic(to), sizeof to) != 0 && errno != EINPROGRESS) {
    die("connect");
  }
  tunnel.connecting = true;
  watch(epoll, EPOLL_CTL_ADD, tunnel.upstream.fd, EPOLLOUT, &tunnel.upstream);
}

void connected(Tunnel& tunnel) {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(tunnel.upstream.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  constexpr std::string_view answer = "HTTP/1.1 200 OK\r\n\r\n";
  if (error != 0 || ::send(tunnel.client.fd, answer.data(), answer.size(), MSG_NOSIGNAL) !=
                        static_cast<ssize_t>(answer.size())) {
    finish(tunnel);
    return;
  }
  tunnel.connecting = false;
  watch(epoll, EPOLL_CTL_MOD, tunnel.upstream.fd, EPOLLIN, &tunnel.upstream);
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
    if (!tunnel.dead && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) move_from(side);
  }
}

void accept_all(int listener) {
  for (;;) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    no_delay(fd);
    auto* tunnel = new Tunnel;
    tunnel->client = {fd, tunnel, &tunnel->upstream, nullptr, false};
    tunnel->upstream = {-1, tunnel, &tunnel->client, nullptr, false};
    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, &tunnel->client);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: bench_relay_splice ADDRESS:PORT\n", stderr);
    return 2;
  }
  ::signal(SIGPIPE, SIG_IGN);  // splice(2) knows no MSG_NOSIGNAL
  raise_descriptor_limit();
  epoll = ::epoll_create1(EPOLL_CLOEXEC);
  const int listener = listen_on(parse_endpoint(argv[1]));
  use_cubic(listener);  // accepted sockets inherit it
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
