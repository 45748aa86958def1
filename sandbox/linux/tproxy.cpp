#include "sandbox/linux/tproxy.hpp"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>

#include "sandbox/linux/nftables.hpp"

namespace nono::sandbox {
namespace {

constexpr std::string_view table = "nono";
constexpr std::string_view chain = "prerouting";

// Where the listeners are. Of addresses that are nobody's (RFC 5737, RFC 3849), and with a port
// that the command may not bind: so they take none of loopback's ports away from it.
constexpr std::string_view listener_v4 = "192.0.2.1";
constexpr std::string_view listener_v6 = "2001:db8::1";
constexpr std::uint16_t listener_port = 1;
// What is connected to in order to see that it works: any other place.
constexpr std::string_view elsewhere_v4 = "192.0.2.2";
constexpr std::string_view elsewhere_v6 = "2001:db8::2";
constexpr std::uint16_t elsewhere_port = 4711;
constexpr int patience_ms = 1000;

class Place {
 public:
  Place(int family, std::string_view address, std::uint16_t port) {
    std::memset(&storage_, 0, sizeof storage_);
    storage_.ss_family = static_cast<sa_family_t>(family);
    void* into = family == AF_INET ? static_cast<void*>(&v4().sin_addr) : &v6().sin6_addr;
    ::inet_pton(family, std::string(address).c_str(), into);
    (family == AF_INET ? v4().sin_port : v6().sin6_port) = htons(port);
  }
  const sockaddr* generic() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const {
    return storage_.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  }
  std::span<const std::byte> address() {
    if (storage_.ss_family == AF_INET) return std::as_bytes(std::span(&v4().sin_addr, 1));
    return std::as_bytes(std::span(&v6().sin6_addr, 1));
  }

 private:
  sockaddr_in& v4() { return reinterpret_cast<sockaddr_in&>(storage_); }
  sockaddr_in6& v6() { return reinterpret_cast<sockaddr_in6&>(storage_); }
  sockaddr_storage storage_;
};

struct Family {
  int domain;
  std::uint8_t netfilter;  // its number there
  std::string_view listener, elsewhere;
  std::uint32_t destination_offset;  // in the packet's header
};
constexpr Family ipv4{AF_INET, NFPROTO_IPV4, listener_v4, elsewhere_v4, 16};
constexpr Family ipv6{AF_INET6, NFPROTO_IPV6, listener_v6, elsewhere_v6, 24};

UniqueFd transparent_listener(const Family& family) {
  UniqueFd socket(::socket(family.domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  const bool v4 = family.domain == AF_INET;
  const int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
  const int option = v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT;
  const Place place(family.domain, family.listener, listener_port);
  const bool made = socket && ::setsockopt(socket.get(), level, option, &on, sizeof on) == 0 &&
                    ::bind(socket.get(), place.generic(), place.size()) == 0 &&
                    ::listen(socket.get(), SOMAXCONN) == 0;
  return made ? std::move(socket) : UniqueFd();
}

template <std::size_t N>
std::span<const std::byte> raw(const std::array<std::uint8_t, N>& bytes) {
  return std::as_bytes(std::span(bytes));
}

void spare_loopback(RuleWriter& rule, const Family& family) {
  if (family.domain == AF_INET) {
    rule.load_packet(RuleWriter::Header::network, family.destination_offset, 1);
    rule.only_if_not(raw<1>({127}));
    return;
  }
  rule.load_packet(RuleWriter::Header::network, family.destination_offset, 16);
  rule.only_if_not(raw<16>({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}));
}

// Only the packet that opens a connection is looked at further: those that follow find their socket
// by themselves, since every address is local here.
void write_rule(RuleWriter& rule, const Family& family, bool spare_dns) {
  constexpr std::uint32_t flags_offset = 13;
  constexpr std::uint8_t syn = TH_SYN;
  constexpr std::uint8_t watched = TH_SYN | TH_ACK | TH_RST | TH_FIN;
  rule.load_meta(NFT_META_L4PROTO);
  rule.only_if(raw<1>({IPPROTO_TCP}));
  rule.load_packet(RuleWriter::Header::transport, flags_offset, 1);
  rule.mask(raw<1>({watched}));
  rule.only_if(raw<1>({syn}));
  rule.load_meta(NFT_META_NFPROTO);
  rule.only_if(raw<1>({family.netfilter}));
  spare_loopback(rule, family);
  if (spare_dns) {
    rule.load_packet(RuleWriter::Header::transport, 2, 2);
    rule.only_if_not(raw<2>({0, 53}));
  }
  Place listener(family.domain, family.listener, listener_port);
  rule.tproxy(family.netfilter, listener.address(), listener_port);
}

// IPv6 is switched off: there is nothing to redirect.
bool nowhere(int error) {
  return error == ENETUNREACH || error == EADDRNOTAVAIL || error == EHOSTUNREACH;
}

// Connects to a port and address of nobody's and looks whether it arrives as that.
int try_out(const Family& family, int listener) {
  const Place place(family.domain, family.elsewhere, elsewhere_port);
  UniqueFd client(::socket(family.domain, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience = {patience_ms / 1000, 0};
  ::setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (!client || ::connect(client.get(), place.generic(), place.size()) != 0) return errno;
  pollfd arrival = {listener, POLLIN, 0};
  if (::poll(&arrival, 1, patience_ms) != 1) return ETIMEDOUT;
  UniqueFd accepted(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!accepted) return errno;
  sockaddr_storage own = {};
  socklen_t size = sizeof own;
  if (::getsockname(accepted.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0) return errno;
  return size == place.size() && std::memcmp(&own, place.generic(), size) == 0 ? 0 : EPROTO;
}

}  // namespace

tl::expected<std::vector<UniqueFd>, Failure> redirect_every_port(bool spare_dns, bool known) {
  std::vector<UniqueFd> listeners;
  std::vector<Family> families;
  for (const Family& family : {ipv4, ipv6}) {
    UniqueFd listener = transparent_listener(family);
    if (!listener && family.domain == AF_INET) return failed(Step::capture, errno, "listener");
    if (!listener) continue;  // a kernel without IPv6: such an address cannot be reached anyway
    listeners.push_back(std::move(listener));
    families.push_back(family);
  }
  NftBatch batch(table);
  batch.add_table();
  batch.add_chain(chain);
  for (const Family& family : families) {
    batch.add_rule(chain, [&](RuleWriter& rule) { write_rule(rule, family, spare_dns); });
  }
  if (int error = batch.commit()) return failed(Step::capture, error, "nf_tables");
  for (std::size_t i = 0; i < families.size() && !known; ++i) {
    const int error = try_out(families[i], listeners[i].get());
    if (error == 0 || (families[i].domain == AF_INET6 && nowhere(error))) continue;
    NftBatch undo(table);
    undo.delete_table();
    undo.commit();
    return failed(Step::capture, error, "a connection was not redirected");
  }
  return listeners;
}

}  // namespace nono::sandbox
