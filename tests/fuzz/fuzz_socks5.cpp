// SOCKS5 from a client: a message never changes with what follows it, wants more until it is whole,
// and names no host that CONNECT would not take.
#include "proxy/socks5.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace nono;
using namespace nono::fuzz;

constexpr std::size_t message_bytes_max = 515;

// How every parser behaves: undecided, then decided for good; never longer than what there is.
template <class Parse>
auto try_parser(Parse parse, std::string_view bytes) {
  const auto whole = parse(bytes);
  if (!whole) expect(!whole.error().what.empty() && !holds(whole.error().what, "\n"));
  const bool decided = !whole || *whole;
  if (!decided) expect(bytes.size() < message_bytes_max);
  if (whole && *whole) expect((*whole)->size > 0 && (*whole)->size <= bytes.size());
  const std::size_t parts = std::min(bytes.size(), message_bytes_max + 8);
  bool was_decided = false;
  for (std::size_t size = 0; size < parts; ++size) {
    const auto part = parse(bytes.substr(0, size));
    const bool now = !part || *part;
    expect(!was_decided || now);
    was_decided = now;
  }
  if (was_decided) expect(decided);
  return whole;
}

void try_request(std::string_view bytes) {
  const auto request = try_parser(socks5::parse_request, bytes);
  if (!request || !*request || !(*request)->target) return;
  const HostPort& target = *(*request)->target;
  expect(target.port.value() != 0);
  expect((*request)->size >= 10 || target.host.is_name() || bytes[3] == 3);
  const std::string text = target.to_string();
  for (const char c : text) expect(c > ' ' && c < '\x7f');
  const auto again = parse_host_port(text);
  expect(again.has_value() && *again == target);
}

void try_password(std::string_view bytes) {
  const auto password = try_parser(socks5::parse_password, bytes);
  if (!password || !*password) return;
  const socks5::Password& got = **password;
  expect(got.size == 3 + got.user.size() + got.password.size());
  const char* const end = bytes.data() + bytes.size();
  expect(got.user.data() >= bytes.data() && got.user.data() + got.user.size() <= end);
  expect(got.password.data() + got.password.size() <= end);
}

// A whole conversation: each message is cut off the front as the proxy does it.
void converse(std::string_view bytes) {
  const auto greeting = try_parser(socks5::parse_greeting, bytes);
  if (!greeting || !*greeting) return;
  bytes.remove_prefix((*greeting)->size);
  if ((*greeting)->offers_password) {
    const auto password = socks5::parse_password(bytes);
    if (!password || !*password) return;
    bytes.remove_prefix((*password)->size);
  }
  try_request(bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::size_t which = input.choice(3);
  if (which == 0) converse(input.rest());
  if (which == 1) try_password(input.rest());
  if (which == 2) try_request(input.rest());
  return 0;
}
