#include "sandbox/linux/rtnetlink.hpp"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "config/base/fd.hpp"

namespace nono::sandbox {
namespace {

constexpr std::uint32_t loopback_index = 1;  // the first device of every network namespace

struct LinkRequest {
  nlmsghdr header;
  ifinfomsg link;
};

struct RouteRequest {
  nlmsghdr header;
  rtmsg route;
  rtattr attribute;
  std::uint32_t device;
};

LinkRequest link_up() {
  LinkRequest request = {};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_NEWLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request.link.ifi_family = AF_UNSPEC;
  request.link.ifi_index = loopback_index;
  request.link.ifi_flags = IFF_UP;
  request.link.ifi_change = IFF_UP;
  return request;
}

RouteRequest everything_is_local(unsigned char family) {
  RouteRequest request = {};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_NEWROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
  request.route.rtm_family = family;
  request.route.rtm_table = RT_TABLE_LOCAL;
  request.route.rtm_protocol = RTPROT_STATIC;
  request.route.rtm_scope = family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
  request.route.rtm_type = RTN_LOCAL;
  request.attribute.rta_len = RTA_LENGTH(sizeof(std::uint32_t));
  request.attribute.rta_type = RTA_OIF;
  request.device = loopback_index;
  return request;
}

// Sends one request and reads its acknowledgement; returns an errno, 0 for success.
template <class Request>
int perform(int socket, const Request& request) {
  if (::send(socket, &request, sizeof request, 0) != static_cast<ssize_t>(sizeof request)) {
    return errno;
  }
  alignas(nlmsghdr) std::array<char, 4096> reply;
  ssize_t size = ::recv(socket, reply.data(), reply.size(), 0);
  if (size < 0) return errno;
  if (static_cast<std::size_t>(size) < NLMSG_LENGTH(sizeof(nlmsgerr))) return EPROTO;
  nlmsghdr header;
  std::memcpy(&header, reply.data(), sizeof header);
  if (header.nlmsg_type != NLMSG_ERROR) return EPROTO;
  nlmsgerr result;
  std::memcpy(&result, reply.data() + NLMSG_HDRLEN, sizeof result);
  return -result.error;
}

}  // namespace

Done set_up_loopback() {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) return failed(Step::loopback, errno, "netlink");
  if (int error = perform(socket.get(), link_up())) return failed(Step::loopback, error, "lo up");
  if (int error = perform(socket.get(), everything_is_local(AF_INET))) {
    return failed(Step::loopback, error, "IPv4 route");
  }
  // A missing IPv6 only means that connecting to such an address says "unreachable".
  perform(socket.get(), everything_is_local(AF_INET6));
  return {};
}

}  // namespace nono::sandbox
