#include "sandbox/linux/nftables.hpp"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "config/base/fd.hpp"

namespace nono::sandbox {
namespace {

constexpr std::size_t attribute_header_size = 4;
constexpr int before_routing_priority = -150;  // where "mangle" is
constexpr std::uint32_t first_register = NFT_REG_1;
constexpr std::uint32_t second_register = NFT_REG_2;

void append(std::vector<std::byte>& out, const void* from, std::size_t size) {
  const auto* bytes = static_cast<const std::byte*>(from);
  out.insert(out.end(), bytes, bytes + size);
}

void pad(std::vector<std::byte>& out) {
  while (out.size() % NLMSG_ALIGNTO != 0) out.push_back(std::byte{0});
}

}  // namespace

void AttributeWriter::bytes(std::uint16_t type, std::span<const std::byte> value) {
  const std::uint16_t header[] = {static_cast<std::uint16_t>(attribute_header_size + value.size()),
                                  type};
  append(out_, header, sizeof header);
  append(out_, value.data(), value.size());
  pad(out_);
}

void AttributeWriter::text(std::uint16_t type, std::string_view value) {
  std::vector<std::byte> terminated;
  append(terminated, value.data(), value.size());
  terminated.push_back(std::byte{0});
  bytes(type, terminated);
}

void AttributeWriter::number(std::uint16_t type, std::uint32_t value) {
  const std::uint32_t wire = htonl(value);
  bytes(type, std::as_bytes(std::span(&wire, 1)));
}

std::size_t AttributeWriter::begin(std::uint16_t type) {
  const std::size_t place = out_.size();
  bytes(static_cast<std::uint16_t>(type | NLA_F_NESTED), {});
  return place;
}

void AttributeWriter::end(std::size_t place) {
  const auto size = static_cast<std::uint16_t>(out_.size() - place);
  std::memcpy(out_.data() + place, &size, sizeof size);
}

RuleWriter::RuleWriter(std::vector<std::byte>& out, std::string_view table, std::string_view chain)
    : attributes_(out), list_(0) {
  attributes_.text(NFTA_RULE_TABLE, table);
  attributes_.text(NFTA_RULE_CHAIN, chain);
  list_ = attributes_.begin(NFTA_RULE_EXPRESSIONS);
}

void RuleWriter::finish() {
  attributes_.end(list_);
}

std::size_t RuleWriter::begin(std::string_view name) {
  element_ = attributes_.begin(NFTA_LIST_ELEM);
  attributes_.text(NFTA_EXPR_NAME, name);
  return attributes_.begin(NFTA_EXPR_DATA);
}

void RuleWriter::end(std::size_t data) {
  attributes_.end(data);
  attributes_.end(element_);
}

void RuleWriter::load_meta(std::uint32_t key) {
  const std::size_t data = begin("meta");
  attributes_.number(NFTA_META_DREG, first_register);
  attributes_.number(NFTA_META_KEY, key);
  end(data);
}

void RuleWriter::load_packet(Header header, std::uint32_t offset, std::uint32_t size) {
  const std::size_t data = begin("payload");
  attributes_.number(NFTA_PAYLOAD_DREG, first_register);
  attributes_.number(NFTA_PAYLOAD_BASE, static_cast<std::uint32_t>(header));
  attributes_.number(NFTA_PAYLOAD_OFFSET, offset);
  attributes_.number(NFTA_PAYLOAD_LEN, size);
  end(data);
}

void RuleWriter::mask(std::span<const std::byte> mask) {
  const std::vector<std::byte> nothing(mask.size());
  const std::size_t data = begin("bitwise");
  attributes_.number(NFTA_BITWISE_SREG, first_register);
  attributes_.number(NFTA_BITWISE_DREG, first_register);
  attributes_.number(NFTA_BITWISE_LEN, static_cast<std::uint32_t>(mask.size()));
  std::size_t value = attributes_.begin(NFTA_BITWISE_MASK);
  attributes_.bytes(NFTA_DATA_VALUE, mask);
  attributes_.end(value);
  value = attributes_.begin(NFTA_BITWISE_XOR);
  attributes_.bytes(NFTA_DATA_VALUE, nothing);
  attributes_.end(value);
  end(data);
}

void RuleWriter::compare(std::uint32_t operation, std::span<const std::byte> value) {
  const std::size_t data = begin("cmp");
  attributes_.number(NFTA_CMP_SREG, first_register);
  attributes_.number(NFTA_CMP_OP, operation);
  const std::size_t compared = attributes_.begin(NFTA_CMP_DATA);
  attributes_.bytes(NFTA_DATA_VALUE, value);
  attributes_.end(compared);
  end(data);
}

void RuleWriter::only_if(std::span<const std::byte> value) {
  compare(NFT_CMP_EQ, value);
}

void RuleWriter::only_if_not(std::span<const std::byte> value) {
  compare(NFT_CMP_NEQ, value);
}

void RuleWriter::load(std::uint32_t to_register, std::span<const std::byte> value) {
  const std::size_t data = begin("immediate");
  attributes_.number(NFTA_IMMEDIATE_DREG, to_register);
  const std::size_t loaded = attributes_.begin(NFTA_IMMEDIATE_DATA);
  attributes_.bytes(NFTA_DATA_VALUE, value);
  attributes_.end(loaded);
  end(data);
}

void RuleWriter::tproxy(std::uint32_t family, std::span<const std::byte> address,
                        std::uint16_t port) {
  const std::uint16_t wire_port = htons(port);
  load(first_register, address);
  load(second_register, std::as_bytes(std::span(&wire_port, 1)));
  const std::size_t data = begin("tproxy");
  attributes_.number(NFTA_TPROXY_FAMILY, family);
  attributes_.number(NFTA_TPROXY_REG_ADDR, first_register);
  attributes_.number(NFTA_TPROXY_REG_PORT, second_register);
  end(data);
}

NftBatch::NftBatch(std::string_view table) : table_(table) {
  end(begin(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

std::size_t NftBatch::begin(std::uint16_t type, std::uint16_t flags, std::uint8_t family,
                            std::uint16_t resource) {
  const std::size_t place = message_.size();
  nlmsghdr header = {};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  header.nlmsg_seq = sequence_++;
  nfgenmsg generic = {};
  generic.nfgen_family = family;
  generic.version = NFNETLINK_V0;
  generic.res_id = htons(resource);
  append(message_, &header, sizeof header);
  append(message_, &generic, sizeof generic);
  if ((flags & NLM_F_ACK) != 0) ++acknowledged_;
  return place;
}

void NftBatch::end(std::size_t place) {
  const auto size = static_cast<std::uint32_t>(message_.size() - place);
  std::memcpy(message_.data() + place, &size, sizeof size);
}

void NftBatch::add_table() {
  const std::size_t place = begin(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE,
                                  NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, NFPROTO_INET, 0);
  AttributeWriter(message_).text(NFTA_TABLE_NAME, table_);
  end(place);
}

void NftBatch::delete_table() {
  const std::size_t place =
      begin(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE, NLM_F_ACK, NFPROTO_INET, 0);
  AttributeWriter(message_).text(NFTA_TABLE_NAME, table_);
  end(place);
}

void NftBatch::add_chain(std::string_view chain) {
  const std::size_t place = begin(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN,
                                  NLM_F_ACK | NLM_F_CREATE, NFPROTO_INET, 0);
  AttributeWriter attributes(message_);
  attributes.text(NFTA_CHAIN_TABLE, table_);
  attributes.text(NFTA_CHAIN_NAME, chain);
  const std::size_t hook = attributes.begin(NFTA_CHAIN_HOOK);
  attributes.number(NFTA_HOOK_HOOKNUM, NF_INET_PRE_ROUTING);
  attributes.number(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(before_routing_priority));
  attributes.end(hook);
  attributes.text(NFTA_CHAIN_TYPE, "filter");
  end(place);
}

std::size_t NftBatch::begin_rule() {
  return begin(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE, NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND,
               NFPROTO_INET, 0);
}

int NftBatch::commit() {
  end(begin(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!socket) return errno;
  if (::send(socket.get(), message_.data(), message_.size(), 0) !=
      static_cast<ssize_t>(message_.size())) {
    return errno;
  }
  // The answers are there when send() returns: netlink works in the sender's own time.
  int missing = acknowledged_;
  alignas(nlmsghdr) std::array<std::byte, 8192> reply;
  while (missing > 0) {
    const ssize_t size = ::recv(socket.get(), reply.data(), reply.size(), MSG_DONTWAIT);
    if (size < 0) return errno == EAGAIN ? EPROTO : errno;
    std::size_t at = 0;
    const auto received = static_cast<std::size_t>(size);
    while (received - at >= NLMSG_LENGTH(sizeof(nlmsgerr))) {
      nlmsghdr header;
      std::memcpy(&header, reply.data() + at, sizeof header);
      nlmsgerr result;
      std::memcpy(&result, reply.data() + at + NLMSG_HDRLEN, sizeof result);
      if (header.nlmsg_type != NLMSG_ERROR) return EPROTO;
      if (result.error != 0) return -result.error;
      --missing;
      const std::size_t step = NLMSG_ALIGN(header.nlmsg_len);
      if (step < NLMSG_LENGTH(sizeof(nlmsgerr)) || step >= received - at) break;
      at += step;
    }
  }
  return 0;
}

}  // namespace nono::sandbox
