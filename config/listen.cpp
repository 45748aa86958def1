#include "config/listen.hpp"

#include "config/base/host.hpp"

namespace nono {
namespace {

tl::unexpected<Error> bad(std::string_view text, std::string_view why, std::string_view forms) {
  return fail(ErrorCode::bad_input, std::string(text) + ": " + std::string(why),
              std::string(forms));
}

constexpr std::string_view inet_forms = "write ADDR, ADDR:PORT or [V6]:PORT";
constexpr std::string_view all_forms = "write ADDR, ADDR:PORT, [V6]:PORT or unix:PATH";

// Where the address ends and ":PORT" begins; npos where no port is written.
std::size_t port_separator(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t bracket = text.find(']');
    if (bracket == std::string_view::npos || bracket + 1 == text.size())
      return std::string_view::npos;
    return bracket + 1;
  }
  const std::size_t first = text.find(':');
  // More than one colon without brackets: an IPv6 address without a port.
  return first != text.rfind(':') ? std::string_view::npos : first;
}

Result<ListenAddress> parse_inet(std::string_view text, std::uint16_t default_port,
                                 std::string_view forms) {
  ListenAddress listen;
  listen.port = default_port;
  const std::size_t separator = port_separator(text);
  std::string_view host = text.substr(0, separator);
  if (separator != std::string_view::npos) {
    listen.port_written = true;
    listen.port = 0;
    const std::string_view digits = text[separator] == ':' ? text.substr(separator + 1) : "";
    if (digits != "0") {
      const Result<Port> parsed = Port::parse(digits);
      if (!parsed) return bad(text, "no usable port", forms);
      listen.port = parsed->value();
    }
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  const Result<IpAddress> address = IpAddress::parse(host);
  if (!address) return bad(text, "an address is needed, not a name", forms);
  listen.address = *address;
  return listen;
}

}  // namespace

bool ListenAddress::on_loopback() const {
  return !unix_path.empty() || classify(address) == AddressClass::loopback;
}

Result<ListenAddress> parse_listen_address(std::string_view text, std::uint16_t default_port) {
  if (!text.starts_with("unix:")) return parse_inet(text, default_port, all_forms);
  ListenAddress listen;
  listen.unix_path = text.substr(5);
  // The path goes into sockaddr_un with a NUL behind it (unix(7)).
  constexpr std::size_t path_octets_max = 107;
  if (listen.unix_path.empty()) return bad(text, "a path is missing", all_forms);
  if (listen.unix_path.size() > path_octets_max) {
    return bad(text, "a Unix socket's path has at most 107 bytes", all_forms);
  }
  return listen;
}

Result<ListenAddress> parse_inet_listen(std::string_view text, std::uint16_t default_port) {
  if (text.starts_with("unix:")) return bad(text, "no Unix socket can be used here", inet_forms);
  return parse_inet(text, default_port, inet_forms);
}

}  // namespace nono
