#include "sandbox/linux/channel.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace nono::sandbox {

void fill_standard_descriptors() {
  int fd = -1;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd < 3);
  if (fd >= 3) ::close(fd);
}

namespace {

constexpr std::size_t detail_max = 512;

struct Wire {
  std::uint8_t kind;
  std::uint8_t step;
  std::uint16_t detail_size;
  std::int32_t error;
  std::int32_t status;
  std::array<SocketRole, fds_max> roles;
  std::array<char, detail_max> detail;
};

std::vector<UniqueFd> take_fds(msghdr& message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

std::pair<UniqueFd, UniqueFd> make_channel() {
  std::array<int, 2> ends = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return {};
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::pair<UniqueFd, UniqueFd> make_pipe(int flags) {
  std::array<int, 2> ends = {-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC | flags) != 0) return {};
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

bool send_report(int channel, const Report& report, std::span<const int> fds) {
  if (fds.size() > fds_max) return false;
  Wire wire = {};
  wire.kind = static_cast<std::uint8_t>(report.kind);
  wire.step = static_cast<std::uint8_t>(report.failure.step);
  wire.error = report.failure.error;
  wire.status = report.status;
  wire.roles = report.roles;
  wire.detail_size = static_cast<std::uint16_t>(std::min(report.failure.detail.size(), detail_max));
  std::copy_n(report.failure.detail.begin(), wire.detail_size, wire.detail.begin());

  iovec data = {&wire, sizeof wire};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(fds_max * sizeof(int))> control = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ssize_t sent = -1;
  do {
    sent = ::sendmsg(channel, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(sizeof wire);
}

std::optional<Report> receive_report(int channel, int flags) {
  Wire wire = {};
  iovec data = {&wire, sizeof wire};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(fds_max * sizeof(int))> control = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t size = -1;
  // ECONNRESET comes once, where the other side has ended and left a request of ours unread: what
  // it said before that is still there.
  do {
    size = ::recvmsg(channel, &message, MSG_CMSG_CLOEXEC | flags);
  } while (size < 0 && (errno == EINTR || errno == ECONNRESET));

  Report report;
  if (size > 0) report.fds = take_fds(message);  // owned even if the rest is refused below
  bool whole = size == static_cast<ssize_t>(sizeof wire) &&
               (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
  if (!whole || wire.kind > static_cast<std::uint8_t>(Report::Kind::exited) ||
      wire.step > static_cast<std::uint8_t>(Step::peer_gone) || wire.detail_size > detail_max) {
    if (size >= 0) errno = EPROTO;
    return std::nullopt;
  }
  report.kind = static_cast<Report::Kind>(wire.kind);
  report.failure.step = static_cast<Step>(wire.step);
  report.failure.error = wire.error;
  report.failure.detail.assign(wire.detail.data(), wire.detail_size);
  report.status = wire.status;
  report.roles = wire.roles;
  return report;
}

bool send_request(int channel, Request::Kind kind, int value) {
  const Request request{kind, value};
  return ::send(channel, &request, sizeof request, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof request;
}

Request receive_request(int channel) {
  Request request;
  ssize_t size = ::recv(channel, &request, sizeof request, MSG_DONTWAIT);
  if (size == 0) return {Request::Kind::gone, 0};
  bool whole = size == sizeof request &&
               (request.kind == Request::Kind::signal || request.kind == Request::Kind::socket);
  return whole ? request : Request{};
}

}  // namespace nono::sandbox
