#pragma once
// DNS messages for tests, written and read independently of dns/message: queries to send, answers
// to look into.

#include <arpa/inet.h>
#include <arpa/nameser.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "dns/message.hpp"

namespace nono::test {

using Message = std::vector<std::uint8_t>;

// A query with id 0x1234 and RD set; with EDNS, `payload` is the size that it names.
inline Message query_message(const std::string& name, std::uint16_t type = 1, bool edns = false,
                             std::uint16_t payload = 1232) {
  Message message{0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0};
  std::size_t start = 0;
  while (start < name.size()) {
    const std::size_t end = std::min(name.find('.', start), name.size());
    message.push_back(static_cast<std::uint8_t>(end - start));
    message.insert(message.end(), name.begin() + static_cast<std::ptrdiff_t>(start),
                   name.begin() + static_cast<std::ptrdiff_t>(end));
    start = end + 1;
  }
  message.push_back(0);
  for (unsigned value : {static_cast<unsigned>(type), 1U}) {
    message.push_back(static_cast<std::uint8_t>(value >> 8));
    message.push_back(static_cast<std::uint8_t>(value & 0xff));
  }
  if (!edns) return message;
  message[11] = 1;
  for (int byte : {0, 0, 41, payload >> 8, payload & 0xff, 0, 0, 0, 0, 0, 0}) {
    message.push_back(static_cast<std::uint8_t>(byte));
  }
  return message;
}

struct Reply {
  std::uint16_t id = 0;
  bool response = false, recursion_desired = false, recursion_available = false, truncated = false;
  int rcode = -1;                      // with the upper bits of the OPT record
  std::vector<std::string> addresses;  // A and AAAA
  std::vector<std::string> pointers;
  std::vector<std::uint32_t> ttls;  // of the answers
  bool opt = false, soa = false;
  std::string explanation;  // of an extended error
  int extended_error = -1;
};

// Read by libresolv's parser, which is not ours. Fails the test where that finds fault.
inline Reply reply_of(const Message& message) {
  ns_msg handle;
  REQUIRE(::ns_initparse(message.data(), static_cast<int>(message.size()), &handle) == 0);
  Reply reply;
  reply.id = ns_msg_id(handle);
  reply.response = ns_msg_getflag(handle, ns_f_qr) != 0;
  reply.recursion_desired = ns_msg_getflag(handle, ns_f_rd) != 0;
  reply.recursion_available = ns_msg_getflag(handle, ns_f_ra) != 0;
  reply.truncated = ns_msg_getflag(handle, ns_f_tc) != 0;
  reply.rcode = ns_msg_getflag(handle, ns_f_rcode);
  ns_rr record;
  for (int i = 0; i < ns_msg_count(handle, ns_s_an); ++i) {
    REQUIRE(::ns_parserr(&handle, ns_s_an, i, &record) == 0);
    reply.ttls.push_back(ns_rr_ttl(record));
    char text[NS_MAXDNAME] = {};
    if (ns_rr_type(record) == ns_t_ptr) {
      REQUIRE(::ns_name_uncompress(ns_msg_base(handle), ns_msg_end(handle), ns_rr_rdata(record),
                                   text, sizeof text) >= 0);
      reply.pointers.emplace_back(text);
      continue;
    }
    const int family = ns_rr_type(record) == ns_t_a ? AF_INET : AF_INET6;
    REQUIRE(ns_rr_rdlen(record) == (family == AF_INET ? 4 : 16));
    reply.addresses.emplace_back(::inet_ntop(family, ns_rr_rdata(record), text, sizeof text));
  }
  for (int i = 0; i < ns_msg_count(handle, ns_s_ns); ++i) {
    REQUIRE(::ns_parserr(&handle, ns_s_ns, i, &record) == 0);
    reply.soa = reply.soa || ns_rr_type(record) == ns_t_soa;
  }
  for (int i = 0; i < ns_msg_count(handle, ns_s_ar); ++i) {
    REQUIRE(::ns_parserr(&handle, ns_s_ar, i, &record) == 0);
    REQUIRE(ns_rr_type(record) == ns_t_opt);
    reply.opt = true;
    reply.rcode |= static_cast<int>(ns_rr_ttl(record) >> 24 << 4);
    const unsigned char* data = ns_rr_rdata(record);
    if (ns_rr_rdlen(record) < 6) continue;
    REQUIRE((data[0] << 8 | data[1]) == 15);
    reply.extended_error = data[4] << 8 | data[5];
    reply.explanation.assign(reinterpret_cast<const char*>(data) + 6, ns_rr_rdlen(record) - 6U);
  }
  return reply;
}

// What AnswerWriter makes of this query and these addresses.
inline Message answer(const Message& message, dns::Rcode rcode,
                      const std::vector<std::string>& addresses = {}, bool stream = false) {
  dns::Query query;
  dns::read_query(message, query);
  Message out(dns::AnswerWriter::limit(query, stream));
  dns::AnswerWriter writer(out, query, rcode);
  for (const std::string& address : addresses) {
    writer.add_address(IpAddress::parse(address).value(), 60);
  }
  out.resize(writer.finish());
  return out;
}

}  // namespace nono::test
