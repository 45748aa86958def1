// Response heads, to every method that frames them differently: what is let through is written
// again as something that means the same, and that no lenient reader can read in two ways.
#include "proxy/http/head.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/heads.hpp"
#include "tests/support/beast_reader.hpp"

namespace {

using namespace nono::fuzz;
using namespace nono::http;

bool never_has_body(int status, std::string_view method) {
  return status < 200 || status == 204 || status == 304 || method == "HEAD" ||
         (method == "CONNECT" && status < 300);
}

void try_response(const std::string& bytes, std::string_view method) {
  HeadLimits limits;
  auto head = parse_response_head(bytes, limits, method);
  if (!head) {
    expect(head.error().code == nono::ErrorCode::bad_response);
    return;
  }
  const LenientHead lenient = read_leniently(bytes);
  expect(lenient.content_lengths + lenient.transfer_encodings <= 1);
  expect(head->status >= 100 && head->status <= 999);
  expect((head->framing.kind == Framing::Kind::none) == never_has_body(head->status, method));
  expect_clean(head->fields);
  const auto by_beast = nono::test::fields_of_response(bytes);
  expect(by_beast.has_value());
  expect(nono::test::same_but_for_framing(head->fields, *by_beast));
  remove_hop_by_hop(head->fields);
  const std::string written = serialize(*head);
  expect_clean(written);
  limits.head_bytes_max += 1024;
  limits.fields_max += 2;
  const auto again = parse_response_head(written, limits, method);
  expect(again.has_value());
  expect(again->status == head->status && again->reason == head->reason);
  expect(again->framing.kind == head->framing.kind);
  expect(again->framing.length == head->framing.length);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  for (const std::string_view method : {"GET", "HEAD", "CONNECT"}) try_response(bytes, method);
  return 0;
}
