// Heads of requests and responses: no input may crash the parsers, and what they let through is
// written again as something that means the same to the next reader.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proxy/http/head.hpp"

namespace {

using namespace nono::http;

void expect(bool holds) {
  if (!holds) std::abort();
}

void expect_clean(std::string_view head) {
  expect(head.ends_with("\r\n\r\n") && head.find("\r\n\r\n") == head.size() - 4);
  for (std::size_t i = 0; i < head.size(); ++i) {
    expect(head[i] != '\0');
    if (head[i] == '\n') expect(i > 0 && head[i - 1] == '\r');
    if (head[i] == '\r') expect(head[i + 1] == '\n');
  }
}

void expect_equal(const Framing& a, const Framing& b) {
  expect(a.kind == b.kind && a.length == b.length);
}

void try_request(std::string_view bytes, const HeadLimits& limits) {
  auto head = parse_request_head(bytes, limits);
  if (!head) return;
  for (const bool hop_by_hop_removed : {false, true}) {
    if (hop_by_hop_removed) remove_hop_by_hop(head->fields);
    const std::string written = serialize(*head);
    expect_clean(written);
    HeadLimits wide = limits;  // framing fields that are written anew may be longer than they were
    wide.head_bytes_max += 1024;
    wide.fields_max += 2;
    auto again = parse_request_head(written, wide);
    expect(again.has_value());
    expect(again->method == head->method && again->target == head->target);
    expect(again->keep_alive == head->keep_alive);
    expect_equal(again->framing, head->framing);
    expect(again->fields.count("Host") == head->fields.count("Host"));
  }
}

void try_response(std::string_view bytes, const HeadLimits& limits, std::string_view method) {
  auto head = parse_response_head(bytes, limits, method);
  if (!head) return;
  remove_hop_by_hop(head->fields);
  const std::string written = serialize(*head);
  expect_clean(written);
  HeadLimits wide = limits;
  wide.head_bytes_max += 1024;
  wide.fields_max += 2;
  auto again = parse_response_head(written, wide, method);
  expect(again.has_value());
  expect(again->status == head->status);
  expect_equal(again->framing, head->framing);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const HeadLimits limits;
  try_request(bytes, limits);
  for (const std::string_view method : {"GET", "HEAD", "CONNECT"})
    try_response(bytes, limits, method);
  return 0;
}
