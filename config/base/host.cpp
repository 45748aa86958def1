#include "config/base/host.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "config/base/idna.hpp"

namespace nono {
namespace {

constexpr std::size_t input_octets_max =
    1024;  // UTF-8 may be longer than its A-labels, not endlessly
constexpr std::size_t name_octets_max = 253;
constexpr std::size_t label_octets_max = 63;
constexpr std::string_view bad_character =
    "only letters, digits, '-', '_' and '.' may stand in a name";

tl::unexpected<Error> bad_host(std::string_view text, std::string_view why) {
  constexpr std::size_t shown_octets_max = 300;
  return fail(ErrorCode::bad_input,
              fmt::format("{:?} is no host: {}", text.substr(0, shown_octets_max), why), {},
              Side::client);
}

// A character of a name in its normal form, by the one that is written; 0 where none can be.
constexpr std::array<char, 256> plain_characters = [] {
  std::array<char, 256> table{};
  for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyz0123456789-_.")) {
    table[static_cast<unsigned char>(c)] = c;
  }
  for (char c = 'A'; c <= 'Z'; ++c) {
    table[static_cast<unsigned char>(c)] = static_cast<char>(c - 'A' + 'a');
  }
  return table;
}();

// The normal form of a name that is plain ASCII, as nearly every one is; none where it is not.
std::optional<std::string> lowered(std::string_view text) {
  std::string name(text.size(), '\0');
  bool plain = true;
  for (std::size_t at = 0; at < text.size(); ++at) {
    name[at] = plain_characters[static_cast<unsigned char>(text[at])];
    plain = plain && name[at] != 0;
  }
  if (!plain) return std::nullopt;
  return name;
}

bool is_lower_name_character(char c) {
  return c != 0 && plain_characters[static_cast<unsigned char>(c)] == c;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<signed char>(c) >= 0; });
}

std::string_view take_label(std::string_view& rest) {
  const std::size_t dot = rest.find('.');
  const std::string_view label = rest.substr(0, dot);
  rest = dot == std::string_view::npos ? std::string_view{} : rest.substr(dot + 1);
  return label;
}

bool has_a_label(std::string_view name) {
  return name.starts_with("xn--") || name.find(".xn--") != std::string_view::npos;
}

// Empty where every label is fine, otherwise what is wrong.
std::string_view label_fault(std::string_view name) {
  if (name.empty()) return "it is empty";
  if (name.size() > name_octets_max) return "it is longer than 253 octets";
  std::size_t start = 0;
  for (;;) {
    const std::size_t dot = name.find('.', start);
    const std::size_t length = (dot == std::string_view::npos ? name.size() : dot) - start;
    if (length == 0) return "it has an empty label";
    if (length > label_octets_max) return "it has a label longer than 63 octets";
    if (dot == std::string_view::npos) return {};
    start = dot + 1;
  }
}

// An A-label must be what its Unicode form encodes to; anything else is no label that IDNA knows.
Result<std::string> check_a_labels(std::string name) {
  std::string_view rest = name;
  while (!rest.empty()) {
    const std::string_view label = take_label(rest);
    if (!label.starts_with("xn--")) continue;
    const Result<std::string> again = idna_to_ascii(label);
    if (!again) return fail(again.error());
    if (*again != label) return bad_host(name, "an xn-- label is not in its normal form");
  }
  return name;
}

// Text to its normal form: lower-case A-labels with one trailing dot removed. It may still be a
// number.
Result<std::string> normalise(std::string_view text) {
  if (text.size() > input_octets_max) return bad_host(text, "it is too long");
  std::optional<std::string> name = lowered(text);
  if (!name) {
    for (char c : text) {
      const auto octet = static_cast<unsigned char>(c);
      if (octet <= ' ' || octet == 0x7f)
        return bad_host(text, "it has a control character or space");
      if (c == '%') return bad_host(text, "percent signs and zone ids are not accepted");
    }
    if (is_ascii(text)) return bad_host(text, bad_character);
    Result<std::string> ascii = idna_to_ascii(text);
    if (!ascii) return fail(ascii.error());
    name = std::move(*ascii);
    // Behind IDNA's mapping, because that yields dots and other ASCII from full-width characters.
    if (!std::all_of(name->begin(), name->end(), is_lower_name_character))
      return bad_host(text, bad_character);
  }
  if (name->ends_with('.')) name->pop_back();
  if (const std::string_view fault = label_fault(*name); !fault.empty())
    return bad_host(text, fault);
  return has_a_label(*name) ? check_a_labels(std::move(*name)) : std::move(*name);
}

// --- numbers that resolvers take for IPv4 addresses ----------------------------------------------

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

bool is_hex(std::string_view label) {
  return label.starts_with("0x") &&
         label.find_first_not_of("0123456789abcdef", 2) == std::string_view::npos;
}

// A name whose last label is a number is an address or nothing (WHATWG URL, "ends in a number").
bool ends_in_a_number(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  const std::string_view last = dot == std::string_view::npos ? name : name.substr(dot + 1);
  return all_digits(last) || is_hex(last);
}

std::optional<std::uint64_t> parse_part(std::string_view part) {
  int base = 10;
  if (is_hex(part)) {
    base = 16;
    part.remove_prefix(2);
  } else if (part.size() > 1 && part[0] == '0') {
    base = 8;
    part.remove_prefix(1);
  }
  // Zero-padding may be long, but the value of a part never needs more than 32 bits.
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value, base);
  if (error != std::errc() || end != part.data() + part.size()) return std::nullopt;
  return value;
}

// inet_aton: one to four parts, each decimal, octal or hex, the last filling the remaining octets.
std::optional<IpAddress> parse_number_address(std::string_view name) {
  std::uint64_t address = 0;
  for (int index = 0; index < 4; ++index) {
    const bool last = name.find('.') == std::string_view::npos;
    const std::optional<std::uint64_t> part = parse_part(take_label(name));
    if (!part) return std::nullopt;
    const int bits = last ? 8 * (4 - index) : 8;
    if (*part >> bits != 0) return std::nullopt;
    address = address << bits | *part;
    if (!last) continue;
    const auto octet = [&](int shift) {
      return static_cast<std::uint8_t>(address >> shift & 0xff);
    };
    return IpAddress::v4({octet(24), octet(16), octet(8), octet(0)});
  }
  return std::nullopt;
}

Result<Host> parse_v6(std::string_view text, std::string_view inside) {
  const Result<IpAddress> address = IpAddress::parse(inside);
  if (!address || address->is_v4()) {
    return bad_host(text, inside.find('%') == std::string_view::npos ? "it is no IPv6 address"
                                                                     : "zone ids are not accepted");
  }
  return Host(*address);
}

}  // namespace

Result<Port> Port::parse(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (!all_digits(text) || text[0] == '0' || error != std::errc() ||
      end != text.data() + text.size() || value > 65535) {
    return fail(ErrorCode::bad_input,
                fmt::format("{:?} is no port of 1 to 65535", text.substr(0, 32)), {}, Side::client);
  }
  return Port(static_cast<std::uint16_t>(value));
}

Result<HostName> HostName::parse(std::string_view text) {
  Result<std::string> name = normalise(text);
  if (!name) return fail(name.error());
  if (ends_in_a_number(*name)) return bad_host(text, "it is a number, not a name");
  return HostName(std::move(*name));
}

std::string Host::to_string() const {
  return is_name() ? name().text() : address().to_string();
}

Result<Host> parse_host(std::string_view text) {
  if (text.starts_with('[')) {
    if (!text.ends_with(']')) return bad_host(text, "a bracket is not closed");
    return parse_v6(text, text.substr(1, text.size() - 2));
  }
  if (text.find(':') != std::string_view::npos) return parse_v6(text, text);

  Result<std::string> name = normalise(text);
  if (!name) return fail(name.error());
  if (!ends_in_a_number(*name)) return Host(HostName(std::move(*name)));
  const std::optional<IpAddress> address = parse_number_address(*name);
  if (!address) return bad_host(text, "it ends in a number but is no IPv4 address");
  return Host(*address);
}

std::string HostPort::to_string() const {
  const bool brackets = !host.is_name() && !host.address().is_v4();
  std::array<char, 5> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), port.value()).ptr;
  std::string text = host.to_string();
  if (brackets) text = '[' + text + ']';
  text += ':';
  text.append(digits.data(), end);
  return text;
}

Result<HostPort> parse_host_port(std::string_view text, std::optional<Port> default_port) {
  std::string_view host_text = text;
  std::optional<std::string_view> port_text;
  const std::size_t colon = text.rfind(':');
  const bool bare_v6 = !text.starts_with('[') && text.find(':') != colon;
  if (bare_v6 && !default_port) {
    return bad_host(text.substr(0, colon), "write IPv6 addresses with a port as [address]:port");
  }
  if (colon != std::string_view::npos && !bare_v6 && !text.ends_with(']')) {
    host_text = text.substr(0, colon);
    port_text = text.substr(colon + 1);
  }

  Result<Host> host = parse_host(host_text);
  if (!host) return fail(host.error());
  if (!port_text) {
    if (!default_port) return bad_host(text, "the port is missing");
    return HostPort{std::move(*host), *default_port};
  }
  const Result<Port> port = Port::parse(*port_text);
  if (!port) return fail(port.error());
  return HostPort{std::move(*host), *port};
}

}  // namespace nono
