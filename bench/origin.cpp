// The origin of the benchmarks: what starts with "GET " is HTTP and gets a body of 1 KiB per
// request, anything else is echoed. Usage: bench_origin 127.77.0.1:9000 16        (16 addresses,
// one port, one thread)

#include <algorithm>
#include <array>
#include <string_view>

#include "bench/sockets.hpp"

namespace {

using namespace nono::bench;

struct Connection {
  int fd = -1;
  bool http = false;
  bool first = true;
  std::string head;  // of an HTTP request that is not whole yet
};

const std::string& response() {
  static const std::string text =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" +
      std::string(1024, 'x');
  return text;
}

// The load waits for each answer before it asks again, so a socket buffer always has room.
bool send_whole(int fd, std::string_view data) {
  return ::send(fd, data.data(), data.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(data.size());
}

bool answer_http(Connection& connection, std::string_view data) {
  connection.head.append(data);
  for (std::size_t end; (end = connection.head.find("\r\n\r\n")) != std::string::npos;) {
    connection.head.erase(0, end + 4);
    if (!send_whole(connection.fd, response())) return false;
  }
  return true;
}

// False when the connection is over.
bool serve(Connection& connection) {
  std::array<char, 65536> buffer;
  const ssize_t got = ::recv(connection.fd, buffer.data(), buffer.size(), 0);
  if (got < 0 && errno == EAGAIN) return true;
  if (got <= 0) return false;
  const std::string_view data(buffer.data(), static_cast<std::size_t>(got));
  if (connection.first) connection.http = data.starts_with("GET ");
  connection.first = false;
  return connection.http ? answer_http(connection, data) : send_whole(connection.fd, data);
}

void accept_all(int epoll, int listener) {
  for (;;) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    no_delay(fd);
    auto* connection = new Connection;
    connection->fd = fd;
    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, connection);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: bench_origin ADDRESS:PORT COUNT\n", stderr);
    return 2;
  }
  raise_descriptor_limit();
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  std::array<Connection, 256> listeners;
  const std::size_t count =
      std::min<std::size_t>(listeners.size(), static_cast<std::size_t>(std::atoi(argv[2])));
  for (std::size_t at = 0; at < count; ++at) {
    listeners[at].fd = listen_on(advanced(parse_endpoint(argv[1]), static_cast<std::uint32_t>(at)));
    watch(epoll, EPOLL_CTL_ADD, listeners[at].fd, EPOLLIN, &listeners[at]);
  }
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    std::array<epoll_event, 256> events;
    const int ready = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int at = 0; at < ready; ++at) {
      auto* connection = static_cast<Connection*>(events[static_cast<std::size_t>(at)].data.ptr);
      if (connection >= listeners.data() && connection < listeners.data() + listeners.size()) {
        accept_all(epoll, connection->fd);
      } else if (!serve(*connection)) {
        ::close(connection->fd);
        delete connection;
      }
    }
  }
}
