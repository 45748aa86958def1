// The origin of the benchmarks: many addresses, one thread. A connection that begins with a
// ClientHello gets it echoed first (it opens an opaque tunnel; see hello.hpp). Then, by its bytes:
//   GET /              HTTP, kept: 1 KiB
//   GET /key/...       the same, and 401 unless the real key is there
//   GET /bulk/N        N bytes
//   DOWN               bytes without end
//   UPUP               each MiB that arrives intact is answered with one byte
//   anything else      is echoed
// Usage: bench_origin 127.77.0.1:9000 COUNT KEY [CERTIFICATE KEY-FILE]
// With a certificate, the port above speaks real TLS, and HTTP inside.

#include <algorithm>
#include <array>
#include <csignal>
#include <vector>

#include "bench/channel.hpp"
#include "bench/pattern.hpp"

namespace {

using namespace nono::bench;

enum class Protocol : std::uint8_t { unknown, http, echo, down, up };

constexpr std::uint64_t endless = UINT64_MAX;
constexpr std::uint64_t up_step = 1 << 20;
constexpr std::size_t send_once_max = 1 << 20;  // then others have their turn

struct Connection {
  Channel channel;
  bool listener = false, tls = false, greeted = true, writing = false;
  Protocol protocol = Protocol::unknown;
  std::size_t hello_left = 0;  // of a ClientHello, to be echoed
  std::uint64_t position = 0;  // in the stream of the pattern
  std::uint64_t left = 0;      // of the pattern, to be sent
  std::string head;            // of an HTTP request that is not whole yet
};

struct Origin {
  int epoll = -1;
  std::string key;
  SSL_CTX* tls = nullptr;
  Pattern pattern;
  std::vector<char> buffer = std::vector<char>(256 * 1024);
};

void await(Origin& origin, Connection& connection, bool writing) {
  if (connection.writing == writing) return;
  connection.writing = writing;
  watch(origin.epoll, EPOLL_CTL_MOD, connection.channel.fd(),
        writing ? EPOLLIN | EPOLLOUT : EPOLLIN, &connection);
}

// The load waits for each answer before it asks again, so a socket buffer has room for small ones.
bool send_whole(Connection& connection, std::string_view data) {
  return connection.channel.send(data) == static_cast<ssize_t>(data.size());
}

bool send_pattern(Origin& origin, Connection& connection) {
  std::size_t sent_now = 0;
  while (connection.left > 0 && sent_now < send_once_max) {
    const std::string_view piece = origin.pattern.at(connection.position, connection.left);
    const ssize_t sent = connection.channel.send(piece);
    if (sent < 0) return false;
    if (sent == 0) break;
    sent_now += static_cast<std::size_t>(sent);
    connection.position += static_cast<std::uint64_t>(sent);
    if (connection.left != endless) connection.left -= static_cast<std::uint64_t>(sent);
  }
  await(origin, connection, connection.left > 0);
  return true;
}

bool has_key(const Origin& origin, std::string_view head) {
  constexpr std::string_view name = "authorization: bearer ";
  const auto at = std::search(head.begin(), head.end(), name.begin(), name.end(),
                              [](char a, char b) { return (a | 0x20) == (b | 0x20); });
  if (at == head.end()) return false;
  const auto value = static_cast<std::size_t>(at - head.begin()) + name.size();
  return head.substr(value).starts_with(origin.key + "\r\n");
}

bool answer(Origin& origin, Connection& connection, std::string_view head) {
  constexpr std::string_view start = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
  const std::string_view path = head.substr(4, head.find(' ', 4) - 4);
  std::uint64_t bytes = 1024;
  if (path.starts_with("/bulk/")) {
    bytes = std::strtoull(path.data() + 6, nullptr, 10);
  } else if (path.starts_with("/key/")) {
    if (!has_key(origin, head)) {
      return send_whole(connection, "HTTP/1.1 401 No Key\r\nContent-Length: 0\r\n\r\n");
    }
  } else if (path != "/") {
    return send_whole(connection, "HTTP/1.1 404 No Such Path\r\nContent-Length: 0\r\n\r\n");
  }
  std::string text(start);
  text += "Content-Length: " + std::to_string(bytes) + "\r\n\r\n";
  connection.position = std::min<std::uint64_t>(bytes, 1024);
  text += origin.pattern.at(0, connection.position);
  connection.left = bytes - connection.position;
  return send_whole(connection, text) && (connection.left == 0 || send_pattern(origin, connection));
}

bool answer_http(Origin& origin, Connection& connection, std::string_view data) {
  connection.head.append(data);
  for (std::size_t end; (end = connection.head.find("\r\n\r\n")) != std::string::npos;) {
    if (!answer(origin, connection, std::string_view(connection.head).substr(0, end + 2))) {
      return false;
    }
    connection.head.erase(0, end + 4);
  }
  return true;
}

bool take_up(Origin& origin, Connection& connection, std::string_view data) {
  if (!origin.pattern.matches(connection.position, data)) return false;
  const std::uint64_t before = connection.position / up_step;
  connection.position += data.size();
  const std::uint64_t steps = connection.position / up_step - before;
  return steps == 0 || send_whole(connection, std::string(steps, 'k'));
}

Protocol protocol_of(std::string_view data) {
  if (data.starts_with("GET ")) return Protocol::http;
  if (data == "DOWN") return Protocol::down;
  return data.starts_with("UPUP") ? Protocol::up : Protocol::echo;
}

// False when the connection is over.
bool take(Origin& origin, Connection& connection, std::string_view data) {
  if (connection.greeted && data.front() == 0x16 && data.size() > 5) {
    connection.hello_left = 5 + static_cast<unsigned char>(data[3]) * std::size_t{256} +
                            static_cast<unsigned char>(data[4]);
  }
  connection.greeted = false;
  const std::string_view hello = data.substr(0, connection.hello_left);
  connection.hello_left -= hello.size();
  data.remove_prefix(hello.size());
  if (!hello.empty() && !send_whole(connection, hello)) return false;
  if (data.empty()) return true;
  if (connection.protocol == Protocol::unknown) {
    connection.protocol = protocol_of(data);
    if (connection.protocol == Protocol::up) data.remove_prefix(4);
  }
  switch (connection.protocol) {
    case Protocol::http:
      return answer_http(origin, connection, data);
    case Protocol::up:
      return take_up(origin, connection, data);
    case Protocol::down:
      connection.left = endless;
      return send_pattern(origin, connection);
    default:
      return send_whole(connection, data);
  }
}

bool serve(Origin& origin, Connection& connection, std::uint32_t events) {
  if (connection.tls) {
    const Channel::Handshake state = connection.channel.handshake();
    if (state != Channel::Handshake::done) return state == Channel::Handshake::again;
    connection.tls = false;
  }
  if (connection.left > 0 && (events & EPOLLOUT) != 0 && !send_pattern(origin, connection)) {
    return false;
  }
  do {
    const ssize_t got = connection.channel.receive(origin.buffer.data(), origin.buffer.size());
    if (got <= 0) return got < 0;
    if (!take(origin, connection, {origin.buffer.data(), static_cast<std::size_t>(got)})) {
      return false;
    }
  } while (connection.channel.has_pending());
  return true;
}

void accept_all(Origin& origin, const Connection& listener) {
  for (;;) {
    const int fd = ::accept4(listener.channel.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    no_delay(fd);
    auto* connection = new Connection;
    connection->channel.open(fd);
    connection->tls = listener.tls;
    connection->greeted = !listener.tls;
    if (listener.tls) connection->channel.accept_tls(origin.tls);
    watch(origin.epoll, EPOLL_CTL_ADD, fd, EPOLLIN, connection);
  }
}

void listen(Origin& origin, const sockaddr_in& first, std::uint32_t count, bool tls) {
  for (std::uint32_t at = 0; at < count; ++at) {
    auto* listener = new Connection;
    listener->listener = true;
    listener->tls = tls;
    sockaddr_in address = advanced(first, at);
    if (tls) address.sin_port = htons(static_cast<std::uint16_t>(ntohs(first.sin_port) + 1));
    listener->channel.open(listen_on(address));
    watch(origin.epoll, EPOLL_CTL_ADD, listener->channel.fd(), EPOLLIN, listener);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 6) {
    std::fputs("usage: bench_origin ADDRESS:PORT COUNT KEY [CERTIFICATE KEY-FILE]\n", stderr);
    return 2;
  }
  raise_descriptor_limit();
  Origin origin;
  origin.epoll = ::epoll_create1(EPOLL_CLOEXEC);
  origin.key = argv[3];
  const sockaddr_in address = parse_endpoint(argv[1]);
  const auto count = static_cast<std::uint32_t>(std::atoi(argv[2]));
  listen(origin, address, count, false);
  if (argc == 6) {
    ::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
    origin.tls = server_tls(argv[4], argv[5]);
    listen(origin, address, count, true);
  }
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    std::array<epoll_event, 256> events;
    const int ready =
        ::epoll_wait(origin.epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int at = 0; at < ready; ++at) {
      const epoll_event& event = events[static_cast<std::size_t>(at)];
      auto* connection = static_cast<Connection*>(event.data.ptr);
      if (connection->listener) {
        accept_all(origin, *connection);
      } else if (!serve(origin, *connection, event.events)) {
        connection->channel.close();
        delete connection;
      }
    }
  }
}
