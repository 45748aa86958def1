#pragma once
// The resolver on c-ares. resolve() is its only way in and takes a Permit: a name that the policy
// engine has not permitted cannot be looked up.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/base/host.hpp"
#include "dns/resolver.hpp"

namespace nono::dns {

struct ResolverOptions {
  std::vector<HostPort> servers;  // asked in this order; empty: those of resolv_conf
  std::string resolv_conf =
      "/etc/resolv.conf";                 // only its servers count; read again when it changes
  std::string hosts_file = "/etc/hosts";  // empty: none
  std::chrono::milliseconds query_timeout{2000};  // for one query to one server
  unsigned tries = 2;                             // rounds through all servers
  std::size_t cache_entries_max = 10'000;
  std::chrono::seconds ttl_floor{1}, ttl_ceiling{3600}, negative_ttl{5};
  // Distinct names asked for at once. A wildcard rule permits any number of names; sockets, memory
  // and the 16-bit query id do not. Half of them may be for DNS clients.
  std::size_t lookups_max = 1024;
  // Told of each name, and why it has no address to dial where it has none. Literal addresses are
  // no names.
  std::function<void(AnsweredBy, const Error*)> on_resolved;
};

// Makes a resolver for the io_context of `executor`, to be used and destroyed on its thread and
// before it. Costs nothing until the first name that needs a server. Errors: bad_input, where a
// server is given as a name.
Result<std::unique_ptr<Resolver>> make_resolver(Executor executor, const ResolverOptions& options);

}  // namespace nono::dns
