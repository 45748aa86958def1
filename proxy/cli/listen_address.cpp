#include "proxy/cli/listen_address.hpp"

#include "config/base/host.hpp"

namespace nono::cli {

namespace {

tl::unexpected<Error> bad(std::string_view text, const std::string& why) {
  return fail(ErrorCode::bad_input, "--listen " + std::string(text) + ": " + why,
              "ADDR, ADDR:PORT, [V6]:PORT or unix:PATH");
}

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

}  // namespace

bool ListenAddress::on_loopback() const {
  return !unix_path.empty() || classify(address) == AddressClass::loopback;
}

Result<ListenAddress> parse_listen(std::string_view text, std::optional<std::uint16_t> port) {
  ListenAddress listen;
  if (text.starts_with("unix:")) {
    listen.unix_path = text.substr(5);
    if (listen.unix_path.empty()) return bad(text, "a path is missing");
    return listen;
  }
  const std::size_t separator = port_separator(text);
  std::string_view host = text.substr(0, separator);
  if (separator != std::string_view::npos) {
    if (port) return bad(text, "--port with a port already written");
    const std::string_view digits = text[separator] == ':' ? text.substr(separator + 1) : "";
    if (digits != "0") {
      const Result<Port> parsed = Port::parse(digits);
      if (!parsed) return bad(text, "no usable port");
      listen.port = parsed->value();
    }
  } else {
    listen.port = port.value_or(0);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  const Result<IpAddress> address = IpAddress::parse(host);
  if (!address) return bad(text, "an address is needed, not a name");
  listen.address = *address;
  return listen;
}

Result<Listening> open_listeners(const std::vector<ListenAddress>& addresses,
                                 bool several_threads) {
  Listening listening;
  for (const ListenAddress& wanted : addresses) {
    if (!wanted.unix_path.empty()) {
      Result<UniqueFd> socket = listen_unix(wanted.unix_path);
      if (!socket) return fail(socket.error());
      listening.sockets.push_back(ListenerSetup{std::move(*socket), false});
      listening.places.push_back("unix:" + wanted.unix_path);
      continue;
    }
    Result<UniqueFd> socket = listen_tcp(wanted.address, wanted.port, several_threads);
    if (!socket) return fail(socket.error());
    const Result<HostPort> bound = local_address(*socket);
    if (!bound) return fail(bound.error());
    listening.sockets.push_back(ListenerSetup{std::move(*socket), false});
    listening.places.push_back(bound->to_string());
    if (listening.authority) continue;
    // Every address is not one that can be dialled.
    const bool any = classify(wanted.address) == AddressClass::unspecified;
    listening.authority = any ? (wanted.address.is_v4() ? "127.0.0.1:" : "[::1]:") +
                                    std::to_string(bound->port.value())
                              : bound->to_string();
  }
  return listening;
}

}  // namespace nono::cli
