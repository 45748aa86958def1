#include "proxy/cli/listen_address.hpp"

#include "config/base/host.hpp"

namespace nono::cli {

Result<ListenAddress> parse_listen(std::string_view text, std::optional<std::uint16_t> port) {
  Result<ListenAddress> listen = parse_listen_address(text, port.value_or(0));
  if (!listen) {
    Error error = listen.error();
    error.what = "--listen " + error.what;
    return fail(std::move(error));
  }
  if (port && listen->port_written) {
    return fail(ErrorCode::bad_input,
                "--listen " + std::string(text) + ": --port with a port already written");
  }
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
    listening.off_loopback = listening.off_loopback || !wanted.on_loopback();
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
