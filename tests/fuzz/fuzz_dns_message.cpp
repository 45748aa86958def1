// DNS messages: no input may crash the reader, and whatever is answered is a message that fits,
// says what it answers, and is not itself a query that somebody would answer.
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "dns/message.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace nono;
using namespace nono::dns;

using nono::fuzz::expect;

void expect_answer(Bytes answer, Bytes message, const Query& query, std::size_t limit) {
  expect(answer.size() >= 12 && answer.size() <= limit);
  expect(answer[0] == message[0] && answer[1] == message[1]);  // the id
  expect((answer[2] & 0x80) != 0);                             // a response
  expect((answer[2] >> 3 & 0x0f) == (message[2] >> 3 & 0x0f));
  expect(answer[5] == (query.question.empty() ? 0 : 1));
  expect(answer.size() >= 12 + query.question.size());
  expect(query.question.empty() ||
         std::memcmp(answer.data() + 12, message.data() + 12, query.question.size()) == 0);
  Query again;
  expect(read_query(answer, again).reading == Reading::drop);
}

void try_answer(Bytes message, const Query& query, Rcode rcode, bool stream, unsigned addresses) {
  const std::size_t limit = AnswerWriter::limit(query, stream);
  // Exactly as large as allowed, so that a byte more is a finding.
  std::vector<std::uint8_t> out(limit);
  AnswerWriter writer(out, query, rcode);
  std::array<std::uint8_t, 16> bytes{0x20, 0x01, 0x0d, 0xb8};
  for (unsigned i = 0; i < addresses; ++i) {
    bytes[15] = static_cast<std::uint8_t>(i);
    writer.add_address(i % 2 == 0 ? IpAddress::v6(bytes) : IpAddress::v4({93, 184, 216, 34}), i);
  }
  if (addresses == 0) writer.add_soa(5);
  writer.explain(ExtendedError::blocked, "it is in no rule", "allow it");
  const std::size_t size = writer.finish();
  expect_answer(Bytes(out.data(), size), message, query, limit);
}

void try_name(const Query& query) {
  std::array<char, 256> buffer;
  const std::optional<std::string_view> text = query.name.text(buffer);
  const std::string shown = query.name.shown();
  expect(!shown.empty() && shown.size() <= 4 * 255);
  for (const char c : shown) expect(c > ' ' && c < 0x7f);
  if (!text) return;
  expect(*text == shown);
  (void)reverse_address(*text);
  const Result<HostName> host = HostName::parse(*text);
  if (!host) return;
  expect(host->text() == *text);  // what is judged is what was asked
  std::array<std::uint8_t, AnswerWriter::udp_size_max> out;
  AnswerWriter writer(out, query, Rcode::no_error);
  writer.add_pointer(*host, 1);
  expect(writer.finish() != 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> copy(data, data + size);  // bounds are watched
  const Bytes message(copy);
  Query query;
  const ReadQuery read = read_query(message, query);
  if (read.reading == Reading::drop) return 0;
  if (read.reading == Reading::reject) {
    try_answer(message, query, read.rcode, false, 0);
    return 0;
  }
  expect(query.question.size() >= 5 && query.asked_class == class_in);
  expect(query.name.key().size() + 5 == query.question.size());
  try_name(query);
  for (const unsigned addresses : {0U, 1U, 17U, 200U}) {
    try_answer(message, query, Rcode::no_error, false, addresses);
    try_answer(message, query, Rcode::no_such_name, true, addresses);
  }
  return 0;
}
