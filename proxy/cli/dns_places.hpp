#pragma once
// --dns-listen and dns.listen: where DNS is answered.

#include <string>
#include <vector>

#include "config/base/error.hpp"
#include "proxy/dns_listen.hpp"

namespace nono::cli {

struct DnsListening {
  std::vector<DnsSockets> sockets;
  std::vector<std::string> places;  // "127.0.0.1:53"
};

// Binds each ADDR[:PORT] for UDP and TCP, port 53 where none is written. Off loopback it wants
// `insecure`: whoever reaches it learns which names the rules permit.
Result<DnsListening> open_dns_listeners(const std::vector<std::string>& addresses, bool insecure,
                                        bool several_threads);

}  // namespace nono::cli
