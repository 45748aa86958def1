#pragma once
// DNS messages as the stub server reads and writes them (RFC 1035, EDNS RFC 6891). Strict, and
// without allocation: a query becomes views into its own bytes, an answer is written into a buffer
// of the caller.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "config/base/host.hpp"

namespace nono::dns {

using Bytes = std::span<const std::uint8_t>;

enum class Rcode : std::uint8_t {
  no_error = 0,
  format_error = 1,
  server_failure = 2,
  no_such_name = 3,
  not_implemented = 4,
  refused = 5,
  bad_version = 16,  // RFC 6891 9: its upper bits travel in the OPT record
};

// Record types that the server knows. Any other number may come and is refused.
inline constexpr std::uint16_t type_a = 1, type_soa = 6, type_ptr = 12, type_aaaa = 28,
                               type_opt = 41, type_svcb = 64, type_https = 65;
inline constexpr std::uint16_t class_in = 1;

// "AAAA", or "TYPE99" for what has no name here.
std::string type_name(std::uint16_t type);

// A name in lower case, in wire form without the root's zero: one look-up key per name, whatever
// the case it was asked in.
class WireName {
 public:
  std::string_view key() const { return {bytes_.data(), size_}; }
  bool root() const { return size_ == 0; }
  // The name as text with dots, where every label is made of letters, digits, '-' and '_'; none
  // otherwise: a label may hold any byte, a dot too. Writes into `buffer`.
  std::optional<std::string_view> text(std::array<char, 256>& buffer) const;
  // For logs: any name, with what is no host name character as \DDD (RFC 1035 5.1).
  std::string shown() const;

 private:
  friend class QueryReader;
  std::array<char, 256> bytes_;  // the first size_ are set
  std::size_t size_ = 0;
};

// A query, as far as it could be read. The views are into the message.
struct Query {
  std::uint16_t id = 0;
  std::uint8_t opcode = 0;
  bool recursion_desired = false;
  bool checking_disabled = false;
  Bytes question;  // name, type and class as asked, byte for byte; empty where unreadable
  WireName name;
  std::uint16_t type = 0, asked_class = 0;
  bool edns = false;
  std::uint16_t payload_max = 512;  // what the client takes over UDP
};

// What is to be done with a message.
enum class Reading : std::uint8_t {
  answer,  // a well-formed query for one name of class IN
  reject,  // to be answered with `rcode` alone
  drop,    // no query, or none whose id can be read: silence, so that no loop can arise
};
struct ReadQuery {
  Reading reading = Reading::drop;
  Rcode rcode = Rcode::no_error;
};

// Reads one message into `query`. Refused as malformed: any number of questions but one, records in
// the answer or authority section, compression pointers, labels over 63 and names over 255 octets,
// additional records other than one OPT, options that do not fit it, bytes after the end.
ReadQuery read_query(Bytes message, Query& query);

// Extended errors (RFC 8914) that say why there is no answer.
enum class ExtendedError : std::uint16_t { blocked = 15, prohibited = 18, network_error = 23 };

// Writes one answer. The question goes back byte for byte, so that clients which hide entropy in
// the case of letters (0x20) recognise it. What does not fit sets TC and leaves the records out.
class AnswerWriter {
 public:
  // Largest message written over TCP: all addresses anyone would dial.
  static constexpr std::size_t size_max = 4096;
  // Largest over UDP: fits every path's MTU (DNS flag day 2020).
  static constexpr std::size_t udp_size_max = 1232;

  // `out` bounds the message; `query` must outlive the writer.
  AnswerWriter(std::span<std::uint8_t> out, const Query& query, Rcode rcode);
  // The most bytes that an answer to `query` may have.
  static std::size_t limit(const Query& query, bool stream);

  void add_address(const IpAddress& address, std::uint32_t ttl_seconds);
  void add_pointer(const HostName& name, std::uint32_t ttl_seconds);
  // For "no such name" and "no such record": how long that may be remembered (RFC 2308).
  void add_soa(std::uint32_t ttl_seconds);
  // Only for clients that speak EDNS, and only as far as it fits: "DETAIL; FIX". The texts must
  // outlive the writer.
  void explain(ExtendedError error, std::string_view detail, std::string_view fix);
  // Ends the message and says how long it is; 0 where not even the header fitted.
  std::size_t finish();
  // After finish(): the answer did not fit.
  bool truncated() const { return truncated_; }

 private:
  bool begin_record(std::uint16_t type, std::uint32_t ttl_seconds, std::size_t data_size);
  void put16(std::uint16_t value);
  void put32(std::uint32_t value);
  void put_bytes(const void* bytes, std::size_t size);
  void put_opt();
  void put_header();

  std::span<std::uint8_t> out_;
  const Query& query_;
  Rcode rcode_;
  std::size_t size_ = 0;
  std::size_t limit_ = 0;       // what is left for records once the OPT is provided for
  std::size_t records_at_ = 0;  // where the question ends
  std::uint16_t answers_ = 0, authorities_ = 0;
  bool truncated_ = false;
  std::optional<ExtendedError> error_;
  std::string_view error_detail_, error_fix_;
};

// The address that a reverse name (1.0.0.127.in-addr.arpa, ….ip6.arpa) stands for, or none.
std::optional<IpAddress> reverse_address(std::string_view name_text);

}  // namespace nono::dns
