// The load of the benchmarks: one thread, epoll, every answer checked. Usage:
//   bench_load MODE --proxy A:P|direct --origin A:P --origins 16 --connections 32 --seconds 3
//   [--auth TEXT]
// Modes: connect  open a tunnel, one 64-byte round trip through it, close; again
//        http     GET of 1 KiB in absolute form on kept connections
//        rtt      64-byte round trips through kept tunnels
//        idle     open the tunnels, say "held", keep them until stdin ends
// Prints one JSON line: operations, seconds, errors, p50_us, p99_us.

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <map>
#include <string_view>
#include <vector>

#include "bench/sockets.hpp"

namespace {

using namespace nono::bench;
using Clock = std::chrono::steady_clock;

enum class Mode : std::uint8_t { connect, http, rtt, idle };
enum class Stage : std::uint8_t { connecting, handshake, answer };

constexpr std::size_t message_bytes = 64;
constexpr std::size_t sources = 16;  // source addresses, so that no pair runs out of ports

struct Options {
  Mode mode = Mode::connect;
  bool direct = false;
  sockaddr_in proxy{}, origin{};
  std::uint32_t origins = 16;
  int connections = 32;
  double seconds = 3;
  std::string auth;  // value of Proxy-Authorization
};

struct Connection {
  int fd = -1;
  Stage stage = Stage::connecting;
  std::string head;          // of an answer that is not whole yet
  std::size_t expected = 0;  // bytes of the answer still to come
  bool last = false;         // the answer said that the connection closes behind it
  std::string target;        // "127.77.0.1:9000"
  std::uint32_t source = 0;
  Clock::time_point started;
};

struct Run {
  Options options;
  int epoll = -1;
  std::uint32_t next = 0;
  std::uint64_t operations = 0, errors = 0;
  int held = 0;
  bool closing = false;
  std::vector<float> latencies_us;
};

std::string name_of(const sockaddr_in& address) {
  std::array<char, 32> text;
  ::inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
  return std::string(text.data()) + ":" + std::to_string(ntohs(address.sin_port));
}

void send_text(Run& run, const Connection& connection, std::string_view text) {
  if (::send(connection.fd, text.data(), text.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(text.size())) {
    ++run.errors;
  }
}

void open(Run& run, Connection& connection) {
  const Options& options = run.options;
  const sockaddr_in target = advanced(options.origin, run.next % options.origins);
  sockaddr_in source = parse_endpoint("127.78.0.1:0");
  source = advanced(source, run.next / options.origins % sources);
  ++run.next;
  connection.target = name_of(target);
  connection.stage = Stage::connecting;
  connection.head.clear();
  connection.last = false;
  connection.started = Clock::now();
  connection.fd = connect_to(options.direct ? target : options.proxy, &source);
  watch(run.epoll, EPOLL_CTL_ADD, connection.fd, EPOLLOUT, &connection);
}

void ask(Run& run, Connection& connection) {
  connection.stage = Stage::answer;
  if (run.options.mode != Mode::connect) connection.started = Clock::now();
  if (run.options.mode == Mode::http) {
    connection.expected = 0;  // told by the head
    const std::string form = run.options.direct ? "/" : "http://" + connection.target + "/";
    send_text(run, connection,
              "GET " + form + " HTTP/1.1\r\nHost: " + connection.target + "\r\n" +
                  run.options.auth + "\r\n");
    return;
  }
  static const std::string message(message_bytes, 'm');
  connection.expected = message_bytes;
  send_text(run, connection, message);
}

void connected(Run& run, Connection& connection) {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(connection.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    errno = error;
    die("connect");
  }
  watch(run.epoll, EPOLL_CTL_MOD, connection.fd, EPOLLIN, &connection);
  if (run.options.direct || run.options.mode == Mode::http) {
    ask(run, connection);
    return;
  }
  connection.stage = Stage::handshake;
  send_text(run, connection,
            "CONNECT " + connection.target + " HTTP/1.1\r\nHost: " + connection.target + "\r\n" +
                run.options.auth + "\r\n");
}

void renew(Run& run, Connection& connection) {
  ::close(connection.fd);
  connection.fd = -1;
  if (!run.closing) open(run, connection);
}

void done(Run& run, Connection& connection) {
  const std::chrono::duration<float, std::micro> took = Clock::now() - connection.started;
  run.latencies_us.push_back(took.count());
  ++run.operations;
  if (run.options.mode == Mode::connect || connection.last) {
    renew(run, connection);
  } else if (run.options.mode == Mode::idle) {
    ++run.held;
  } else if (!run.closing) {
    ask(run, connection);
  }
}

void fail(Run& run, Connection& connection, const std::string& why) {
  if (run.errors++ == 0) std::fprintf(stderr, "bench: first error: %s\n", why.c_str());
  if (run.errors > 1000) std::exit(1);
  renew(run, connection);
}

// The head of an answer: its end is taken off, `expected` set from Content-Length where there is
// one.
bool take_head(Run& run, Connection& connection, std::string_view& data) {
  connection.head.append(data);
  const std::size_t end = connection.head.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  if (connection.head.compare(9, 3, "200") != 0) {
    fail(run, connection, connection.head.substr(0, connection.head.find("\r\n")));
    return false;
  }
  const std::size_t rest = connection.head.size() - (end + 4);
  data.remove_prefix(data.size() - rest);
  if (run.options.mode == Mode::http) {
    std::string head = connection.head.substr(0, end + 2);
    std::transform(head.begin(), head.end(), head.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    connection.last =
        head.starts_with("http/1.0") || head.find("connection: close") != std::string::npos;
    const std::size_t length = head.find("content-length: ");
    if (length == std::string::npos) {
      fail(run, connection, "no Content-Length");
      return false;
    }
    connection.expected = static_cast<std::size_t>(std::atoi(head.c_str() + length + 16));
  }
  connection.head.clear();
  return true;
}

void take_answer(Run& run, Connection& connection, std::string_view data) {
  if (run.options.mode == Mode::http && connection.expected == 0 &&
      !take_head(run, connection, data))
    return;
  if (data.size() > connection.expected) {
    fail(run, connection, "more bytes than asked for");
    return;
  }
  connection.expected -= data.size();
  if (connection.expected == 0) done(run, connection);
}

void readable(Run& run, Connection& connection) {
  std::array<char, 65536> buffer;
  const ssize_t got = ::recv(connection.fd, buffer.data(), buffer.size(), 0);
  if (got < 0 && errno == EAGAIN) return;
  const bool between = run.options.mode == Mode::http && connection.stage == Stage::answer &&
                       connection.expected == 0 && connection.head.empty();
  if (got <= 0 && between && run.operations > 0) {
    renew(run, connection);  // some proxies close after an answer without saying so
    return;
  }
  if (got <= 0) {
    fail(run, connection, got == 0 ? "closed early" : std::strerror(errno));
    return;
  }
  std::string_view data(buffer.data(), static_cast<std::size_t>(got));
  if (connection.stage == Stage::answer) {
    take_answer(run, connection, data);
  } else if (take_head(run, connection, data)) {
    ask(run, connection);
  }
}

Options parse(int argc, char** argv) {
  static const std::map<std::string, Mode> modes = {
      {"connect", Mode::connect}, {"http", Mode::http}, {"rtt", Mode::rtt}, {"idle", Mode::idle}};
  Options options;
  if (argc < 2 || !modes.contains(argv[1])) {
    std::fputs("usage: bench_load connect|http|rtt|idle --proxy A:P|direct --origin A:P ...\n",
               stderr);
    std::exit(2);
  }
  options.mode = modes.at(argv[1]);
  for (int at = 2; at + 1 < argc; at += 2) {
    const std::string name = argv[at], value = argv[at + 1];
    if (name == "--proxy" && value == "direct")
      options.direct = true;
    else if (name == "--proxy")
      options.proxy = parse_endpoint(value);
    else if (name == "--origin")
      options.origin = parse_endpoint(value);
    else if (name == "--origins")
      options.origins = static_cast<std::uint32_t>(std::stoul(value));
    else if (name == "--connections")
      options.connections = std::stoi(value);
    else if (name == "--seconds")
      options.seconds = std::stod(value);
    else if (name == "--auth")
      options.auth = "Proxy-Authorization: " + value + "\r\n";
    else
      die(name);
  }
  return options;
}

float percentile(std::vector<float>& values, double part) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::ptrdiff_t>(static_cast<double>(values.size() - 1) * part);
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)];
}

void turn(Run& run, int timeout_ms) {
  std::array<epoll_event, 256> events;
  const int ready =
      ::epoll_wait(run.epoll, events.data(), static_cast<int>(events.size()), timeout_ms);
  for (int at = 0; at < ready; ++at) {
    auto& connection = *static_cast<Connection*>(events[static_cast<std::size_t>(at)].data.ptr);
    if (connection.fd < 0) continue;
    if (connection.stage == Stage::connecting) {
      connected(run, connection);
    } else {
      readable(run, connection);
    }
  }
}

void hold(Run& run, std::vector<Connection>& connections) {
  // Opened a few at a time: this is about memory, not about accept queues.
  const auto until = Clock::now() + std::chrono::seconds(30);
  for (std::size_t opened = 0; run.held < static_cast<int>(connections.size());) {
    while (opened < connections.size() && opened < static_cast<std::size_t>(run.held) + 32) {
      open(run, connections[opened++]);
    }
    turn(run, 100);
    if (Clock::now() > until) die("tunnels were not opened in time");
  }
  std::puts("held");
  std::fflush(stdout);
  char byte = 0;
  while (::read(0, &byte, 1) > 0) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  raise_descriptor_limit();
  Run run;
  run.options = parse(argc, argv);
  run.epoll = ::epoll_create1(EPOLL_CLOEXEC);
  run.latencies_us.reserve(4'000'000);
  std::vector<Connection> connections(static_cast<std::size_t>(run.options.connections));
  if (run.options.mode == Mode::idle) {
    hold(run, connections);
    return 0;
  }
  for (Connection& connection : connections) open(run, connection);
  const Clock::time_point start = Clock::now();
  const auto until = start + std::chrono::duration_cast<Clock::duration>(
                                 std::chrono::duration<double>(run.options.seconds));
  while (Clock::now() < until) turn(run, 100);
  const std::chrono::duration<double> took = Clock::now() - start;
  run.closing = true;
  std::printf(
      "{\"operations\": %llu, \"seconds\": %.4f, \"errors\": %llu, \"p50_us\": %.0f, \"p99_us\": "
      "%.0f}\n",
      static_cast<unsigned long long>(run.operations), took.count(),
      static_cast<unsigned long long>(run.errors),
      static_cast<double>(percentile(run.latencies_us, 0.5)),
      static_cast<double>(percentile(run.latencies_us, 0.99)));
  return run.errors == 0 ? 0 : 1;
}
