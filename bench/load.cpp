// The load of the benchmarks: one thread, epoll, every byte of every answer checked. What it can be
// asked for: load_options.hpp. Prints one JSON line: operations, bytes, seconds, errors, p50_us,
// p99_us. An operation is what the mode says; of bulk modes, a MiB.

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <string_view>
#include <vector>

#include "bench/answer.hpp"
#include "bench/channel.hpp"
#include "bench/hello.hpp"
#include "bench/load_options.hpp"
#include "bench/pattern.hpp"

namespace {

using namespace nono::bench;
using Clock = std::chrono::steady_clock;

enum class Stage : std::uint8_t { connecting, proxy_answer, tls, hello, answer, streaming };

constexpr std::size_t message_bytes = 64;
constexpr std::size_t sources = 16;  // source addresses, so that no pair runs out of ports
constexpr std::size_t send_once_max = 1 << 20;

struct Connection {
  Channel channel;
  Stage stage = Stage::connecting;
  Answer answer;
  std::string head;            // of the answer to CONNECT
  std::string expected;        // to come back as it was sent: the ClientHello, or a message
  std::size_t matched = 0;     // of `expected`
  std::uint64_t position = 0;  // in the stream of the pattern
  std::string host, target;    // "127.77.0.1", "127.77.0.1:9000"
  bool writing = false;
  bool worked = false;  // something was done on it, or on one before it
  Clock::time_point started;
};

struct Run {
  Options options;
  SSL_CTX* tls = nullptr;
  int epoll = -1;
  std::uint32_t next = 0;
  std::uint64_t operations = 0, bytes = 0, errors = 0;
  int held = 0;
  std::size_t working = 0;  // connections that have worked
  bool closing = false;
  Pattern pattern;
  std::vector<float> latencies_us;
  std::vector<char> buffer = std::vector<char>(256 * 1024);
};

void renew(Run& run, Connection& connection);

void note_work(Run& run, Connection& connection) {
  if (!connection.worked) ++run.working;
  connection.worked = true;
}

void fail(Run& run, Connection& connection, const std::string& why) {
  if (run.errors++ == 0) std::fprintf(stderr, "first error: %s\n", why.c_str());
  if (run.errors > 100) run.closing = true;
  renew(run, connection);
}

void await(Run& run, Connection& connection, bool writing) {
  if (connection.writing == writing) return;
  connection.writing = writing;
  watch(run.epoll, EPOLL_CTL_MOD, connection.channel.fd(), writing ? EPOLLIN | EPOLLOUT : EPOLLIN,
        &connection);
}

// Small texts: a socket buffer has room for them, since nothing else is under way.
bool send_text(Run& run, Connection& connection, std::string_view text) {
  if (connection.channel.send(text) == static_cast<ssize_t>(text.size())) return true;
  fail(run, connection, "a request was not taken");
  return false;
}

std::string host_of(const Options& options, const sockaddr_in& address, std::uint32_t number) {
  if (!options.names.empty()) {
    std::string name = options.names;
    const std::size_t at = name.find('%');
    return at == std::string::npos ? name : name.replace(at, 1, std::to_string(number + 1));
  }
  std::array<char, 32> text;
  ::inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
  return text.data();
}

void open(Run& run, Connection& connection) {
  const Options& options = run.options;
  const std::uint32_t number = run.next % options.origins;
  const sockaddr_in target = advanced(options.origin, number);
  const sockaddr_in source =
      advanced(parse_endpoint("127.78.0.1:0"), run.next / options.origins % sources);
  ++run.next;
  connection.host = host_of(options, target, number);
  connection.target = connection.host + ":" + std::to_string(ntohs(options.origin.sin_port));
  connection.stage = Stage::connecting;
  connection.head.clear();
  connection.answer.reset();
  connection.position = 0;
  connection.writing = true;
  connection.started = Clock::now();
  connection.channel.open(connect_to(options.way == Way::direct ? target : options.proxy, &source));
  watch(run.epoll, EPOLL_CTL_ADD, connection.channel.fd(), EPOLLIN | EPOLLOUT, &connection);
}

void renew(Run& run, Connection& connection) {
  connection.channel.close();
  if (!run.closing) open(run, connection);
}

void expect_back(Run& run, Connection& connection, Stage stage, std::string text) {
  connection.stage = stage;
  connection.matched = 0;
  connection.expected = std::move(text);
  send_text(run, connection, connection.expected);
}

void request(Run& run, Connection& connection) {
  const Options& options = run.options;
  connection.stage = Stage::answer;
  connection.answer.reset();
  connection.position = 0;
  const std::string place = options.way == Way::absolute ? "http://" + connection.target : "";
  send_text(run, connection,
            "GET " + place + options.path + " HTTP/1.1\r\nHost: " + connection.target + "\r\n" +
                (options.way == Way::absolute ? options.auth : "") + options.field + "\r\n");
}

// The next operation on a connection that is ready for one.
void begin(Run& run, Connection& connection) {
  const Mode mode = run.options.mode;
  if (!run.options.once) connection.started = Clock::now();
  if (run.options.is_http()) {
    request(run, connection);
  } else if (mode == Mode::rtt) {
    expect_back(run, connection, Stage::answer, std::string(message_bytes, 'm'));
  } else if (mode == Mode::idle) {
    connection.stage = Stage::answer;
    connection.expected.clear();
    ++run.held;
  } else {
    connection.stage = Stage::streaming;
    if (send_text(run, connection, mode == Mode::down ? "DOWN" : "UPUP") && mode == Mode::up)
      await(run, connection, true);
  }
}

// TCP and CONNECT are done: what comes inside.
void inside(Run& run, Connection& connection) {
  if (run.tls != nullptr && !connection.channel.has_tls()) {
    connection.stage = Stage::tls;
    connection.channel.connect_tls(run.tls, connection.host);
  }
  if (connection.stage == Stage::tls) {
    const Channel::Handshake state = connection.channel.handshake();
    if (state == Channel::Handshake::failed) {
      const char* why = ERR_reason_error_string(ERR_peek_error());
      fail(run, connection, std::string("TLS: ") + (why != nullptr ? why : "ended"));
    }
    if (state != Channel::Handshake::done) return;
  }
  if (run.options.says_hello()) {
    const bool named = !run.options.names.empty();
    const std::string hello = client_hello(named ? connection.host : "");
    expect_back(run, connection, Stage::hello, hello);
  } else {
    begin(run, connection);
  }
}

void connected(Run& run, Connection& connection) {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(connection.channel.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    errno = error;
    die("connect");
  }
  await(run, connection, false);
  if (run.options.way != Way::connect) {
    inside(run, connection);
    return;
  }
  connection.stage = Stage::proxy_answer;
  send_text(run, connection,
            "CONNECT " + connection.target + " HTTP/1.1\r\nHost: " + connection.target + "\r\n" +
                run.options.auth + "\r\n");
}

void take_proxy_answer(Run& run, Connection& connection, std::string_view data) {
  connection.head.append(data);
  const std::size_t end = connection.head.find("\r\n\r\n");
  if (end == std::string::npos) return;
  if (connection.head.size() < 12 || connection.head.compare(9, 3, "200") != 0) {
    fail(run, connection, connection.head.substr(0, connection.head.find("\r\n")));
  } else if (end + 4 != connection.head.size()) {
    fail(run, connection, "bytes behind the answer to CONNECT");
  } else {
    inside(run, connection);
  }
}

void done(Run& run, Connection& connection) {
  const std::chrono::duration<float, std::micro> took = Clock::now() - connection.started;
  run.latencies_us.push_back(took.count());
  ++run.operations;
  note_work(run, connection);
  if (run.options.operations_max == run.operations) run.closing = true;
  const bool over = run.options.mode == Mode::connect || run.options.once ||
                    (run.options.is_http() && connection.answer.last());
  if (over) {
    renew(run, connection);
  } else if (!run.closing) {
    begin(run, connection);
  }
}

void take_back(Run& run, Connection& connection, std::string_view data) {
  if (connection.expected.compare(connection.matched, data.size(), data) != 0) {
    fail(run, connection, "what came back is not what was sent");
    return;
  }
  connection.matched += data.size();
  if (connection.matched < connection.expected.size()) return;
  if (connection.stage == Stage::hello && run.options.mode != Mode::connect) {
    begin(run, connection);
  } else {
    done(run, connection);
  }
}

void take_http(Run& run, Connection& connection, std::string_view data) {
  const auto on_content = [&](std::string_view content) {
    const bool right = run.pattern.matches(connection.position, content);
    connection.position += content.size();
    if (run.options.mode == Mode::bulk) {
      run.bytes += content.size();
      note_work(run, connection);
    }
    return right;
  };
  const Answer::State state = connection.answer.take(data, on_content);
  if (state == Answer::State::bad) {
    fail(run, connection, connection.answer.error());
  } else if (state == Answer::State::whole && run.options.mode == Mode::http &&
             connection.position != 1024) {
    fail(run, connection, "a body of " + std::to_string(connection.position) + " bytes");
  } else if (state == Answer::State::whole) {
    done(run, connection);
  }
}

void take_stream(Run& run, Connection& connection, std::string_view data) {
  note_work(run, connection);
  if (run.options.mode == Mode::up) {
    if (data.find_first_not_of('k') != std::string_view::npos) {
      fail(run, connection, "the origin got other bytes");
    }
    run.bytes += data.size() << 20;
    return;
  }
  if (!run.pattern.matches(connection.position, data)) {
    fail(run, connection, "bytes that are not the origin's");
    return;
  }
  connection.position += data.size();
  run.bytes += data.size();
}

void send_stream(Run& run, Connection& connection) {
  for (std::size_t sent_now = 0; sent_now < send_once_max;) {
    const ssize_t sent = connection.channel.send(run.pattern.at(connection.position));
    if (sent < 0) {
      fail(run, connection, "closed while sending");
      return;
    }
    if (sent == 0) return;
    connection.position += static_cast<std::uint64_t>(sent);
    sent_now += static_cast<std::size_t>(sent);
  }
}

void take(Run& run, Connection& connection, std::string_view data) {
  if (connection.stage == Stage::proxy_answer) {
    take_proxy_answer(run, connection, data);
  } else if (connection.stage == Stage::streaming) {
    take_stream(run, connection, data);
  } else if (run.options.is_http()) {
    take_http(run, connection, data);
  } else {
    take_back(run, connection, data);
  }
}

void readable(Run& run, Connection& connection) {
  do {
    const ssize_t got = connection.channel.receive(run.buffer.data(), run.buffer.size());
    if (got < 0) return;
    if (got == 0) {
      // Some proxies close a kept connection between two answers without saying so.
      const bool between = run.options.mode == Mode::http && connection.stage == Stage::answer &&
                           !connection.answer.begun() && run.operations > 0;
      if (between && !run.options.once) {
        renew(run, connection);
      } else {
        fail(run, connection, "closed early");
      }
      return;
    }
    take(run, connection, {run.buffer.data(), static_cast<std::size_t>(got)});
  } while (connection.channel.is_open() && connection.channel.has_pending());
}

void handle(Run& run, Connection& connection, std::uint32_t events) {
  if (!connection.channel.is_open()) return;
  if (connection.stage == Stage::connecting) {
    connected(run, connection);
  } else if (connection.stage == Stage::tls) {
    inside(run, connection);
  } else {
    if ((events & ~std::uint32_t{EPOLLOUT}) != 0) readable(run, connection);
    if (connection.stage == Stage::streaming && (events & EPOLLOUT) != 0)
      send_stream(run, connection);
  }
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
    const epoll_event& event = events[static_cast<std::size_t>(at)];
    handle(run, *static_cast<Connection*>(event.data.ptr), event.events);
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
    if (run.errors > 0 || Clock::now() > until) die("tunnels were not opened");
  }
  std::puts("held");
  std::fflush(stdout);
  char byte = 0;
  while (::read(0, &byte, 1) > 0) {
  }
}

// Kept connections: what opening them cost is no part of the figure. Says "begin" once each has
// worked, and goes on when told to; whoever reads this has looked at the proxy's clock by then.
void settle(Run& run, std::size_t connections) {
  const auto until = Clock::now() + std::chrono::seconds(60);
  while (run.working < connections && !run.closing) {
    turn(run, 100);
    if (Clock::now() > until) die("the connections did not all work");
  }
  std::puts("begin");
  std::fflush(stdout);
  char byte = 0;
  if (::read(0, &byte, 1) < 0) die("reading");
  run.operations = run.bytes = 0;
  run.latencies_us.clear();
}

void print(Run& run, double seconds) {
  if (run.bytes > 0) run.operations = run.bytes >> 20;
  std::printf(
      "{\"operations\": %llu, \"bytes\": %llu, \"seconds\": %.4f, \"errors\": %llu, "
      "\"p50_us\": %.0f, \"p99_us\": %.0f}\n",
      static_cast<unsigned long long>(run.operations), static_cast<unsigned long long>(run.bytes),
      seconds, static_cast<unsigned long long>(run.errors),
      static_cast<double>(percentile(run.latencies_us, 0.5)),
      static_cast<double>(percentile(run.latencies_us, 0.99)));
}

}  // namespace

int main(int argc, char** argv) {
  raise_descriptor_limit();
  ::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  Run run;
  run.options = parse(argc, argv);
  if (!run.options.authority.empty()) run.tls = client_tls(run.options.authority);
  run.epoll = ::epoll_create1(EPOLL_CLOEXEC);
  run.latencies_us.reserve(4'000'000);
  std::vector<Connection> connections(static_cast<std::size_t>(run.options.connections));
  if (run.options.mode == Mode::idle) {
    hold(run, connections);
    return 0;
  }
  for (Connection& connection : connections) open(run, connection);
  if (run.options.settles) settle(run, connections.size());
  const Clock::time_point start = Clock::now();
  const auto until = start + std::chrono::duration_cast<Clock::duration>(
                                 std::chrono::duration<double>(run.options.seconds));
  while (!run.closing && Clock::now() < until) turn(run, 100);
  const std::chrono::duration<double> took = Clock::now() - start;
  print(run, took.count());
  return run.errors == 0 ? 0 : 1;
}
