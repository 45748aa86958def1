// Programs that do no harm but a lot of it: they flood the sandbox's proxy, and say how far they
// came.

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

void say(const std::string& line) {
  const std::string whole = line + "\n";
  if (::write(1, whole.data(), whole.size()) < 0) ::_exit(1);
}

// While what it cost is looked at, until it is ended.
int stay() {
  ::alarm(60);
  for (;;) ::pause();
}

UniqueFd connect_to_proxy() {
  const char* proxy = std::getenv("HTTP_PROXY");
  const std::string place = proxy == nullptr ? "" : proxy;
  const std::size_t at = place.rfind('@');
  std::string host = place.substr(at == std::string::npos ? place.find("//") + 2 : at + 1);
  while (host.ends_with('/')) host.pop_back();
  const sockaddr_in address = Settings({"proxy=" + host}).v4("proxy");
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), generic(address), sizeof address) != 0) return {};
  return socket;
}

// To an address that is nobody's: what a program does that knows of no proxy.
UniqueFd connect_past_proxy() {
  const sockaddr_in address = Settings({"web=192.0.2.7:80"}).v4("web");
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), generic(address), sizeof address) != 0) return {};
  return socket;
}

// How a flood gets to nono, and a request there that is refused.
struct Way {
  UniqueFd (*connect)();
  std::string (*refused)(const std::string& name);
};
const Way by_proxy = {connect_to_proxy, [](const std::string& name) {
                        return "CONNECT " + name + ":443 HTTP/1.1\r\n\r\n";
                      }};
const Way captured = {connect_past_proxy, [](const std::string& name) {
                        return "GET / HTTP/1.1\r\nHost: " + name + "\r\n\r\n";
                      }};

// Of `count` connections every third says nothing, every third nonsense, every third is refused.
int flood_with_connections(int count, const Way& way) {
  int done = 0;
  for (; done < count; ++done) {
    const UniqueFd socket = way.connect();
    if (!socket) break;
    if (done % 3 == 0) continue;
    const std::string text = done % 3 == 1 ? "\x16\x03\x01nonsense\r\n\r\n"
                                           : way.refused("n" + std::to_string(done) + ".example");
    (void)!::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (done % 9 == 2) read_some(socket.get());
  }
  say("connections " + std::to_string(done));
  return stay();
}

// Holds `count` connections that have begun a request and never end it.
int hold_half_open(int count, const Way& way) {
  rlimit files = {};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  std::vector<UniqueFd> sockets;
  for (int number = 0; number < count; ++number) {
    UniqueFd socket = way.connect();
    if (!socket) break;
    const std::string begin = "GET http://example.com/ HTTP/1.1\r\nHost: exam";
    (void)!::send(socket.get(), begin.data(), begin.size(), MSG_NOSIGNAL);
    sockets.push_back(std::move(socket));
  }
  say("holding " + std::to_string(sockets.size()));
  return stay();
}

// Reads until `answers` heads have come; false when the connection ended before.
bool read_answers(int socket, int answers) {
  std::string text;
  std::array<char, 65536> block;
  while (answers > 0) {
    const ssize_t size = ::recv(socket, block.data(), block.size(), 0);
    if (size <= 0) return false;
    text.append(block.data(), static_cast<std::size_t>(size));
    for (std::size_t at = text.find("HTTP/1.1 "); at != std::string::npos;
         at = text.find("HTTP/1.1 ")) {
      --answers;
      text.erase(0, at + 9);
    }
    if (text.size() > 16) text.erase(0, text.size() - 16);
  }
  return true;
}

// Asks for `count` different names, none of which is allowed.
int ask_for_names(int count) {
  constexpr int at_once = 50;
  int done = 0;
  UniqueFd socket = connect_to_proxy();
  while (done < count) {
    std::string requests;
    for (int number = 0; number < at_once; ++number) {
      const std::string name =
          "n" + std::to_string(done + number) + ".a-name-of-some-length.example";
      requests += "GET http://" + name + "/ HTTP/1.1\r\nHost: " + name + "\r\n\r\n";
    }
    const ssize_t sent = ::send(socket.get(), requests.data(), requests.size(), MSG_NOSIGNAL);
    const bool kept = sent > 0 && read_answers(socket.get(), at_once);
    done += at_once;
    if (!kept) socket = connect_to_proxy();
    if (!socket) break;
  }
  say("names " + std::to_string(done));
  return stay();
}

std::string question(int number) {
  std::string query("\0\0\x01\0\0\1\0\0\0\0\0\0", 12);
  query[0] = static_cast<char>(number >> 8);
  query[1] = static_cast<char>(number);
  const std::string label = "n" + std::to_string(number);
  query += static_cast<char>(label.size());
  query += label;
  // Every other name is one that a rule allows, and gets an address of its own.
  if (number % 2 == 0) query += "\4wild";
  query += std::string("\7example\0\0\1\0\1", 13);
  return query;
}

// The same over DNS, where the sandbox answers it: "questions none" where it does not.
int ask_by_dns(int count) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const sockaddr_in server = Settings({"server=127.0.0.53:53"}).v4("server");
  if (!socket || ::connect(socket.get(), generic(server), sizeof server) != 0) {
    say("questions none");
    return stay();
  }
  std::array<char, 512> block;
  int done = 0;
  int answered = 0;
  for (; done < count; ++done) {
    const std::string text = question(done);
    if (::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) break;
    if (!wait_for(socket.get(), POLLIN)) break;
    if (::recv(socket.get(), block.data(), block.size(), 0) < 0) break;
    ++answered;
  }
  say(answered == 0 ? "questions none" : "questions " + std::to_string(answered));
  return stay();
}

// As much of `text` as TCP has of it, whole messages of DNS taken off its front.
int take_answers(std::string& text) {
  int answers = 0;
  while (text.size() > 2) {
    const std::size_t size =
        static_cast<unsigned char>(text[0]) * 256U + static_cast<unsigned char>(text[1]) + 2;
    if (text.size() < size) break;
    text.erase(0, size);
    ++answers;
  }
  return answers;
}

// The same over TCP, many to a connection.
int ask_by_dns_over_tcp(int count) {
  constexpr int at_once = 50;
  const sockaddr_in server = Settings({"server=127.0.0.53:53"}).v4("server");
  UniqueFd socket;
  int answered = 0;
  int failures = 0;
  while (answered < count && failures < 3) {
    if (!socket) {
      socket = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (::connect(socket.get(), generic(server), sizeof server) != 0) break;
    }
    std::string questions;
    for (int number = 0; number < at_once; ++number) {
      const std::string one = question(answered + number);
      questions += static_cast<char>(one.size() >> 8);
      questions += static_cast<char>(one.size());
      questions += one;
    }
    (void)!::send(socket.get(), questions.data(), questions.size(), MSG_NOSIGNAL);
    std::string text;
    int now = 0;
    std::array<char, 65536> block;
    while (now < at_once) {
      const ssize_t size = ::recv(socket.get(), block.data(), block.size(), 0);
      if (size <= 0) break;
      text.append(block.data(), static_cast<std::size_t>(size));
      now += take_answers(text);
    }
    answered += now;
    failures = now == 0 ? failures + 1 : 0;
    if (now < at_once) socket.reset();
  }
  say("tcp-questions " + std::to_string(answered));
  return stay();
}

}  // namespace

int flood(const std::string& kind, int count) {
  if (kind == "connections") return flood_with_connections(count, by_proxy);
  if (kind == "captured") return flood_with_connections(count, captured);
  if (kind == "half-open") return hold_half_open(count, by_proxy);
  if (kind == "captured-half-open") return hold_half_open(count, captured);
  if (kind == "tcp-questions") return ask_by_dns_over_tcp(count);
  if (kind == "names") return ask_for_names(count);
  if (kind == "questions") return ask_by_dns(count);
  return 2;
}

// Leaves an orphan, and tries to reach the canaries again and again until it is killed.
int linger(const Settings& where) {
  if (::fork() == 0) {
    ::setsid();
    if (::fork() == 0) return be_orphan(where);
    ::_exit(0);
  }
  ::alarm(60);
  const std::string message = "linger " + where.text("token");
  const sockaddr_in tcp = where.v4("tcp4");
  const sockaddr_in udp = where.v4("udp4");
  say("lingering");
  for (;;) {
    const UniqueFd stream(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    connect_and_tell(stream, tcp, message);
    const UniqueFd datagram(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    connect_and_tell(datagram, udp, message);
    if (const std::string text = read_file(where.text("outside") + "/secret"); !text.empty()) {
      say("READ " + text);
    }
    ::poll(nullptr, 0, 1);
  }
}

}  // namespace escape
