#pragma once
// Sockets for the DNS stub server, and what a configuration says about it.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "config/base/fd.hpp"
#include "config/base/host.hpp"

namespace nono {

// `dns:` of nono.yaml; what is absent keeps the library's default.
struct DnsSettings {
  std::optional<std::size_t> cache_entries_max;    // answers kept
  std::optional<unsigned> queries_per_second_max;  // from one client address
};

// One address, UDP and TCP; UDP may be absent where there is one thread.
struct DnsSockets {
  UniqueFd udp, tcp;
  // Asked for each TCP connection by its accepted socket; false: a stranger's, and it is closed.
  // Null: all are served.
  std::function<bool(int accepted)> admits = nullptr;
};

// Binds both to one port; 0 is any that is free for both. Errors name the address and what is in
// the way.
Result<DnsSockets> listen_dns(const IpAddress& address, std::uint16_t port, bool several_threads);
// A pair for each of `threads`, the given one the first.
Result<std::vector<DnsSockets>> dns_for_threads(DnsSockets sockets, std::size_t threads);

}  // namespace nono
