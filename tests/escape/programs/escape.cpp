#include "tests/escape/programs/escape.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace escape {
namespace {

std::pair<std::string, in_port_t> split(const std::string& place) {
  const std::size_t colon = place.rfind(':');
  std::string host = place.substr(0, colon);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  return {host, htons(static_cast<in_port_t>(std::stoi(place.substr(colon + 1))))};
}

}  // namespace

Settings::Settings(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    const std::size_t equal = word.find('=');
    if (equal != std::string::npos) words_[word.substr(0, equal)] = word.substr(equal + 1);
  }
}

const std::string& Settings::text(const std::string& key) const {
  const auto found = words_.find(key);
  if (found == words_.end()) throw std::runtime_error("no word " + key + "=");
  return found->second;
}

int Settings::number(const std::string& key) const {
  return std::stoi(text(key));
}

sockaddr_in Settings::v4(const std::string& key) const {
  const auto [host, port] = split(text(key));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = port;
  ::inet_pton(AF_INET, host.c_str(), &address.sin_addr);
  return address;
}

sockaddr_in6 Settings::v6(const std::string& key) const {
  const auto [host, port] = split(text(key));
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  address.sin6_port = port;
  ::inet_pton(AF_INET6, host.c_str(), &address.sin6_addr);
  return address;
}

sockaddr_in6 Settings::mapped(const std::string& key) const {
  const auto [host, port] = split(text(key));
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  address.sin6_port = port;
  ::inet_pton(AF_INET6, ("::ffff:" + host).c_str(), &address.sin6_addr);
  return address;
}

Outcome blocked(const std::string& step) {
  return {false, step + ": " + std::strerror(errno)};
}

Outcome reached(std::string what) {
  return {true, std::move(what)};
}

Outcome tell(int socket, const std::string& message) {
  if (::send(socket, message.data(), message.size(), MSG_NOSIGNAL) < 0) return blocked("send");
  return reached("sent");
}

Outcome connect_and_tell(const UniqueFd& socket, const sockaddr* address, socklen_t size,
                         const std::string& message) {
  if (!socket) return blocked("socket");
  if (::connect(socket.get(), address, size) != 0) return blocked("connect");
  return tell(socket.get(), message);
}

std::string read_some(int fd) {
  std::array<char, 4096> block;
  const ssize_t size = ::read(fd, block.data(), block.size());
  return size <= 0 ? std::string() : std::string(block.data(), static_cast<std::size_t>(size));
}

std::string read_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  return file ? read_some(file.get()) : std::string();
}

bool write_file(const std::string& path, const std::string& text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

bool wait_for(int fd, short events) {
  pollfd poll = {fd, events, 0};
  constexpr int one_second_ms = 1000;
  return ::poll(&poll, 1, one_second_ms) == 1;
}

}  // namespace escape
