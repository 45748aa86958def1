// Request heads: what the parser lets through is written again as something that means the same to
// the next reader, and no reader, however lenient, can find a second meaning in it.
#include "proxy/http/head.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/heads.hpp"
#include "tests/support/beast_reader.hpp"

namespace {

using namespace nono::fuzz;
using namespace nono::http;

void expect_one_meaning(const RequestHead& head, std::string_view bytes) {
  const LenientHead lenient = read_leniently(bytes);
  expect(lenient.content_lengths <= 1 && lenient.transfer_encodings <= 1 && lenient.hosts <= 1);
  expect(lenient.content_lengths + lenient.transfer_encodings <= 1);
  expect((lenient.transfer_encodings == 1) == (head.framing.kind == Framing::Kind::chunked));
  expect((lenient.content_lengths == 1) == (head.framing.kind == Framing::Kind::length));
  expect(head.framing.kind != Framing::Kind::until_close);
  expect(head.http_1_0 || lenient.hosts == 1);
  expect(is_token(head.method));
  for (const char c : head.target) expect(c > ' ' && c != 0x7f);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  HeadLimits limits;
  auto head = parse_request_head(bytes, limits);
  if (!head) {
    expect(!head.error().what.empty());
    return 0;
  }
  expect_one_meaning(*head, bytes);
  expect_clean(head->fields);
  const auto by_beast = nono::test::fields_of_request(bytes);
  expect(by_beast.has_value());
  expect(nono::test::same_but_for_framing(head->fields, *by_beast));
  limits.head_bytes_max +=
      1024;  // framing fields that are written anew may be longer than they were
  limits.fields_max += 2;
  for (const bool hop_by_hop_removed : {false, true}) {
    if (hop_by_hop_removed) remove_hop_by_hop(head->fields);
    const std::string written = serialize(*head);
    expect_clean(written);
    const auto again = parse_request_head(written, limits);
    expect(again.has_value());
    expect(again->method == head->method && again->target == head->target);
    expect(again->keep_alive == head->keep_alive);
    expect(again->framing.kind == head->framing.kind);
    expect(again->framing.length == head->framing.length);
    expect(again->fields.count("Host") == head->fields.count("Host"));
    expect_one_meaning(*again, written);
  }
  for (const char* name : {"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization",
                           "TE", "Trailer", "Upgrade", "Transfer-Encoding", "Content-Length"}) {
    expect(head->fields.count(name) == 0);
  }
  return 0;
}
