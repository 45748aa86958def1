#include "tests/net/fixture.hpp"

#include <netinet/in.h>
#include <sys/time.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <vector>

#include "tests/support/run_coroutine.hpp"

namespace nono::test {

namespace {

void give_up_late(int fd) {
  const timeval limit{20, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

}  // namespace

SocketPair tcp_pair() {
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = static_cast<sockaddr*>(static_cast<void*>(&address));
  REQUIRE(::bind(listener.get(), generic, size) == 0);
  REQUIRE(::listen(listener.get(), 1) == 0);
  REQUIRE(::getsockname(listener.get(), generic, &size) == 0);
  SocketPair pair;
  pair.outer = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(pair.outer.get(), generic, size) == 0);
  pair.inner = UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(pair.inner);
  give_up_late(pair.outer.get());
  return pair;
}

SocketPair unix_pair() {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  give_up_late(ends[1]);
  return SocketPair{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// No power of two divides 251: a block that is lost, doubled or swapped shows.
char pattern_at(std::uint64_t position) {
  return static_cast<char>(position % 251);
}

bool write_pattern(int fd, std::uint64_t bytes) {
  constexpr std::size_t period = 251;
  std::string block(period * 512, '\0');
  for (std::size_t at = 0; at < block.size(); ++at) block[at] = pattern_at(at);
  for (std::uint64_t sent = 0; sent < bytes;) {
    const std::size_t from = sent % period;
    const std::size_t count = std::min<std::uint64_t>(block.size() - from, bytes - sent);
    const ssize_t taken = ::send(fd, block.data() + from, count, MSG_NOSIGNAL);
    if (taken <= 0) return false;
    sent += static_cast<std::uint64_t>(taken);
  }
  return true;
}

std::optional<std::uint64_t> read_pattern(int fd, std::size_t piece) {
  std::vector<char> buffer(piece);
  std::uint64_t position = 0;
  while (true) {
    const ssize_t count = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (count == 0) return position;
    if (count < 0) return std::nullopt;
    for (ssize_t at = 0; at < count; ++at) {
      if (buffer[static_cast<std::size_t>(at)] != pattern_at(position++)) return std::nullopt;
    }
  }
}

std::string read_text(int fd, std::size_t count) {
  std::string text(count, '\0');
  std::size_t got = 0;
  while (got < count) {
    const ssize_t more = ::recv(fd, text.data() + got, count - got, 0);
    if (more <= 0) break;
    got += static_cast<std::size_t>(more);
  }
  text.resize(got);
  return text;
}

void write_text(int fd, std::string_view text) {
  if (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) {
    throw std::runtime_error("a test's text could not be sent");
  }
}

void Findings::expect(bool fulfilled, std::source_location where) {
  if (fulfilled) return;
  const std::lock_guard lock(mutex_);
  lines_.push_back(where.line());
}

bool Findings::none() const {
  for (const unsigned line : lines_) WARN("not as expected: line " << line);
  return lines_.empty();
}

void close_with_reset(UniqueFd& fd) {
  const linger hard{1, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  fd.reset();
}

int pipe_ends() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const auto target = std::filesystem::read_symlink(entry.path(), ignored);
    if (target.string().starts_with("pipe:")) ++count;
  }
  return count;
}

RelayScene::RelayScene(SocketPair client, SocketPair upstream)
    : client_end_(std::move(client.outer)),
      upstream_end_(std::move(upstream.outer)),
      client_(std::move(client.inner), io_.get_executor(), deadlines_),
      upstream_(std::move(upstream.inner), io_.get_executor(), deadlines_) {
  std::signal(SIGPIPE, SIG_IGN);
}

RelayResult RelayScene::run() {
  return run_coroutine(io_, relay(client_, upstream_, early, limits, judge, meter),
                       std::chrono::milliseconds(30'000));
}

}  // namespace nono::test
