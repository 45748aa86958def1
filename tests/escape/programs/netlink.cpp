// The kernel's own configuration sockets.

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

UniqueFd netlink(int protocol) {
  return UniqueFd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
}

// Those beside routing's, which lists interfaces and is harmless without a right.
Outcome every_protocol(const Attempt& /*attempt*/) {
  std::string made;
  for (int protocol = 1; protocol < MAX_LINKS; ++protocol) {
    if (netlink(protocol)) made += " " + std::to_string(protocol);
  }
  return made.empty() ? Outcome{false, "none but routing"} : reached("protocols" + made);
}

struct DiagRequest {
  nlmsghdr header;
  inet_diag_req_v2 body;
};

// Lists the machine's listening sockets, and looks for the canary among them.
Outcome lists_sockets(const Attempt& attempt) {
  const UniqueFd socket = netlink(NETLINK_SOCK_DIAG);
  if (!socket) return blocked("socket");
  DiagRequest request = {};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = AF_INET;
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = 1U << TCP_LISTEN;
  if (::send(socket.get(), &request, sizeof request, 0) < 0) return blocked("send");
  const in_port_t wanted = attempt.where.v4("tcp4").sin_port;
  std::array<char, 65536> block;
  while (wait_for(socket.get(), POLLIN)) {
    ssize_t left = ::recv(socket.get(), block.data(), block.size(), MSG_DONTWAIT);
    if (left <= 0) return blocked("receive");
    const char* at = block.data();
    while (left >= static_cast<ssize_t>(sizeof(nlmsghdr))) {
      nlmsghdr header;
      std::memcpy(&header, at, sizeof header);
      if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) {
        return {false, "the canary is not in the list"};
      }
      inet_diag_msg message;
      std::memcpy(&message, at + NLMSG_HDRLEN, sizeof message);
      if (message.id.idiag_sport == wanted) return reached("the canary is in the list");
      at += NLMSG_ALIGN(header.nlmsg_len);
      left -= NLMSG_ALIGN(header.nlmsg_len);
    }
  }
  return {false, "no answer"};
}

struct AddressRequest {
  nlmsghdr header;
  ifaddrmsg body;
  rtattr attribute;
  in_addr address;
};

// A loopback address more for this machine.
Outcome adds_address(const Attempt& attempt) {
  const UniqueFd socket = netlink(NETLINK_ROUTE);
  if (!socket) return blocked("socket");
  AddressRequest request = {};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_NEWADDR;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
  request.body.ifa_family = AF_INET;
  request.body.ifa_prefixlen = 32;
  request.body.ifa_scope = RT_SCOPE_HOST;
  request.body.ifa_index = ::if_nametoindex("lo");
  request.attribute.rta_type = IFA_LOCAL;
  request.attribute.rta_len = RTA_LENGTH(sizeof request.address);
  ::inet_pton(AF_INET, attempt.where.text("spare-address").c_str(), &request.address);
  if (::send(socket.get(), &request, sizeof request, 0) < 0) return blocked("send");
  struct {
    nlmsghdr header;
    nlmsgerr error;
  } answer = {};
  if (::recv(socket.get(), &answer, sizeof answer, 0) < 0) return blocked("receive");
  errno = -answer.error.error;
  return errno == 0 ? reached("added") : blocked("RTM_NEWADDR");
}

}  // namespace

Family netlink_family() {
  return {
      {"netlink-protocols", Proof::word, every_protocol},
      {"netlink-lists-sockets", Proof::word, lists_sockets, "socket diagnosis"},
      {"netlink-adds-address", Proof::state, adds_address, "the right to administer the network"},
  };
}

}  // namespace escape
