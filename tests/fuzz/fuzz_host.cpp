// Hosts, ports, addresses and ranges: one spelling each once read, and never a name that the C
// library would read as an address.
#include <arpa/inet.h>
#include <netinet/in.h>

#include "config/base/host.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace nono;
using namespace nono::fuzz;

void expect_normal_name(const std::string& name) {
  expect(!name.empty() && name.size() <= 253 && name.front() != '.' && name.back() != '.');
  expect(!holds(name, ".."));
  for (const char c : name) {
    expect((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.');
  }
  in_addr address{};
  expect(::inet_aton(name.c_str(), &address) == 0);
}

void try_host(std::string_view text) {
  const auto host = parse_host(text);
  if (!host) {
    expect(!host.error().what.empty() && !holds(host.error().what, "\n"));
    return;
  }
  const std::string normal = host->to_string();
  const auto again = parse_host(normal);
  expect(again.has_value() && *again == *host);
  const auto shouted = parse_host(upper(text));
  expect(shouted.has_value() && *shouted == *host);
  if (host->is_name()) {
    expect_normal_name(normal);
    const auto rooted = parse_host(normal + ".");
    expect(rooted.has_value() && *rooted == *host);
  } else {
    in_addr address{};
    const std::string spelled(text);
    if (!holds(text, ":") && ::inet_aton(spelled.c_str(), &address) != 0) {
      char dotted[INET_ADDRSTRLEN] = {};
      ::inet_ntop(AF_INET, &address, dotted, sizeof dotted);
      expect(normal == dotted);
    }
  }
  const HostPort target{*host, Port(8443)};
  const auto read_back = parse_host_port(target.to_string());
  expect(read_back.has_value() && *read_back == target);
}

void try_host_port(std::string_view text) {
  for (const bool with_default : {false, true}) {
    const auto target = with_default ? parse_host_port(text, https_port) : parse_host_port(text);
    if (!target) continue;
    const auto again = parse_host_port(target->to_string());
    expect(again.has_value() && *again == *target);
  }
}

void try_address(std::string_view text) {
  const auto address = IpAddress::parse(text);
  const std::string spelled(text);
  unsigned char bytes[16] = {};
  const bool v4 = ::inet_pton(AF_INET, spelled.c_str(), bytes) == 1;
  const bool v6 = !v4 && ::inet_pton(AF_INET6, spelled.c_str(), bytes) == 1;
  if (!address) return;
  expect(!holds(text, std::string_view("\0", 1)));
  expect(address->is_v4() ? v4 : v6);
  expect(std::equal(bytes, bytes + (v4 ? 4 : 16), address->bytes().begin()));
  const auto again = IpAddress::parse(address->to_string());
  expect(again.has_value() && *again == *address);
  // However an address is wrapped, what is inside decides.
  expect(!never_allowed(classify(address->unmapped())) || never_allowed(classify(*address)));
  expect(Cidr(*address, address->is_v4() ? 32 : 128).contains(*address));
}

void try_range(std::string_view text) {
  const auto range = Cidr::parse(text);
  if (!range) return;
  const auto again = Cidr::parse(range->to_string());
  expect(again.has_value() && *again == *range);
  expect(range->contains(range->address()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try_host(text);
  try_host_port(text);
  try_address(text);
  try_range(text);
  if (const auto port = Port::parse(text)) expect(std::to_string(port->value()) == text);
  return 0;
}
