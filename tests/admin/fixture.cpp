#include "tests/admin/fixture.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cstring>

namespace nono::test {

namespace {

void limit_time(int fd) {
  const timeval limit{10, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  out.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return out;
}

}  // namespace

RawClient::RawClient(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  limit_time(fd_.get());
  const sockaddr_in to = loopback(port);
  connected_ = ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
}

RawClient::RawClient(const std::string& unix_path)
    : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  limit_time(fd_.get());
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, unix_path.data(), std::min(unix_path.size(), sizeof to.sun_path - 1));
  connected_ = ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
}

bool RawClient::send(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

std::string RawClient::receive_all() {
  std::string out;
  char block[16384];
  for (;;) {
    const ssize_t count = ::recv(fd_.get(), block, sizeof block, 0);
    if (count <= 0) return out;
    out.append(block, static_cast<std::size_t>(count));
  }
}

std::string RawClient::receive_one() {
  std::string out;
  char byte = 0;
  while (!out.ends_with("\r\n\r\n") && ::recv(fd_.get(), &byte, 1, 0) == 1) out += byte;
  const std::size_t at = out.find("Content-Length: ");
  std::size_t left = at == std::string::npos ? 0 : std::stoul(out.substr(at + 16));
  while (left > 0 && ::recv(fd_.get(), &byte, 1, 0) == 1) {
    out += byte;
    --left;
  }
  return out;
}

std::string RawClient::ask(std::string_view text) {
  send(text);
  ::shutdown(fd_.get(), SHUT_WR);
  return receive_all();
}

bool RawClient::closed_by_peer() {
  char byte = 0;
  return ::recv(fd_.get(), &byte, 1, 0) <= 0 && errno != EAGAIN;
}

int status_of(const std::string& response) {
  return response.starts_with("HTTP/1.1 ") ? std::stoi(response.substr(9)) : 0;
}

std::string body_of(const std::string& response) {
  const std::size_t at = response.find("\r\n\r\n");
  return at == std::string::npos ? "" : response.substr(at + 4);
}

TcpService::TcpService(admin::HttpService::Handler handler, admin::ServiceOptions options) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in at = loopback(0);
  socklen_t size = sizeof at;
  ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at);
  ::listen(listener.get(), 128);
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&at), &size);
  port_ = ntohs(at.sin_port);
  thread_.serve(std::move(listener), std::move(handler), std::move(options));
  thread_.start();
}

std::string TcpService::get(const std::string& target) const {
  return connect().ask("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

}  // namespace nono::test
