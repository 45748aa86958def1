// Sockets of other families and protocols than TCP and UDP proper. That one can be made is the
// escape: what it reaches differs between machines, and nothing is sent beyond this one.

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/ip6.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "tests/escape/programs/escape.hpp"

namespace escape {
namespace {

constexpr int protocol_smc = 256;  // under AF_INET, Linux 6.11
constexpr int protocol_sctp = 132;
constexpr int protocol_dccp = 33;
constexpr int type_dccp = 6;

Outcome made(int family, int type, int protocol) {
  const UniqueFd socket(::socket(family, type | SOCK_CLOEXEC, protocol));
  return socket ? reached("made") : blocked("socket");
}

Outcome sctp(const Attempt& /*attempt*/) {
  return made(AF_INET, SOCK_STREAM, protocol_sctp);
}
Outcome dccp(const Attempt& /*attempt*/) {
  return made(AF_INET, type_dccp, protocol_dccp);
}
Outcome smc(const Attempt& /*attempt*/) {
  return made(AF_SMC, SOCK_STREAM, 0);
}
Outcome smc_as_protocol(const Attempt& /*attempt*/) {
  return made(AF_INET, SOCK_STREAM, protocol_smc);
}
Outcome rds(const Attempt& /*attempt*/) {
  return made(AF_RDS, SOCK_SEQPACKET, 0);
}
Outcome tipc(const Attempt& /*attempt*/) {
  return made(AF_TIPC, SOCK_RDM, 0);
}
Outcome crypto(const Attempt& /*attempt*/) {
  return made(AF_ALG, SOCK_SEQPACKET, 0);
}
Outcome bluetooth(const Attempt& /*attempt*/) {
  return made(AF_BLUETOOTH, SOCK_RAW, 1);
}
Outcome express_data_path(const Attempt& /*attempt*/) {
  return made(AF_XDP, SOCK_RAW, 0);
}

// A listener that the machine's hypervisor, and others beside it, could come in by.
Outcome vsock_listens(const Attempt& /*attempt*/) {
  const UniqueFd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return blocked("socket");
  sockaddr_vm address = {};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_ANY;
  address.svm_port = VMADDR_PORT_ANY;
  if (::bind(socket.get(), generic(address), sizeof address) != 0) return blocked("bind");
  if (::listen(socket.get(), 1) != 0) return blocked("listen");
  return reached("listens");
}

// The canary within this machine; never the host's.
Outcome vsock_connects(const Attempt& attempt) {
  errno = ENODEV;
  if (attempt.where.number("vsock") == 0) return blocked("canary");
  sockaddr_vm address = {};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_LOCAL;
  address.svm_port = static_cast<unsigned>(attempt.where.number("vsock"));
  const UniqueFd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return connect_and_tell(socket, address, attempt.message);
}

// A UDP datagram with its header; without a checksum, which IPv4 permits.
std::string udp_datagram(in_port_t port, const std::string& message) {
  const std::array<std::uint16_t, 4> header = {
      htons(9), port, htons(static_cast<std::uint16_t>(8 + message.size())), 0};
  std::string bytes(sizeof header, '\0');
  std::memcpy(bytes.data(), header.data(), sizeof header);
  return bytes + message;
}

// The checksum of the Internet protocols over the 16-bit words of `bytes`.
std::uint16_t checksum(std::string bytes) {
  if (bytes.size() % 2 != 0) bytes += '\0';
  std::uint32_t sum = 0;
  for (std::size_t at = 0; at < bytes.size(); at += 2) {
    std::uint16_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    sum += word;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

Outcome raw(const Attempt& attempt) {
  const UniqueFd socket(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP));
  if (!socket) return blocked("socket");
  const sockaddr_in address = attempt.where.v4("udp4");
  const std::string bytes = udp_datagram(address.sin_port, attempt.message);
  if (::sendto(socket.get(), bytes.data(), bytes.size(), 0, generic(address), sizeof address) < 0) {
    return blocked("sendto");
  }
  return reached("sent");
}

// An IPv6 packet as such, put onto the loopback device. (IPv4's loopback addresses are not taken
// from a device.)
Outcome packet(const Attempt& attempt) {
  const UniqueFd socket(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IPV6)));
  if (!socket) return blocked("socket");
  const sockaddr_in6 to = attempt.where.v6("udp6");
  std::string body = udp_datagram(to.sin6_port, attempt.message);
  ip6_hdr header = {};
  header.ip6_flow = htonl(6U << 28);
  header.ip6_plen = htons(static_cast<std::uint16_t>(body.size()));
  header.ip6_nxt = IPPROTO_UDP;
  header.ip6_hlim = 64;
  header.ip6_src = to.sin6_addr;
  header.ip6_dst = to.sin6_addr;
  std::string addresses(2 * sizeof(in6_addr), '\0');
  std::memcpy(addresses.data(), &header.ip6_src, addresses.size());
  const std::array<std::uint32_t, 2> pseudo = {htonl(static_cast<std::uint32_t>(body.size())),
                                               htonl(IPPROTO_UDP)};
  addresses.append(static_cast<const char*>(static_cast<const void*>(pseudo.data())),
                   sizeof pseudo);
  const std::uint16_t sum = checksum(addresses + body);
  std::memcpy(body.data() + 6, &sum, sizeof sum);
  std::string bytes(sizeof header, '\0');
  std::memcpy(bytes.data(), &header, sizeof header);
  bytes += body;
  sockaddr_ll device = {};
  device.sll_family = AF_PACKET;
  device.sll_protocol = htons(ETH_P_IPV6);
  device.sll_ifindex = static_cast<int>(::if_nametoindex("lo"));
  device.sll_halen = 6;
  if (::sendto(socket.get(), bytes.data(), bytes.size(), 0, generic(device), sizeof device) < 0) {
    return blocked("sendto");
  }
  return reached("sent");
}

Outcome ping(const Attempt& /*attempt*/) {
  return made(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
}

// What any program may have: TCP, UDP, and routing's netlink to list interfaces.
bool is_harmless(int family, int type) {
  if (family == AF_INET || family == AF_INET6) return type == SOCK_STREAM || type == SOCK_DGRAM;
  return family == AF_NETLINK;
}

Outcome every_family(const Attempt& /*attempt*/) {
  constexpr int families_max = 64;
  constexpr int types_max = 11;
  std::string made_kinds;
  for (int family = 0; family < families_max; ++family) {
    for (int type = 0; type < types_max; ++type) {
      const UniqueFd socket(::socket(family, type | SOCK_CLOEXEC, 0));
      if (!socket || is_harmless(family, type)) continue;
      made_kinds += " " + std::to_string(family) + "/" + std::to_string(type);
    }
  }
  return made_kinds.empty() ? Outcome{false, "none but TCP and UDP"}
                            : reached("family/type" + made_kinds);
}

Outcome every_internet_protocol(const Attempt& /*attempt*/) {
  constexpr int protocols_max = 512;
  std::string made_kinds;
  for (int protocol = 1; protocol < protocols_max; ++protocol) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET}) {
      const bool usual = (type == SOCK_STREAM && protocol == IPPROTO_TCP) ||
                         (type == SOCK_DGRAM && protocol == IPPROTO_UDP);
      const UniqueFd socket(::socket(AF_INET, type | SOCK_CLOEXEC, protocol));
      if (!socket || usual) continue;
      made_kinds += " " + std::to_string(type) + "/" + std::to_string(protocol);
    }
  }
  return made_kinds.empty() ? Outcome{false, "none but TCP and UDP"}
                            : reached("type/protocol" + made_kinds);
}

}  // namespace

Family socket_family() {
  constexpr const char* raw_right = "the right to raw sockets";
  return {
      {"sctp", Proof::word, sctp, "SCTP"},
      {"dccp", Proof::word, dccp, "DCCP"},
      {"smc", Proof::word, smc, "SMC"},
      {"smc-protocol", Proof::word, smc_as_protocol, "SMC"},
      {"rds", Proof::word, rds, "RDS"},
      {"tipc", Proof::word, tipc, "TIPC"},
      {"crypto", Proof::word, crypto, "AF_ALG"},
      {"bluetooth", Proof::word, bluetooth, "Bluetooth"},
      {"xdp", Proof::word, express_data_path, "AF_XDP"},
      {"vsock-listens", Proof::word, vsock_listens, "VSOCK"},
      {"vsock-connects", Proof::hit, vsock_connects, "VSOCK's loopback"},
      {"raw", Proof::hit, raw, raw_right},
      {"packet", Proof::hit, packet, raw_right},
      {"ping", Proof::word, ping, "the right to ping"},
      {"every-family", Proof::word, every_family},
      {"every-protocol", Proof::word, every_internet_protocol, "MPTCP or UDP-Lite"},
  };
}

}  // namespace escape
