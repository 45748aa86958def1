// The name server of the benchmarks, over UDP: oN.anything is 127.77.0.N, every other name
// 127.77.0.1, for an hour; no other type has records. Usage: bench_names ADDRESS:PORT

#include <array>
#include <string_view>

#include "bench/sockets.hpp"

namespace {

using namespace nono::bench;

constexpr std::size_t header_bytes = 12;

// Where the question ends, or 0 where there is no single whole one.
std::size_t question_end(std::string_view query) {
  if (query.size() < header_bytes + 5 || query[4] != 0 || query[5] != 1) return 0;
  std::size_t at = header_bytes;
  while (at < query.size() && query[at] != 0) {
    at += static_cast<unsigned char>(query[at]) + std::size_t{1};
  }
  return at + 5 <= query.size() ? at + 5 : 0;
}

char last_octet(std::string_view query) {
  const auto size = static_cast<unsigned char>(query[header_bytes]);
  const std::string label(query.substr(header_bytes + 1, size));
  if (label.size() < 2 || (label[0] | 0x20) != 'o') return 1;
  const int number = std::atoi(label.c_str() + 1);
  return static_cast<char>(number > 0 && number < 256 ? number : 1);
}

std::string reply(std::string_view query) {
  const std::size_t end = question_end(query);
  if (end == 0) return {};
  std::string text(query.substr(0, end));
  const bool is_a = text[end - 4] == 0 && text[end - 3] == 1;
  text[2] = static_cast<char>(0x84 | (text[2] & 1));  // an authoritative answer
  text[3] = static_cast<char>(0x80);
  text.replace(6, 6, is_a ? std::string("\0\1\0\0\0\0", 6) : std::string(6, '\0'));
  if (is_a) {
    text += std::string("\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\x7f\x4d\0", 15);
    text += last_octet(query);
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: bench_names ADDRESS:PORT\n", stderr);
    return 2;
  }
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = parse_endpoint(argv[1]);
  const int bytes = 4 << 20;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  if (::bind(fd, generic(address), sizeof address) != 0) die("bind");
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    std::array<char, 4096> buffer;
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t got = ::recvfrom(fd, buffer.data(), buffer.size(), 0,
                                   static_cast<sockaddr*>(static_cast<void*>(&from)), &size);
    if (got <= 0) continue;
    const std::string text = reply(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    if (!text.empty()) ::sendto(fd, text.data(), text.size(), 0, generic(from), size);
  }
}
