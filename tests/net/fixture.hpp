#pragma once
// Two pairs of connected sockets with a relay between them: the test holds the outer ends.

#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "config/base/fd.hpp"
#include "proxy/net/relay.hpp"

namespace nono::test {

struct SocketPair {
  UniqueFd inner, outer;
};

// Both blocking; the outer end gives up after 20 s.
SocketPair tcp_pair();
SocketPair unix_pair();

// The bytes that every transfer consists of: the one at `position` is known.
char pattern_at(std::uint64_t position);
// Writes `bytes` of the pattern; false when the peer broke off.
bool write_pattern(int fd, std::uint64_t bytes);
// Reads until the end of the stream, at most `piece` at a time; the bytes that were as they should
// be, or nothing when one was not or the connection broke.
std::optional<std::uint64_t> read_pattern(int fd, std::size_t piece = 256 * 1024);
// Catch2's assertions belong to one thread: what others find wrong is kept here, by its line.
class Findings {
 public:
  void expect(bool fulfilled, std::source_location where = std::source_location::current());
  // True where all was as expected; otherwise Catch2 is told where not. Once the threads are
  // joined.
  bool none() const;

 private:
  std::mutex mutex_;
  std::vector<unsigned> lines_;
};

// The next `count` bytes or less, when the stream ends.
std::string read_text(int fd, std::size_t count);
void write_text(int fd, std::string_view text);
// Makes the next close send RST.
void close_with_reset(UniqueFd& fd);

// Pipes that this process holds, by their ends.
int pipe_ends();

class RelayScene {
 public:
  RelayScene() : RelayScene(tcp_pair(), tcp_pair()) {}
  RelayScene(SocketPair client, SocketPair upstream);

  int client() const { return client_end_.get(); }
  int upstream() const { return upstream_end_.get(); }
  UniqueFd& client_end() { return client_end_; }
  UniqueFd& upstream_end() { return upstream_end_; }
  TcpStream& client_stream() { return client_; }
  TcpStream& upstream_stream() { return upstream_; }
  net::io_context& io() { return io_; }

  RelayLimits limits;
  std::unique_ptr<FirstBytesJudge> judge;
  RelayMeter* meter = nullptr;
  std::string early;

  // Runs the relay on this thread to its end; throws when that does not come in time.
  RelayResult run();

 private:
  net::io_context io_{1};
  Deadlines deadlines_{io_.get_executor(), std::chrono::milliseconds(10)};
  UniqueFd client_end_, upstream_end_;
  TcpStream client_, upstream_;
};

}  // namespace nono::test
