// The wire format: what is read as a query, what is refused, and what answers look like.

#include "dns/message.hpp"

#include <catch2/catch.hpp>

#include "tests/dns/wire.hpp"

using namespace nono;
using namespace nono::test;
using dns::AnswerWriter;
using dns::Rcode;
using dns::Reading;

namespace {

struct Read {
  dns::ReadQuery read;
  dns::Query query;
};

Read read(const Message& message) {
  Read result;
  result.read = dns::read_query(message, result.query);
  return result;
}

// FORMERR, and nothing else.
bool malformed(const Message& message) {
  const Read result = read(message);
  return result.read.reading == Reading::reject && result.read.rcode == Rcode::format_error;
}

std::string shown(const std::string& name_bytes) {
  Message message = query_message("x.example");
  const auto begin = message.begin() + 12;
  message.erase(begin, message.end() - 4);
  message.insert(message.begin() + 12, name_bytes.begin(), name_bytes.end());
  const Read result = read(message);
  REQUIRE(result.read.reading == Reading::answer);
  return result.query.name.shown();
}

std::string long_label(char c) {
  return std::string(1, 63) + std::string(63, c);
}

}  // namespace

TEST_CASE("A query is read: id, flags, name in lower case, type, class") {
  Message message = query_message("WwW.ExAmPle.Org", dns::type_aaaa);
  const Read result = read(message);
  REQUIRE(result.read.reading == Reading::answer);
  CHECK(result.query.id == 0x1234);
  CHECK(result.query.recursion_desired);
  CHECK(result.query.type == dns::type_aaaa);
  CHECK(result.query.asked_class == dns::class_in);
  CHECK_FALSE(result.query.edns);
  CHECK(result.query.payload_max == 512);
  std::array<char, 256> buffer;
  CHECK(result.query.name.text(buffer) == "www.example.org");
  CHECK(std::equal(result.query.question.begin(), result.query.question.end(), message.begin() + 12,
                   message.end()));
}

TEST_CASE("Names in other cases have one key") {
  const Message upper = query_message("API.EXAMPLE"), lower = query_message("api.example");
  const Read one = read(upper), two = read(lower);
  CHECK(one.query.name.key() == two.query.name.key());
}

TEST_CASE("Responses and what is too short for a header are met with silence") {
  Message response = query_message("www.example.org");
  response[2] |= 0x80;
  CHECK(read(response).read.reading == Reading::drop);
  for (std::size_t size = 0; size < 12; ++size) {
    Message cut = query_message("www.example.org");
    cut.resize(size);
    CHECK(read(cut).read.reading == Reading::drop);
  }
}

TEST_CASE("Every query cut short is malformed, at whatever octet") {
  const Message whole = query_message("www.example.org", dns::type_a, true);
  for (std::size_t size = 12; size < whole.size(); ++size) {
    INFO(size);
    Message cut = whole;
    cut.resize(size);
    CHECK(malformed(cut));
  }
  Message longer = whole;
  longer.push_back(0);
  CHECK(malformed(longer));
}

TEST_CASE("Only QUERY is implemented") {
  for (int opcode = 1; opcode < 16; ++opcode) {
    Message message = query_message("www.example.org");
    message[2] = static_cast<std::uint8_t>(message[2] | opcode << 3);
    const Read result = read(message);
    CHECK(result.read.reading == Reading::reject);
    CHECK(result.read.rcode == Rcode::not_implemented);
  }
}

TEST_CASE("Classes other than IN are refused") {
  Message message = query_message("version.bind", 16);
  message.back() = 3;  // CHAOS
  const Read result = read(message);
  CHECK(result.read.reading == Reading::reject);
  CHECK(result.read.rcode == Rcode::refused);
}

TEST_CASE("Any number of questions but one, and records that no query has, are malformed") {
  const struct {
    std::size_t at;
    std::uint8_t value;
  } counts[] = {{5, 0}, {5, 2}, {7, 1}, {9, 1}, {11, 1}, {10, 1}, {4, 1}};
  for (const auto& count : counts) {
    INFO(count.at);
    Message message = query_message("www.example.org");
    message[count.at] = count.value;
    CHECK(malformed(message));
  }
}

TEST_CASE("A compression pointer in a question is malformed, wherever it points") {
  for (int target : {0, 4, 12, 14, 0x3fff}) {
    Message message = query_message("a.example");
    message[12] = static_cast<std::uint8_t>(0xc0 | target >> 8);
    message[13] = static_cast<std::uint8_t>(target & 0xff);
    CHECK(malformed(message));
  }
  Message reserved = query_message("a.example");
  reserved[12] = 0x41;
  CHECK(malformed(reserved));
}

TEST_CASE("A name may have 255 octets and not one more") {
  const std::string three = long_label('a') + long_label('b') + long_label('c');
  CHECK(shown(three + std::string(1, 61) + std::string(61, 'd') + std::string(1, 0)).size() == 253);
  Message message = query_message("x.example");
  const std::string over = three + std::string(1, 62) + std::string(62, 'd') + std::string(1, 0);
  message.erase(message.begin() + 12, message.end() - 4);
  message.insert(message.begin() + 12, over.begin(), over.end());
  CHECK(malformed(message));
}

TEST_CASE("A label that no host has is shown escaped, and is no text") {
  CHECK(shown(std::string("\x03"
                          "a.b\x02"
                          "c ",
                          7) +
              std::string(1, 0)) == "a\\046b.c\\032");
  CHECK(shown(std::string("\x02\x00\xff", 3) + std::string(1, 0)) == "\\000\\255");
  CHECK(shown(std::string(1, 0)) == ".");
  Message message = query_message("a-b.example");
  message[14] = '.';
  const Read result = read(message);
  std::array<char, 256> buffer;
  CHECK_FALSE(result.query.name.text(buffer));
}

TEST_CASE("EDNS says how much the client takes") {
  const Message message = query_message("www.example.org", dns::type_a, true, 4096);
  const Read result = read(message);
  REQUIRE(result.read.reading == Reading::answer);
  CHECK(result.query.edns);
  CHECK(result.query.payload_max == 4096);
  CHECK(AnswerWriter::limit(result.query, false) == 1232);
  CHECK(AnswerWriter::limit(result.query, true) == AnswerWriter::size_max);
  const Message small = query_message("www.example.org", dns::type_a, true, 100);
  CHECK(AnswerWriter::limit(read(small).query, false) == 512);
}

TEST_CASE("An EDNS version that we do not know is said so") {
  Message message = query_message("www.example.org", dns::type_a, true);
  message[message.size() - 5] = 1;
  const Read result = read(message);
  CHECK(result.read.reading == Reading::reject);
  CHECK(result.read.rcode == Rcode::bad_version);
  const Reply reply = reply_of(answer(message, Rcode::bad_version));
  CHECK(reply.rcode == 16);
}

TEST_CASE("An OPT record that is not one, or options that do not fit it, are malformed") {
  const Message good = query_message("www.example.org", dns::type_a, true);
  const std::size_t opt = good.size() - 11;
  Message owner = good;
  owner[opt] = 1;
  CHECK(malformed(owner));
  Message type = good;
  type[opt + 2] = 42;
  CHECK(malformed(type));
  Message two = good;
  two.insert(two.end(), good.begin() + static_cast<std::ptrdiff_t>(opt), good.end());
  two[11] = 2;
  CHECK(malformed(two));
  Message options = good;
  options.back() = 8;
  const std::uint8_t cookie[] = {0, 10, 0, 4, 1, 2, 3, 4};
  options.insert(options.end(), std::begin(cookie), std::end(cookie));
  CHECK(read(options).read.reading == Reading::answer);
  options[opt + 11 + 3] = 5;
  CHECK(malformed(options));
  options[opt + 11 + 3] = 3;  // one octet left over
  CHECK(malformed(options));
}

TEST_CASE("The question comes back byte for byte, in the case it was asked in") {
  const Message message = query_message("wWw.eXample.ORG");
  const Message sent = answer(message, Rcode::no_error, {"93.184.216.34"});
  REQUIRE(sent.size() > message.size());
  CHECK(std::equal(message.begin() + 12, message.end(), sent.begin() + 12));
  const Reply reply = reply_of(sent);
  CHECK(reply.id == 0x1234);
  CHECK(reply.response);
  CHECK(reply.recursion_desired);
  CHECK(reply.recursion_available);
  CHECK_FALSE(reply.truncated);
  CHECK(reply.addresses == std::vector<std::string>{"93.184.216.34"});
  CHECK_FALSE(reply.opt);
}

TEST_CASE("RD is copied, also when it is not set") {
  Message message = query_message("www.example.org");
  message[2] = 0;
  CHECK_FALSE(reply_of(answer(message, Rcode::no_error)).recursion_desired);
}

TEST_CASE("Clients without EDNS get no OPT, those with it get one") {
  CHECK_FALSE(reply_of(answer(query_message("a.example"), Rcode::no_error)).opt);
  CHECK(reply_of(answer(query_message("a.example", dns::type_a, true), Rcode::no_error)).opt);
}

TEST_CASE("What does not fit is left out whole, with TC set") {
  std::vector<std::string> many;
  for (int i = 1; i <= 40; ++i) many.push_back("93.184.216." + std::to_string(i));
  const Message plain = answer(query_message("www.example.org"), Rcode::no_error, many);
  CHECK(plain.size() <= 512);
  CHECK(reply_of(plain).truncated);
  CHECK(reply_of(plain).addresses.empty());
  const Message edns =
      answer(query_message("www.example.org", dns::type_a, true, 4096), Rcode::no_error, many);
  CHECK(edns.size() <= 1232);
  CHECK_FALSE(reply_of(edns).truncated);
  CHECK(reply_of(edns).addresses.size() == 40);
}

TEST_CASE("An answer of every size up to the limit is written or truncated, and nothing between") {
  const Message query = query_message("www.example.org", dns::type_aaaa, true, 1232);
  for (int count = 0; count <= 64; ++count) {
    std::vector<std::string> many;
    for (int i = 1; i <= count; ++i) many.push_back("2606:4700::" + std::to_string(i));
    const Message sent = answer(query, Rcode::no_error, many);
    INFO(count);
    CHECK(sent.size() <= 1232);
    const Reply reply = reply_of(sent);
    CHECK(reply.opt);
    CHECK(reply.addresses.size() == (reply.truncated ? 0 : static_cast<std::size_t>(count)));
  }
}

TEST_CASE("Reverse names stand for addresses, and only whole ones do") {
  CHECK(dns::reverse_address("1.0.18.198.in-addr.arpa") == IpAddress::parse("198.18.0.1").value());
  const std::string six =
      "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa";
  CHECK(dns::reverse_address(six) == IpAddress::parse("::1").value());
  for (const char* text :
       {"0.18.198.in-addr.arpa", "1.1.0.18.198.in-addr.arpa", "in-addr.arpa",
        "1.0.18.256.in-addr.arpa", "01.0.18.198.in-addr.arpa", "x.0.18.198.in-addr.arpa",
        "1.0.18.198.in-addr.arpa.example", "g.0.0.0.ip6.arpa", "-1.0.18.198.in-addr.arpa"}) {
    CHECK_FALSE(dns::reverse_address(text));
  }
}
